package main

import (
	"bytes"
	"fmt"
	"io"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/kube"
	"github.com/sluicehq/sluice/internal/lb"
)

func newConvertCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "convert -f FILE...",
		Short: "Rewrite Ingresses of old APIs as networking.k8s.io/v1",
		Long: `Rewrites Ingresses of extensions/v1beta1 and networking.k8s.io/v1beta1, which Kubernetes
has not served since 1.22, as networking.k8s.io/v1. All other documents are printed as
they are, so that the output can go to kubectl apply -f -.`,
		Example: "  sluice convert -f ingress.yaml | kubectl apply -f -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			documents, verdicts, err := readManifests(cmd, files, "")
			if err != nil {
				return err
			}
			if err := printDocuments(cmd.OutOrStdout(), documents); err != nil {
				return err
			}
			for _, v := range lb.SortVerdicts(verdicts) {
				cmd.PrintErrln(v)
			}
			if refused(verdicts) {
				return errRefused
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or folder of manifests, - for standard input; may be repeated")
	_ = cmd.MarkFlagRequired("filename") // fails only for a flag that does not exist
	return cmd
}

func printDocuments(w io.Writer, documents []kube.Document) error {
	for i, d := range documents {
		if i > 0 {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		text := d.Text
		if ingress, ok := d.Object.(*networkingv1.Ingress); ok && d.Legacy {
			modern, err := modernIngress(ingress)
			if err != nil {
				return err
			}
			text = modern
		}
		text = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(text), []byte("---")))
		if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// modernIngress prints an Ingress as a person would write it: without a status and without null fields.
func modernIngress(ingress *networkingv1.Ingress) ([]byte, error) {
	text, err := yaml.Marshal(ingress)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	if meta, ok := fields["metadata"].(map[string]any); ok && meta["creationTimestamp"] == nil {
		delete(meta, "creationTimestamp")
	}
	return yaml.Marshal(fields)
}
