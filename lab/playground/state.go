// Package playground brings the lab up and down: it decides the order, keeps
// the state directory, and talks to the person at the terminal. What it
// arranges is made by the packages network, process, cluster, node, cri and aws.
//
// Everything it does is safe to do again: what runs stays, what is missing is
// made. The state directory is all that it remembers.
package playground

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/sluicehq/sluice/lab/aws"
	"github.com/sluicehq/sluice/lab/cluster"
	"github.com/sluicehq/sluice/lab/network"
	"github.com/sluicehq/sluice/lab/process"
)

// Options are what the user asked for.
type Options struct {
	// Dir is the state directory; Root the repository.
	Dir, Root string
	// Nodes is how many nodes; 0 means as before, or three.
	Nodes int
	// Controller is "sluice" or "none"; "" means as before, or sluice.
	Controller string
	// AWSEndpoint is another endpoint than local AWS, or "".
	AWSEndpoint string
	// VPCCIDR is the lab's network; "" means as before, or 192.168.0.0/16.
	VPCCIDR string
	// Sluice is the path of the sluice binary.
	Sluice string
	// Examples says whether to apply the samples.
	Examples bool
}

// maxDir bounds the state directory's length: below it are unix sockets, whose
// paths have at most 107 characters.
const maxDir = 60

// state is what must be the same from one invocation to the next.
type state struct {
	VPCCIDR     string        `json:"vpcCIDR"`
	Nodes       int           `json:"nodes"`
	Controller  string        `json:"controller"`
	Sluice      string        `json:"sluice"`
	AWSEndpoint string        `json:"awsEndpoint,omitempty"`
	AccessKey   string        `json:"accessKey"`
	SecretKey   string        `json:"secretKey"`
	Inventory   aws.Inventory `json:"inventory"`
	Ports       ports         `json:"ports"`
}

// ports are on 127.0.0.1 of the root namespace.
type ports struct {
	AWS     int `json:"aws"`
	DNS     int `json:"dns"`
	Metrics int `json:"metrics"`
	Health  int `json:"health"`
}

// lab is a lab whose state is known.
type lab struct {
	state
	dir, root string
	plan      network.Plan
	nodes     []network.Node
	cluster   cluster.Config
	parts     process.Table
}

func statePath(dir string) string { return filepath.Join(dir, "lab.json") }

// open reads the state of a lab that was brought up; found is false if there is none.
func open(dir, root string) (l lab, found bool, err error) {
	raw, err := os.ReadFile(statePath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return lab{}, false, nil
	}
	if err != nil {
		return lab{}, false, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return lab{}, false, fmt.Errorf("%s is damaged (%w): run \"lab down\" and start again", statePath(dir), err)
	}
	l, err = newLab(dir, root, s)
	return l, true, err
}

func newLab(dir, root string, s state) (lab, error) {
	plan, err := network.NewPlan(s.VPCCIDR)
	if err != nil {
		return lab{}, err
	}
	return lab{state: s, dir: dir, root: root, plan: plan, nodes: plan.Nodes(s.Nodes),
		cluster: cluster.Config{Dir: dir, Address: plan.ControlPlane()}, parts: process.Table{Dir: dir}}, nil
}

// settle merges what the user asks for now with what the lab was made with. A
// running lab does not change shape; that would be another lab.
func settle(o Options, old lab, found bool) (state, error) {
	s := old.state
	if !found {
		s = state{VPCCIDR: "192.168.0.0/16", Nodes: 3, Controller: "sluice", AccessKey: "lab", SecretKey: "lab"}
		s.AWSEndpoint = o.AWSEndpoint
		if key, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"); o.AWSEndpoint != "" && key != "" && secret != "" {
			s.AccessKey, s.SecretKey = key, secret
		}
	}
	changed := func(flag string, was, wanted any) error {
		return fmt.Errorf("this lab was made with %s %v and cannot change to %v: run \"lab down\" first", flag, was, wanted)
	}
	if o.VPCCIDR != "" && o.VPCCIDR != s.VPCCIDR {
		if found {
			return s, changed("--vpc-cidr", s.VPCCIDR, o.VPCCIDR)
		}
		s.VPCCIDR = o.VPCCIDR
	}
	if o.Nodes != 0 && o.Nodes != s.Nodes {
		if found {
			return s, changed("--nodes", s.Nodes, o.Nodes)
		}
		s.Nodes = o.Nodes
	}
	if o.AWSEndpoint != s.AWSEndpoint && o.AWSEndpoint != "" {
		return s, changed("--aws-endpoint", s.AWSEndpoint, o.AWSEndpoint)
	}
	if o.Controller != "" {
		s.Controller = o.Controller
	}
	if s.Controller != "sluice" && s.Controller != "none" {
		return s, fmt.Errorf("--controller=%s: it is sluice or none", s.Controller)
	}
	s.Sluice = o.Sluice
	plan, err := network.NewPlan(s.VPCCIDR)
	if err != nil {
		return s, err
	}
	if s.Nodes < 1 || s.Nodes > plan.MaxNodes() {
		return s, fmt.Errorf("--nodes %d: a lab has 1 to %d nodes", s.Nodes, plan.MaxNodes())
	}
	return s, nil
}

func (l lab) save() error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return err
	}
	// Written aside and renamed, so that an interrupted run leaves the old one.
	temp := statePath(l.dir) + ".new"
	if err := os.WriteFile(temp, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, statePath(l.dir))
}

// endpoint is where the lab's AWS is.
func (l lab) endpoint() aws.Endpoint {
	url := l.AWSEndpoint
	if url == "" {
		url = fmt.Sprintf("http://127.0.0.1:%d", l.Ports.AWS)
	}
	return aws.Endpoint{URL: url, AccessKeyID: l.AccessKey, SecretAccessKey: l.SecretKey}
}

// dnsServer answers the names of load balancers; "" with another endpoint.
func (l lab) dnsServer() string {
	if l.AWSEndpoint != "" {
		return ""
	}
	return fmt.Sprintf("127.0.0.1:%d", l.Ports.DNS)
}

// choosePorts picks a port for every server on loopback: the usual one, or
// another if it is taken.
func choosePorts() (ports, error) {
	var p ports
	for _, want := range []struct {
		port  *int
		usual int
		udp   bool
	}{{&p.AWS, 4566, false}, {&p.DNS, 4553, true}, {&p.Metrics, 8080, false}, {&p.Health, 8081, false}} {
		port, err := freePort(want.usual, want.udp)
		if err != nil {
			return p, fmt.Errorf("find a free port: %w", err)
		}
		*want.port = port
	}
	return p, nil
}

func freePort(usual int, udp bool) (int, error) {
	for _, port := range []int{usual, 0} {
		listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))))
		if err != nil {
			if port == 0 {
				return 0, err
			}
			continue
		}
		got := listener.Addr().(*net.TCPAddr).AddrPort()
		if udp {
			packets, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(got))
			if err != nil {
				listener.Close()
				continue
			}
			packets.Close()
		}
		listener.Close()
		return int(got.Port()), nil
	}
	return 0, errors.New("no port is free")
}
