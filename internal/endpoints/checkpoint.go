package endpoints

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
)

// Annotations of a binding that tell which targets it last had. An equal checkpoint after a restart saves the question
// what is registered.
const (
	CheckpointAnnotation = "elbv2.k8s.aws/checkpoint"
	CheckpointTime       = "elbv2.k8s.aws/checkpoint-timestamp" // Unix seconds
)

// checkpoint is "<endpoints>/<spec>", each an unpadded base64url SHA-256: of every endpoint with the time at which its
// pod or node was created, and of the spec.
func checkpoint(found []endpoint, spec elbv2api.TargetGroupBindingSpec) string {
	ids := make([]string, 0, len(found))
	for _, e := range found {
		ids = append(ids, fmt.Sprintf("%s:%d:%d", e.target.ID, e.target.Port, e.since.UnixMilli()))
	}
	slices.Sort(ids)
	text, err := json.Marshal(spec)
	if err != nil {
		panic("endpoints: the spec of a binding has no JSON: " + err.Error()) // it came from JSON
	}
	return digest(strings.Join(ids, ",")) + "/" + digest(string(text))
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
