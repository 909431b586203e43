package localaws

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/proxy"
)

// Times and sizes of logs. AWS publishes a file for each load balancer node and five minutes; a page that is full is
// published at once, so that memory is bounded.
const (
	logInterval = 5 * time.Minute
	fullPage    = 4 << 20
)

// logKind is what load balancers write logs of.
type logKind struct {
	attribute string // the attributes' prefix
	file      string // what names of files begin with
	test      string // the object that shows that the bucket can be written to
}

var (
	accessLogs     = logKind{"access_logs.s3.", "", "ELBAccessLogTestFile"}
	connectionLogs = logKind{"connection_logs.s3.", "conn_log_", "ELBConnectionLogTestFile"}
)

// logPlace is where the logs of a load balancer go.
type logPlace struct {
	balancer       string // app/NAME/ID
	bucket, prefix string
}

// logbook collects lines, and puts them into buckets from time to time.
type logbook struct {
	buckets         buckets
	account, region string
	log             *slog.Logger
	now             func() time.Time

	mu     sync.Mutex
	places map[logKind]map[proxy.LoadBalancerID]logPlace
	pages  map[pageKey]*bytes.Buffer
	timer  *time.Timer
	files  int // for names
	closed bool
}

// pageKey is what a file is for.
type pageKey struct {
	kind  logKind
	place logPlace
	node  netip.Addr
}

func newLogbook(o *Options) *logbook {
	return &logbook{
		buckets: o.buckets(), account: o.AccountID, region: o.Region, log: o.Logger, now: o.Now,
		places: map[logKind]map[proxy.LoadBalancerID]logPlace{}, pages: map[pageKey]*bytes.Buffer{},
	}
}

// placesOf finds where the logs of load balancers go, as their attributes say.
func (b *logbook) placesOf(balancers func(yield func(string, loadBalancer) bool)) {
	places := map[logKind]map[proxy.LoadBalancerID]logPlace{accessLogs: {}, connectionLogs: {}}
	for arn, lb := range balancers {
		for kind, at := range places {
			if lb.Attributes[kind.attribute+"enabled"] == "true" {
				at[proxy.LoadBalancerID(arn)] = logPlace{loadBalancerName(arn), lb.Attributes[kind.attribute+"bucket"], lb.Attributes[kind.attribute+"prefix"]}
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places = places
}

// Access takes a line of an access log.
func (b *logbook) Access(id proxy.LoadBalancerID, a proxy.Access) {
	b.add(accessLogs, id, a.Node, func(balancer string) string { return accessLine(balancer, a) })
}

// Connection takes a line of a connection log.
func (b *logbook) Connection(id proxy.LoadBalancerID, c proxy.Connection) {
	b.add(connectionLogs, id, c.Node, func(balancer string) string { return connectionLine(balancer, c) })
}

// Flow takes a line of a Network Load Balancer's access log, of which there is a file for all nodes.
func (b *logbook) Flow(id proxy.LoadBalancerID, f proxy.Flow) {
	b.add(accessLogs, id, netip.Addr{}, func(balancer string) string { return flowLine(balancer, f) })
}

func (b *logbook) add(kind logKind, id proxy.LoadBalancerID, node netip.Addr, line func(balancer string) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	place, ok := b.places[kind][id]
	if !ok || b.closed {
		return // it was turned off just now
	}
	key := pageKey{kind, place, node}
	page := b.pages[key]
	if page == nil {
		page = &bytes.Buffer{}
		b.pages[key] = page
	}
	page.WriteString(line(place.balancer))
	page.WriteByte('\n')
	if page.Len() >= fullPage {
		if err := b.publish(key, page); err != nil {
			b.log.Error("a log could not be written", "balancer", place.balancer, "error", err)
		}
	}
	if b.timer == nil {
		now := b.now()
		b.timer = time.AfterFunc(now.Truncate(logInterval).Add(logInterval).Sub(now), b.turn)
	}
}

// turn publishes all pages at the end of an interval.
func (b *logbook) turn() {
	if err := b.flush(); err != nil {
		b.log.Error("logs could not be written", "error", err)
	}
}

// flush publishes all pages.
func (b *logbook) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = nil
	var errs []error
	for key, page := range b.pages {
		errs = append(errs, b.publish(key, page))
	}
	return errors.Join(errs...)
}

func (b *logbook) close() error {
	err := b.flush()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	return err
}

// publish makes a file of a page, named as AWS names them. logbook.mu is held.
func (b *logbook) publish(key pageKey, page *bytes.Buffer) error {
	delete(b.pages, key)
	now := b.now().UTC()
	b.files++
	node := ""
	if key.node.IsValid() {
		node = key.node.String() + "_"
	}
	name := fmt.Sprintf("%s%s_elasticloadbalancing_%s_%s_%s_%s%08x.log.gz", key.kind.file, b.account, b.region,
		strings.ReplaceAll(key.place.balancer, "/", "."), now.Format("20060102T1504Z"), node, uint32(b.files)^uint32(now.UnixNano())) //nolint:gosec // any bits will do
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(page.Bytes()) // a buffer takes everything
	_ = w.Close()
	folder := path.Join(key.place.prefix, "AWSLogs", b.account, "elasticloadbalancing", b.region, now.Format("2006/01/02"))
	return b.buckets.write(key.place.bucket, path.Join(folder, name), packed.Bytes())
}

// checkLogs refuses logs into a bucket that cannot be written to, by leaving the object there that AWS leaves.
func (x *tx) checkLogs(before, after map[string]string) error {
	for _, kind := range []logKind{accessLogs, connectionLogs} {
		bucket, prefix := after[kind.attribute+"bucket"], after[kind.attribute+"prefix"]
		same := before[kind.attribute+"enabled"] == "true" && before[kind.attribute+"bucket"] == bucket && before[kind.attribute+"prefix"] == prefix
		switch {
		case after[kind.attribute+"enabled"] != "true" || same:
			continue
		case bucket == "":
			return invalid("The attribute '%sbucket' must be specified to enable '%senabled'", kind.attribute, kind.attribute)
		case strings.Contains(prefix, "AWSLogs"), strings.HasPrefix(prefix, "/"):
			return invalid("The log prefix '%s' cannot contain 'AWSLogs', nor begin with a slash", prefix)
		}
		object := path.Join(prefix, "AWSLogs", x.options.AccountID, kind.test)
		text := "Enable " + strings.TrimSuffix(kind.attribute, ".s3.") + " for a load balancer at " + x.now.Format(time.RFC3339) + "\n"
		if err := x.options.buckets().write(bucket, object, []byte(text)); err != nil {
			return conflicting("Access Denied for bucket: %s. Please check S3bucket permission: %s", bucket, why(err))
		}
	}
	return nil
}

// flushLogs publishes what there is of logs, without waiting for the end of the interval.
func (s *Server) flushLogs(w http.ResponseWriter, _ *http.Request) {
	if err := s.logbook.flush(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
