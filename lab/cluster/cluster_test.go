package cluster

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/sluicehq/sluice/lab/network"
)

func prepared(t *testing.T) (Config, []network.Node) {
	t.Helper()
	plan, err := network.NewPlan("192.168.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Dir: t.TempDir(), Address: plan.ControlPlane()}
	nodes := plan.Nodes(2)
	if err := c.Prepare(nodes); err != nil {
		t.Fatal(err)
	}
	return c, nodes
}

func certificate(t *testing.T, raw []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatalf("no PEM in %q", raw)
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// A kubelet is let in as the node that its certificate names, so the name must
// be the node's and the group the one that RBAC and the node authorizer know.
func TestKubeletsAreTheirNodes(t *testing.T) {
	c, nodes := prepared(t)
	config, err := clientcmd.LoadFromFile(c.KubeletKubeconfig(nodes[1]))
	if err != nil {
		t.Fatal(err)
	}
	user := config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo]
	subject := certificate(t, user.ClientCertificateData).Subject
	if want := "system:node:" + nodes[1].Name; subject.CommonName != want || len(subject.Organization) != 1 || subject.Organization[0] != "system:nodes" {
		t.Errorf("kubelet is %s in %v, want %s in system:nodes", subject.CommonName, subject.Organization, want)
	}
	if got := config.Clusters[Name].Server; got != "https://192.168.0.10:6443" {
		t.Errorf("server %s", got)
	}
}

func TestTheServerCanBeVerifiedUnderItsNames(t *testing.T) {
	c, _ := prepared(t)
	ca, err := os.ReadFile(c.PKI().Cert("ca"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	raw, err := os.ReadFile(c.PKI().Cert("apiserver"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"192.168.0.10", "10.100.0.1", "127.0.0.1", "kubernetes.default.svc"} {
		if _, err := certificate(t, raw).Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
}

// "up" runs Prepare each time, under programs that hold the old keys.
func TestPrepareKeepsWhatIsThere(t *testing.T) {
	c, nodes := prepared(t)
	before, err := os.ReadFile(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Prepare(nodes); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the second Prepare made new keys")
	}
}
