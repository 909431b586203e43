//go:build clients

package clients

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// front is a load balancer with an HTTPS listener in front of one target.
type front struct {
	*localawstest.Local
	address string // host:port of the listener
	roots   *x509.CertPool
	pem     string // file with the root
}

const host = "app.example.com"

// newFront makes one; version is the target group's protocol version.
func newFront(t *testing.T, version string, target net.Addr) front {
	t.Helper()
	ctx := t.Context()
	f := front{Local: start(t), roots: x509.NewCertPool()}
	client := elb.NewFromConfig(f.Config)
	body, key := selfSigned(t)
	f.roots.AppendCertsFromPEM(body)
	f.pem = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(f.pem, body, 0o600); err != nil {
		t.Fatal(err)
	}
	certificate, err := acm.NewFromConfig(f.Config).ImportCertificate(ctx, &acm.ImportCertificateInput{Certificate: body, PrivateKey: key})
	check(t, err)
	balancer, err := client.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: aws.String("front"), Subnets: localawstest.PublicSubnets[:]})
	check(t, err)
	port := int32(target.(*net.TCPAddr).Port)
	group, err := client.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{
		Name: aws.String("app"), Protocol: "HTTP", ProtocolVersion: &version, Port: &port, VpcId: aws.String(localawstest.VPC), TargetType: "ip",
		HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(2), HealthyThresholdCount: aws.Int32(2),
	})
	check(t, err)
	arn := group.TargetGroups[0].TargetGroupArn
	_, err = client.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: arn, Targets: []types.TargetDescription{{Id: aws.String("127.0.0.1"), Port: &port}}})
	check(t, err)
	const listenPort = 8443 // one that needs no right to be opened
	_, err = client.CreateListener(ctx, &elb.CreateListenerInput{
		LoadBalancerArn: balancer.LoadBalancers[0].LoadBalancerArn, Port: aws.Int32(listenPort), Protocol: "HTTPS",
		Certificates:   []types.Certificate{{CertificateArn: certificate.CertificateArn}},
		DefaultActions: []types.Action{{Type: "forward", TargetGroupArn: arn}},
	})
	check(t, err)
	at, _ := f.Resolve(*balancer.LoadBalancers[0].DNSName)
	f.address = fmt.Sprintf("%s:%d", at, listenPort)
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func selfSigned(t *testing.T) (body, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(0, 1, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	check(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// eventually tries until it works, for as long as the first health checks may take.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestGRPC calls a gRPC service through the load balancer: one call, and a stream that stays open.
func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server, service := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	go func() { _ = server.Serve(l) }() // ends with Stop
	defer server.Stop()
	f := newFront(t, "GRPC", l.Addr())
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: f.roots, ServerName: host, MinVersion: tls.VersionTLS12})))
	check(t, err)
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	eventually(t, func() error {
		_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		return err
	})
	stream, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	check(t, err)
	for i, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, grpc_health_v1.HealthCheckResponse_SERVING, grpc_health_v1.HealthCheckResponse_NOT_SERVING} {
		if i > 0 {
			service.SetServingStatus("shop", want)
		}
		got, err := stream.Recv()
		check(t, err)
		if got.Status != want {
			t.Errorf("message %d: %s, want %s", i, got.Status, want)
		}
	}
}

// TestWebSocket talks both ways over one connection through the load balancer.
func TestWebSocket(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/echo", websocket.Handler(func(c *websocket.Conn) {
		var text string
		for websocket.Message.Receive(c, &text) == nil {
			_ = websocket.Message.Send(c, "you said "+text) // the client is gone
		}
	}))
	app := httptest.NewServer(mux)
	defer app.Close()
	f := newFront(t, "HTTP1", app.Listener.Addr())
	config, err := websocket.NewConfig("wss://"+host+"/echo", "https://"+host)
	check(t, err)
	eventually(t, func() error {
		raw, err := tls.Dial("tcp", f.address, &tls.Config{RootCAs: f.roots, ServerName: host, MinVersion: tls.VersionTLS12})
		if err != nil {
			return err
		}
		c, err := websocket.NewClient(config, raw)
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range 3 {
			var answer string
			said := fmt.Sprint("hello ", i)
			if err := websocket.Message.Send(c, said); err != nil {
				return err
			}
			if err := websocket.Message.Receive(c, &answer); err != nil {
				return err
			}
			if answer != "you said "+said {
				return fmt.Errorf("%q", answer)
			}
		}
		return nil
	})
}

// TestCurl asks over TLS with each version of HTTP that curl has.
func TestCurl(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Host, r.Header.Get("X-Forwarded-Proto"))
	}))
	defer app.Close()
	f := newFront(t, "HTTP1", app.Listener.Addr())
	at, port, err := net.SplitHostPort(f.address)
	check(t, err)
	url := "https://" + net.JoinHostPort(host, port) + "/"
	// With --http1.0 curl offers nothing but http/1.0 in the TLS handshake, which a server of newer versions may refuse.
	for flag, version := range map[string]string{"--http1.0 --no-alpn": "1.1", "--http1.1": "1.1", "--http2": "2"} {
		want := host + ":" + port + " https " + version // the load balancer answers 1.0 in 1.1, as AWS's does
		eventually(t, func() error {
			out, err := exec.CommandContext(t.Context(), "curl", append(strings.Fields(flag), "-sS", "--cacert", f.pem, "--resolve",
				net.JoinHostPort(host, port)+":"+at, "-w", " %{http_version}", url)...).CombinedOutput()
			if got := string(bytes.TrimSpace(out)); err != nil || got != want {
				return fmt.Errorf("%s: %q, want %q: %w", flag, got, want, err)
			}
			return nil
		})
	}
}
