package cluster

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Name is the cluster's name, also in AWS tags.
const Name = "lab"

// Kubeconfig writes a kubeconfig with everything in it, for the user whose
// certificate is called name in the PKI.
func (c Config) Kubeconfig(path, name string) error {
	pki := c.PKI()
	certificate, err := os.ReadFile(pki.Cert(name))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(pki.Key(name))
	if err != nil {
		return err
	}
	return c.kubeconfig(path, name, &api.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
}

// TokenKubeconfig writes a kubeconfig for a bearer token.
func (c Config) TokenKubeconfig(path, user, token string) error {
	return c.kubeconfig(path, user, &api.AuthInfo{Token: token})
}

func (c Config) kubeconfig(path, user string, auth *api.AuthInfo) error {
	ca, err := os.ReadFile(c.PKI().Cert("ca"))
	if err != nil {
		return err
	}
	config := api.NewConfig()
	config.Clusters[Name] = &api.Cluster{Server: c.URL(), CertificateAuthorityData: ca}
	config.AuthInfos[user] = auth
	config.Contexts[Name] = &api.Context{Cluster: Name, AuthInfo: user}
	config.CurrentContext = Name
	raw, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, raw, 0o600)
}
