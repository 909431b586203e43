package kube

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	contour "github.com/projectcontour/contour/apis/projectcontour/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	networkingv1beta1 "k8s.io/api/networking/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	elbv2api "github.com/sluicehq/sluice/api/elbv2/v1beta1"
	"github.com/sluicehq/sluice/internal/lb"
)

// Document is one YAML document of a file.
type Document struct {
	File   string // as the user named it
	Number int    // 1-based, within the file
	Text   []byte
	Object runtime.Object // nil when malformed or of a kind that we have no use for
	Legacy bool           // Object was converted from an Ingress API that Kubernetes serves no more
}

// Read splits a file into documents and decodes those that it knows. Lists are taken apart. A document that cannot be
// decoded costs only itself: it comes back as a verdict. Objects without a namespace get the given one. The error is
// that of the reader.
func Read(file string, r io.Reader, namespace string) ([]Document, []lb.Verdict, error) {
	var documents []Document
	var verdicts []lb.Verdict
	reader := utilyaml.NewYAMLReader(bufio.NewReader(r))
	for number := 1; ; number++ {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, verdicts, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", file, err)
		}
		if blank(text) {
			continue
		}
		items, err := items(text)
		if err != nil {
			verdicts = append(verdicts, malformed(file, number, lb.Object{}, err))
			documents = append(documents, Document{File: file, Number: number, Text: text})
			continue
		}
		for _, item := range items {
			d := Document{File: file, Number: number, Text: item}
			var problems []lb.Verdict
			d.Object, d.Legacy, problems = decode(d, namespace)
			documents = append(documents, d)
			verdicts = append(verdicts, problems...)
		}
	}
}

// Add puts the decoded objects of documents into contents and returns the result.
func (c Contents) Add(documents []Document) Contents {
	for _, d := range documents {
		switch o := d.Object.(type) {
		case *corev1.Namespace:
			c.Namespaces = append(c.Namespaces, o)
		case *corev1.Service:
			c.Services = append(c.Services, o)
		case *corev1.Node:
			c.Nodes = append(c.Nodes, o)
		case *corev1.Pod:
			c.Pods = append(c.Pods, o)
		case *discoveryv1.EndpointSlice:
			c.EndpointSlices = append(c.EndpointSlices, o)
		case *networkingv1.Ingress:
			c.Ingresses = append(c.Ingresses, o)
		case *networkingv1.IngressClass:
			c.IngressClasses = append(c.IngressClasses, o)
		case *elbv2api.IngressClassParams:
			c.IngressClassParams = append(c.IngressClassParams, o)
		case *elbv2api.TargetGroupBinding:
			c.TargetGroupBindings = append(c.TargetGroupBindings, o)
		case *corev1.Secret:
			c.Secrets = append(c.Secrets, o)
		case *contour.HTTPProxy:
			c.HTTPProxies = append(c.HTTPProxies, o)
		case *contour.TLSCertificateDelegation:
			c.TLSCertificateDelegations = append(c.TLSCertificateDelegations, o)
		}
	}
	return c
}

// decode turns one document into an object. Fields that the kind does not have are a warning: the API server drops or
// refuses them too.
func decode(d Document, namespace string) (runtime.Object, bool, []lb.Verdict) {
	var meta metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(d.Text, &meta); err != nil {
		return nil, false, []lb.Verdict{malformed(d.File, d.Number, lb.Object{}, err)}
	}
	self := lb.Object{Kind: meta.Kind, Namespace: meta.Namespace, Name: meta.Name}
	if meta.Kind == "" || meta.APIVersion == "" {
		return nil, false, []lb.Verdict{malformed(d.File, d.Number, self, errors.New("apiVersion and kind must be set"))}
	}
	object := newObject(meta.APIVersion, meta.Kind)
	if object == nil {
		return nil, false, nil
	}
	if meta.Name == "" {
		return nil, false, []lb.Verdict{malformed(d.File, d.Number, self, errors.New("metadata.name must be set"))}
	}
	if err := yaml.Unmarshal(d.Text, object); err != nil {
		return nil, false, []lb.Verdict{malformed(d.File, d.Number, self, err)}
	}
	var verdicts []lb.Verdict
	if err := yaml.UnmarshalStrict(d.Text, newObject(meta.APIVersion, meta.Kind)); err != nil {
		v := malformed(d.File, d.Number, self, err)
		v.Severity = lb.Warning
		verdicts = append(verdicts, v)
	}
	if accessor, ok := object.(metav1.Object); ok && accessor.GetNamespace() == "" && namespaced(meta.Kind) {
		accessor.SetNamespace(namespace)
	}
	if secret, ok := object.(*corev1.Secret); ok && len(secret.StringData) > 0 {
		// As the API server does it.
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		for name, text := range secret.StringData {
			secret.Data[name] = []byte(text)
		}
	}
	if legacy, ok := object.(*networkingv1beta1.Ingress); ok {
		return fromBeta(legacy), true, verdicts
	}
	return object, false, verdicts
}

// newObject makes an empty object of a kind that we read, or nil.
func newObject(apiVersion, kind string) runtime.Object {
	switch apiVersion + " " + kind {
	case "v1 Namespace":
		return &corev1.Namespace{}
	case "v1 Service":
		return &corev1.Service{}
	case "v1 Node":
		return &corev1.Node{}
	case "v1 Pod":
		return &corev1.Pod{}
	case "discovery.k8s.io/v1 EndpointSlice":
		return &discoveryv1.EndpointSlice{}
	case "networking.k8s.io/v1 Ingress":
		return &networkingv1.Ingress{}
	case "networking.k8s.io/v1beta1 Ingress", "extensions/v1beta1 Ingress": // the same fields in both
		return &networkingv1beta1.Ingress{}
	case "networking.k8s.io/v1 IngressClass":
		return &networkingv1.IngressClass{}
	case "elbv2.k8s.aws/v1beta1 IngressClassParams":
		return &elbv2api.IngressClassParams{}
	case "elbv2.k8s.aws/v1beta1 TargetGroupBinding":
		return &elbv2api.TargetGroupBinding{}
	case "v1 Secret":
		return &corev1.Secret{}
	case "projectcontour.io/v1 HTTPProxy":
		return &contour.HTTPProxy{}
	case "projectcontour.io/v1 TLSCertificateDelegation":
		return &contour.TLSCertificateDelegation{}
	default:
		return nil
	}
}

func namespaced(kind string) bool {
	switch kind {
	case "Namespace", "Node", "IngressClass", "IngressClassParams":
		return false
	default:
		return true
	}
}

// items takes a List apart; anything else is its own only item.
func items(text []byte) ([][]byte, error) {
	var list struct {
		Kind  string                 `json:"kind"`
		Items []runtime.RawExtension `json:"items"`
	}
	if err := yaml.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	if !strings.HasSuffix(list.Kind, "List") || len(list.Items) == 0 {
		return [][]byte{text}, nil
	}
	var out [][]byte
	for _, item := range list.Items {
		out = append(out, item.Raw)
	}
	return out, nil
}

func malformed(file string, number int, object lb.Object, err error) lb.Verdict {
	if object.Kind == "" {
		object.Kind = "Manifest"
	}
	if object.Name == "" {
		object.Name = fmt.Sprintf("%s#%d", file, number)
	}
	problem := strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: ")
	problem = strings.TrimPrefix(problem, "error converting YAML to JSON: ")
	return lb.Verdict{
		Object: object, Severity: lb.Refused, Reason: lb.InvalidManifest,
		Problem: problem, Fix: fmt.Sprintf("Correct document %d of %s", number, file),
	}
}

// blank says whether a document has nothing but comments.
func blank(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}
