package ads

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Server has the resources, and one stream for each Envoy. It is safe for concurrent use.
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer

	log  *slog.Logger
	open chan struct{}

	mu        sync.Mutex
	opened    bool
	resources map[Type]map[string]Resource
	clients   map[*client]bool
	refusals  map[refusalKey]Refusal
	refused   chan struct{} // has an element when refusals have changed
	counts    Counts
}

// Counts are what the server has done so far.
type Counts struct {
	Clients   int // connected now
	Responses map[Type]int
	Refused   map[Type]int
}

type refusalKey struct {
	client *client
	key    Key
}

// New makes a server that is not open yet.
func New(logger *slog.Logger) *Server {
	return &Server{
		log: logger, open: make(chan struct{}), resources: map[Type]map[string]Resource{}, clients: map[*client]bool{},
		refusals: map[refusalKey]Refusal{}, refused: make(chan struct{}, 1),
		counts: Counts{Responses: map[Type]int{}, Refused: map[Type]int{}},
	}
}

// Open lets clients be answered. Call it when all resources that there are have been given once: an Envoy that was
// served by another process before must not be told that they are gone.
func (s *Server) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.opened = true
		close(s.open)
	}
}

// Opened is closed when the server is open.
func (s *Server) Opened() <-chan struct{} { return s.open }

// Update sets some resources and removes others. What stays equal is no change, and no client hears of it.
func (s *Server) Update(set []Resource, gone []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var changed []Key
	for _, r := range set {
		byName := s.resources[r.Type]
		if byName == nil {
			byName = map[string]Resource{}
			s.resources[r.Type] = byName
		}
		if byName[r.Name].Version != r.Version {
			byName[r.Name] = r
			changed = append(changed, r.Key)
		}
	}
	for _, key := range gone {
		if _, ok := s.resources[key.Type][key.Name]; ok {
			delete(s.resources[key.Type], key.Name)
			changed = append(changed, key)
		}
	}
	if len(changed) == 0 {
		return
	}
	for c := range s.clients {
		c.mark(changed)
		for _, key := range changed {
			s.forgive(c, key)
		}
	}
}

// Refusals are the resources that some client does not accept as they are now, sorted.
func (s *Server) Refusals() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.refusals), func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node))
	})
}

// RefusalsChanged has an element when Refusals may have changed.
func (s *Server) RefusalsChanged() <-chan struct{} { return s.refused }

// Counts tells what has been done so far.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{Clients: len(s.clients), Responses: maps.Clone(s.counts.Responses), Refused: maps.Clone(s.counts.Refused)}
}

// Serve serves Envoys on a listener until the context ends. config is nil for a connection in clear text.
func (s *Server) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	options := []grpc.ServerOption{
		grpc.MaxConcurrentStreams(1 << 20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 20 * time.Second, PermitWithoutStream: true}),
	}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	server := grpc.NewServer(options...)
	discovery.RegisterAggregatedDiscoveryServiceServer(server, s)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve xDS on %s: %w", listener.Addr(), err)
	}
	return nil
}

// resource returns one resource.
func (s *Server) resource(key Key) (Resource, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.resources[key.Type][key.Name]
	return r, ok
}

// names are those of all resources of a type.
func (s *Server) names(t Type) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.resources[t]))
}

func (s *Server) enter(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = true
}

func (s *Server) leave(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	for k := range s.refusals {
		if k.client == c {
			s.forgive(c, k.key)
		}
	}
}

func (s *Server) responded(t Type) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Responses[t]++
}

func (s *Server) nacked(t Type) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Refused[t]++
}

func (s *Server) refuse(c *client, r Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[refusalKey{c, r.Key}] = r
	s.tell()
}

// forgive forgets that a client refused a resource, which has changed or has been accepted since. s.mu is held.
func (s *Server) forgive(c *client, key Key) {
	if _, ok := s.refusals[refusalKey{c, key}]; ok {
		delete(s.refusals, refusalKey{c, key})
		s.tell()
	}
}

func (s *Server) tell() {
	select {
	case s.refused <- struct{}{}:
	default:
	}
}
