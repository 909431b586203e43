package playground

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// fieldManager owns the fields of what the lab applies.
const fieldManager = "sluice-lab"

// api is the cluster as its administrator sees it.
type api struct {
	rest    *rest.Config
	client  *kubernetes.Clientset
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func (l lab) api() (*api, error) {
	config, err := clientcmd.BuildConfigFromFlags("", l.cluster.Admin())
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	// The machine's proxy settings are not for the lab's addresses.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	a := &api{rest: config}
	if a.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if a.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	a.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(a.client.Discovery()))
	return a, nil
}

// manifests reads every object in the YAML files below a directory; with deep
// false, of the directory itself only. Files are read in the order of their names.
func manifests(dir string, deep bool) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && !deep:
			return fs.SkipDir
		case entry.IsDir() || (filepath.Ext(path) != ".yaml" && filepath.Ext(path) != ".yml"):
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read, err := decode(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, read...)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return objects, err
}

func decode(raw []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() == "" || object.GetAPIVersion() == "" {
			continue // a file of another kind, such as a kustomization
		}
		objects = append(objects, object)
	}
}

// rank orders objects so that what others need comes first.
func rank(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "CustomResourceDefinition":
		return 0
	case "Namespace":
		return 1
	case "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "IngressClass", "ConfigMap", "Secret":
		return 2
	case "Service":
		return 3
	case "Ingress":
		return 5
	default:
		return 4
	}
}

// apply makes objects what they should be. Applying again changes nothing.
func (a *api) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	ordered := append([]*unstructured.Unstructured(nil), objects...)
	sort.SliceStable(ordered, func(i, j int) bool { return rank(ordered[i]) < rank(ordered[j]) })
	for i, object := range ordered {
		if i > 0 && rank(ordered[i-1]) == 0 && rank(object) > 0 {
			a.mapper.Reset() // there are new kinds
		}
		// Kinds and namespaces that were just made take a moment to exist.
		err := until(ctx, 30*time.Second, 200*time.Millisecond, func() (error, bool) {
			err := a.applyOne(ctx, object)
			if meta.IsNoMatchError(err) {
				a.mapper.Reset()
				return err, true
			}
			return err, err != nil && retriable(err)
		})
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func retriable(err error) bool {
	text := err.Error()
	return strings.Contains(text, "not found") || strings.Contains(text, "connection refused") || strings.Contains(text, "the server is currently unable")
}

func (a *api) applyOne(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	raw, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = a.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = corev1.NamespaceDefault
		}
		resource = a.dynamic.Resource(mapping.Resource).Namespace(namespace)
	}
	force := true
	_, err = resource.Patch(ctx, object.GetName(), types.ApplyPatchType, raw, metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
	return err
}

// until calls f until it says that it is pointless to call again, or the time
// is up, and returns its last error; or context.Canceled if the user gave up.
func until(ctx context.Context, limit, pause time.Duration, f func() (err error, again bool)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err, again := f()
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return err
		case <-time.After(pause):
		}
	}
}

// controllerAccount is whose rights the controller has.
const controllerAccount = "sluice"

// writeControllerKubeconfig asks for a token of the controller's own account.
func (l lab) writeControllerKubeconfig(ctx context.Context, a *api) error {
	year := int64(365 * 24 * 3600)
	token, err := a.client.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(ctx, controllerAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &year}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("get a token for the controller's service account kube-system/%s (config/ should hold it): %w", controllerAccount, err)
	}
	return l.cluster.TokenKubeconfig(l.controllerKubeconfig(), controllerAccount, token.Status.Token)
}
