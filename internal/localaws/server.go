package localaws

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehq/sluice/internal/localaws/wire"
	"github.com/sluicehq/sluice/internal/proxy"
)

// Server is one local AWS: an account in a region.
type Server struct {
	options  Options
	log      *slog.Logger
	registry *registry
	quota    map[string]int

	mu    sync.RWMutex // guards state; a mutating call holds it whole
	state *state
	store *store
	plane DataPlane
	dns   *dnsServer

	profile  atomic.Pointer[Profile]
	throttle throttle
	lag      lag
	endpoint atomic.Pointer[string]              // where clients reach the API
	dark     atomic.Pointer[map[netip.Addr]bool] // targets that cannot be reached

	troubles    map[string]bool // what the data plane last complained of
	planeRules  translations[proxy.Rule]
	planeGroups translations[proxy.TargetGroup]

	planeCertificates translations[tls.Certificate]
	planeTrusts       translations[*proxy.TrustStore]
	logbook           *logbook

	random     sync.Mutex // guards options.Random
	monitor    sync.Mutex // guards what follows
	calls      calls
	hook       func(Call) *Fault
	faults     faults
	closing    chan struct{} // closed when the server is
	closeOnce  sync.Once
	closeError error
}

// New starts a local AWS with the state found in the data directory: its listeners are open when New returns. The API
// is served by Serve, Run or Handler.
func New(o Options) (*Server, error) {
	if err := complete(&o); err != nil {
		return nil, err
	}
	r, err := serve()
	if err != nil {
		return nil, err
	}
	s := &Server{
		options: o, log: o.Logger, registry: r, quota: maps.Clone(quotas), state: newState(),
		calls: calls{counts: map[string]int{}}, faults: faults{}, closing: make(chan struct{}),
		planeRules: translations[proxy.Rule]{}, planeGroups: translations[proxy.TargetGroup]{},
		planeCertificates: translations[tls.Certificate]{}, planeTrusts: translations[*proxy.TrustStore]{}, logbook: newLogbook(&o),
	}
	if err := s.adopt(o.Profile); err != nil {
		return nil, err
	}
	for name, limit := range o.Quotas {
		if err := s.SetQuota(name, limit); err != nil {
			return nil, err
		}
	}
	if s.store, err = openStore(o.DataDir); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// complete fills in what the options leave open.
func complete(o *Options) error {
	if seed := o.Seed; seed != nil {
		if o.Region != "" && seed.Region != "" && o.Region != seed.Region {
			return fmt.Errorf("localaws: the seed is for region %s, but region %s is asked for", seed.Region, o.Region)
		}
		o.Region = firstOf(o.Region, seed.Region)
		o.AccountID = firstOf(o.AccountID, seed.AccountID)
	}
	o.Region = firstOf(o.Region, fallbackRegion)
	o.AccountID = firstOf(o.AccountID, fallbackAccount)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !o.AddressPool.IsValid() {
		o.AddressPool = netip.MustParsePrefix(fallbackPool)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AfterFunc == nil {
		o.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return nil
}

func (s *Server) start() error {
	if err := s.store.load(s.state); err != nil {
		return err
	}
	if err := s.identify(); err != nil {
		return err
	}
	if s.options.Seed != nil {
		if err := s.change(func(x *tx) error { return x.plant(s.options.Seed) }); err != nil {
			return err
		}
	}
	if err := s.startPlane(); err != nil {
		return err
	}
	if s.options.DNSAddress == "" {
		return nil
	}
	var err error
	s.dns, err = startDNS(s, s.options.DNSAddress)
	return err
}

// identify refuses a data directory that belongs to another account or region: its ARNs would all be wrong. A new state
// gets its certificate authority; in an old one, certificates that are about to expire are renewed.
func (s *Server) identify() error {
	want := s.options.AccountID + "/" + s.options.Region
	if have, ok := s.state.meta.get("identity"); ok && have != want {
		return fmt.Errorf("localaws: %s holds the state of account/region %s, but %s is asked for", s.options.DataDir, have, want)
	}
	return s.change(func(x *tx) error {
		x.state.meta.put(x, "identity", want)
		if x.state.meta.has("authority.key") {
			return x.validateCertificates()
		}
		ca, err := newAuthority(x.options.AccountID, x.now)
		x.state.meta.put(x, "authority.certificate", ca.Body)
		x.state.meta.put(x, "authority.key", ca.Key)
		return err
	})
}

// change runs a change of the state that is not a call.
func (s *Server) change(f func(*tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.begin()
	if err := f(x); err != nil {
		x.rollback()
		return err
	}
	return s.finish(x)
}

// begin starts a call on the state as it is.
func (s *Server) begin() *tx { return &tx{Server: s, state: s.state, now: s.options.Now().UTC()} }

// Close closes every listener and the store. It may be called twice.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.dns.close()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lag.close()
		if s.plane != nil {
			s.plane.Close()
		}
		s.closeError = errors.Join(s.logbook.close(), s.store.close())
	})
	return s.closeError
}

// Region is the region that this AWS is.
func (s *Server) Region() string { return s.options.Region }

// AccountID is the account whose resources these are.
func (s *Server) AccountID() string { return s.options.AccountID }

// Endpoint is where clients reach the API: it is in the addresses that login pages lead to.
func (s *Server) Endpoint() string {
	if at := s.endpoint.Load(); at != nil {
		return *at
	}
	return "http://" + ListenAddress
}

// SetEndpoint says where clients reach the API. Serve finds out by itself. Load balancers learn of it, as they send users
// to login pages there.
func (s *Server) SetEndpoint(url string) {
	s.endpoint.Store(&url)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.applyPlane(); err != nil {
		s.log.Error("load balancers do not know where the login pages are", "error", err)
	}
}

// SetQuota changes a limit, by the name that DescribeAccountLimits gives it.
func (s *Server) SetQuota(name string, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.quota[name]; !ok {
		return fmt.Errorf("localaws: there is no quota %q", name)
	}
	s.quota[name] = limit
	return nil
}

// Serve answers API requests on a listener until the context ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx }, // only calls that a fault has hang look at it
	}
	if s.endpoint.Load() == nil {
		s.SetEndpoint("http://" + l.Addr().String())
	}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("localaws: serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		_ = h.Close() // the calls still open after the grace are cut
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("localaws: serve: %w", err)
	}
	return nil
}

