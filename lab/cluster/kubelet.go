package cluster

import (
	"encoding/json"
	"os"
)

// Kubelet says what one node's kubelet is to be; package node runs it.
type Kubelet struct {
	Name       string            `json:"name"`
	IP         string            `json:"ip"`
	ProviderID string            `json:"providerID"`
	Labels     map[string]string `json:"labels"`
	// Dir is the node's directory; Socket the runtime's.
	Dir        string   `json:"dir"`
	Socket     string   `json:"socket"`
	Kubeconfig string   `json:"kubeconfig"`
	ClientCA   string   `json:"clientCA"`
	Cert       string   `json:"cert"`
	Key        string   `json:"key"`
	DNS        []string `json:"dns"`
	MaxPods    int32    `json:"maxPods"`
}

// Write stores the description for the process that will be the kubelet.
func (k Kubelet) Write(path string) error {
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}
