package control

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// checkpointPrefix begins the names of the ConfigMaps; charts/sluice/templates/rbac.yaml lists them.
const checkpointPrefix = "sluice-checkpoint-"

// Checkpoints keeps an engine's memory in ConfigMaps of one namespace, one for each shard. It holds nothing secret, and
// nothing that cannot be read from the cloud.
type Checkpoints struct {
	client    client.Client
	live      client.Reader // not the cache: nothing else is read of ConfigMaps
	namespace string

	mu    sync.Mutex
	known map[string]*corev1.ConfigMap // as last read or written, without its content
}

// NewCheckpoints returns Checkpoints in a namespace.
func NewCheckpoints(c client.Client, live client.Reader, namespace string) *Checkpoints {
	return &Checkpoints{client: c, live: live, namespace: namespace, known: map[string]*corev1.ConfigMap{}}
}

const checkpointKey = "checkpoint.json.gz"

// Read returns a shard; nil when there is none.
func (c *Checkpoints) Read(ctx context.Context, shard string) ([]byte, error) {
	var found corev1.ConfigMap
	err := c.live.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: checkpointPrefix + shard}, &found)
	if apierrors.IsNotFound(err) {
		c.note(shard, nil)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s%s: %w", c.namespace, checkpointPrefix, shard, err)
	}
	content := found.BinaryData[checkpointKey]
	c.note(shard, &found)
	return content, nil
}

// Write replaces a shard. The API server refuses it when somebody else wrote since.
func (c *Checkpoints) Write(ctx context.Context, shard string, content []byte) error {
	c.mu.Lock()
	before := c.known[shard]
	c.mu.Unlock()
	err := c.replace(ctx, shard, before, content)
	if err != nil {
		return fmt.Errorf("write ConfigMap %s/%s%s: %w", c.namespace, checkpointPrefix, shard, err)
	}
	return nil
}

func (c *Checkpoints) replace(ctx context.Context, shard string, before *corev1.ConfigMap, content []byte) error {
	switch {
	case before == nil && content == nil:
		return nil
	case content == nil:
		version := before.ResourceVersion
		err := c.client.Delete(ctx, before.DeepCopy(), client.Preconditions{ResourceVersion: &version})
		if client.IgnoreNotFound(err) == nil {
			c.note(shard, nil)
		}
		return client.IgnoreNotFound(err)
	case before == nil:
		made := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: c.namespace, Name: checkpointPrefix + shard,
				Labels: map[string]string{"app.kubernetes.io/managed-by": "sluice"},
			},
			BinaryData: map[string][]byte{checkpointKey: content},
		}
		if err := c.client.Create(ctx, made); err != nil {
			return err
		}
		c.note(shard, made)
		return nil
	}
	changed := before.DeepCopy()
	changed.BinaryData = map[string][]byte{checkpointKey: content}
	if err := c.client.Update(ctx, changed); err != nil {
		return err
	}
	c.note(shard, changed)
	return nil
}

func (c *Checkpoints) note(shard string, is *corev1.ConfigMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is == nil {
		delete(c.known, shard)
		return
	}
	is.BinaryData = nil
	c.known[shard] = is
}