// Handler answers API requests, and the admin endpoint under /_local/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.admin(mux)
	s.serveMetadata(mux)
	s.serveLogins(mux)
	mux.HandleFunc("/", s.serveAPI)
	return mux
}

// maxBody is far above any request AWS takes.
const maxBody = 4 << 20

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request body cannot be read", http.StatusRequestEntityTooLarge)
		return
	}
	req := request{header: r.Header, host: r.Host, body: body, id: requestID(), arrived: time.Now()}
	if target, operation, ok := wire.RPCPath(r.URL.Path); ok {
		req.service, _ = s.registry.byTarget(target + ".")
		req.operation, req.cbor = operation, true
	} else if req.service = s.registry.byPath(r.URL.Path); req.service != nil {
		req.form = r.URL.Query()
		if req.operation, req.labels = req.service.Route(r.Method, r.URL.EscapedPath()); req.operation == "" {
			req.operation = r.Method + " " + r.URL.Path
		}
	} else if req.malformed = req.parse(r); req.malformed == nil {
		req.find(s.registry)
	}
	if req.service == nil {
		req.cbor = false
		s.log.Warn("request for a service that local AWS does not have", "method", r.Method, "path", r.URL.Path,
			"target", r.Header.Get("X-Amz-Target"), "service", credentialScope(r.Header.Get("Authorization")))
		// The caller's protocol is unknown; this is the shape most clients read.
		s.answer(w, s.registry.services["sts"], &req, nil, nil, wire.Errorf("InvalidAction",
			"Could not find an operation to run: local AWS does not have this service"))
		return
	}
	defer func() { s.record(&req) }()
	if err := s.authenticate(r, &req); err != nil {
		s.answer(w, req.service, &req, nil, nil, err)
		return
	}
	op := req.service.operations[req.operation]
	if op == nil {
		s.log.Warn("operation that local AWS does not have", "operation", req.service.SigningName+":"+req.operation)
		s.answer(w, req.service, &req, nil, nil, req.service.UnknownOperation(req.operation))
		return
	}
	out, err := s.call(r.Context(), op, &req)
	s.answer(w, req.service, &req, op, out, err)
}

// call runs one operation, with its count, its limits and its faults.
func (s *Server) call(ctx context.Context, op *operation, req *request) (any, error) {
	var in any
	err := req.malformed
	if err == nil {
		if in, err = decode(op, req); err == nil {
			err = op.Validate(in)
		}
	}
	fault := s.decide(Call{Operation: op.key, Mutating: op.mutating, Input: in})
	if fault != nil && !fault.After {
		return nil, s.strike(ctx, fault)
	}
	if !s.throttle.take(s.options.Now(), bucketsOf(req.service.SigningName, req.operation, in)) {
		return nil, Throttled(op.key)
	}
	if err != nil {
		return nil, err
	}
	out, err := s.run(op, in, req.host)
	if fault != nil && err == nil {
		return nil, s.strike(ctx, fault)
	}
	return out, err
}

// run makes a call's changes, puts them in force and saves them; on any error nothing has changed.
func (s *Server) run(op *operation, in any, host string) (any, error) {
	if !op.mutating {
		x, done := s.reader(op.key)
		defer done()
		x.host = host
		out, err := op.run(x, in)
		if err == nil && isDryRun(in) {
			return nil, dryRun()
		}
		return out, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.begin()
	x.host = host
	out, err := op.run(x, in)
	if err != nil {
		x.rollback()
		return nil, err
	}
	if isDryRun(in) {
		x.rollback()
		return nil, dryRun()
	}
	if err := s.finish(x); err != nil {
		return nil, err
	}
	return out, nil
}

func dryRun() error {
	return &wire.Error{
		Code: "DryRunOperation", Message: "Request would have succeeded, but DryRun flag is set.", Status: http.StatusPreconditionFailed,
	}
}

// isDryRun reads the flag that EC2's calls have.
func isDryRun(in any) bool {
	flag := reflect.ValueOf(in).Elem().FieldByName("DryRun")
	return flag.IsValid() && flag.Kind() == reflect.Pointer && !flag.IsNil() && flag.Elem().Bool()
}

// finish puts changes in force, then saves them. The answer is given after both.
func (s *Server) finish(x *tx) error {
	err := s.updatePlane(x)
	if err != nil {
		// Asking again would not help, and clients would for a status of 500.
		s.log.Error("the data plane cannot do what a call asks for", "error", err)
		err = conflicting("local AWS cannot do this on this machine: %s", err.Error())
	} else if err = s.store.commit(x.writes); err == nil {
		s.age(x)
		return nil
	}
	planeChanged := x.updatesPlane()
	x.rollback()
	if planeChanged {
		if again := s.applyPlane(); again != nil {
			s.log.Error("the data plane could not be set back", "error", again)
		}
	}
	return err
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
