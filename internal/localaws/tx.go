package localaws

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"
)

// state is everything local AWS remembers. Rows are immutable: to change one, copy it, change the copy and put it.
// So a reader may keep a row after the lock is gone, and undoing is putting the old row back.
type state struct {
	loadBalancers *table[loadBalancer]
	listeners     *table[listener]
	rules         *table[rule]
	targetGroups  *table[targetGroup]
	trustStores   *table[trustStore]

	vpcs             *table[vpc]
	subnets          *table[subnet]
	routeTables      *table[routeTable]
	internetGateways *table[internetGateway]
	securityGroups   *table[securityGroup]
	instances        *table[instance]
	interfaces       *table[networkInterface]
	peerings         *table[peering]
	prefixLists      *table[prefixList]
	elasticIPs       *table[elasticIP]

	certificates       *table[certificate]
	serverCertificates *table[serverCertificate]

	webACLs         *table[webACL]
	webACLUses      *table[string] // by the ARN of the load balancer
	regionalACLs    *table[regionalACL]
	regionalACLUses *table[string]
	protections     *table[protection]

	accelerators         *table[accelerator]
	acceleratorListeners *table[gaListener]
	endpointGroups       *table[endpointGroup]

	userPools   *table[userPool]
	userClients *table[userClient]
	users       *table[poolUser]

	hostedZones *table[dnsZone]
	records     *table[recordNode]
	zoneChanges *table[zoneChange]

	tags *table[taggedResource]
	meta *table[string]

	tables []loader
	seq    uint64
}

// loader is the part of a table that does not depend on its row type.
type loader interface {
	name() string
	load(id string, data []byte) (seq uint64, err error)
	sort()
	dump(to func(id string, data []byte) error) error
	overwrite(id string, data []byte) error // no data deletes
}

func newState() *state {
	s := &state{}
	s.loadBalancers = newTable[loadBalancer](s, "loadbalancer")
	s.listeners = newTable[listener](s, "listener")
	s.rules = newTable[rule](s, "rule")
	s.targetGroups = newTable[targetGroup](s, "targetgroup")
	s.trustStores = newTable[trustStore](s, "truststore")
	s.vpcs = newTable[vpc](s, "vpc")
	s.subnets = newTable[subnet](s, "subnet")
	s.routeTables = newTable[routeTable](s, "routetable")
	s.internetGateways = newTable[internetGateway](s, "internetgateway")
	s.securityGroups = newTable[securityGroup](s, "securitygroup")
	s.instances = newTable[instance](s, "instance")
	s.interfaces = newTable[networkInterface](s, "networkinterface")
	s.peerings = newTable[peering](s, "peering")
	s.prefixLists = newTable[prefixList](s, "prefixlist")
	s.elasticIPs = newTable[elasticIP](s, "elasticip")
	s.certificates = newTable[certificate](s, "certificate")
	s.serverCertificates = newTable[serverCertificate](s, "servercertificate")
	s.webACLs = newTable[webACL](s, "webacl")
	s.webACLUses = newTable[string](s, "webacluse")
	s.regionalACLs = newTable[regionalACL](s, "regionalacl")
	s.regionalACLUses = newTable[string](s, "regionalacluse")
	s.protections = newTable[protection](s, "protection")
	s.accelerators = newTable[accelerator](s, "accelerator")
	s.acceleratorListeners = newTable[gaListener](s, "acceleratorlistener")
	s.endpointGroups = newTable[endpointGroup](s, "endpointgroup")
	s.userPools = newTable[userPool](s, "userpool")
	s.userClients = newTable[userClient](s, "userclient")
	s.users = newTable[poolUser](s, "user")
	s.hostedZones = newTable[dnsZone](s, "hostedzone")
	s.records = newTable[recordNode](s, "record")
	s.zoneChanges = newTable[zoneChange](s, "zonechange")
	s.tags = newTable[taggedResource](s, "tag")
	s.meta = newTable[string](s, "meta")
	return s
}

// table holds the rows of one kind, in the order they were created.
type table[T any] struct {
	kind  string
	rows  map[string]entry[T]
	order []string
}

type entry[T any] struct {
	Seq   uint64
	Value T

	version uint64 // differs from that of every other row this row ever was; not kept
}

func newTable[T any](s *state, kind string) *table[T] {
	t := &table[T]{kind: kind, rows: map[string]entry[T]{}}
	s.tables = append(s.tables, t)
	return t
}

func (t *table[T]) name() string { return t.kind }

func (t *table[T]) load(id string, data []byte) (uint64, error) {
	var e entry[T]
	if err := json.Unmarshal(data, &e); err != nil {
		return 0, fmt.Errorf("%s %s: %w", t.kind, id, err)
	}
	t.rows[id] = e
	t.order = append(t.order, id)
	return e.Seq, nil
}

func (t *table[T]) sort() {
	slices.SortFunc(t.order, func(a, b string) int {
		if t.rows[a].Seq < t.rows[b].Seq {
			return -1
		}
		return 1
	})
}

func (t *table[T]) get(id string) (T, bool) {
	e, ok := t.rows[id]
	return e.Value, ok
}

func (t *table[T]) has(id string) bool {
	_, ok := t.rows[id]
	return ok
}

func (t *table[T]) len() int { return len(t.order) }

// all yields the rows in the order they were created.
func (t *table[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, id := range t.order {
			if !yield(id, t.rows[id].Value) {
				return
			}
		}
	}
}

// find yields the rows that satisfy a condition.
func (t *table[T]) find(match func(T) bool) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for id, row := range t.all() {
			if match(row) && !yield(id, row) {
				return
			}
		}
	}
}

func (t *table[T]) exists(match func(T) bool) bool {
	for range t.find(match) {
		return true
	}
	return false
}

// put stores a row, new or changed.
func (t *table[T]) put(x *tx, id string, value T) {
	old, had := t.rows[id]
	x.state.seq++
	e := entry[T]{Seq: old.Seq, Value: value, version: x.state.seq}
	if !had {
		e.Seq = x.state.seq
		t.order = append(t.order, id)
	}
	t.rows[id] = e
	data, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("localaws: %s %s does not encode: %v", t.kind, id, err)) // rows are plain data
	}
	x.writes = append(x.writes, write{t.kind, id, data})
	x.undo = append(x.undo, func() {
		if had {
			t.rows[id] = old
			return
		}
		delete(t.rows, id)
		t.order = t.order[:len(t.order)-1] // undone in reverse, so it is the last again
	})
}

// delete removes a row if it is there.
func (t *table[T]) delete(x *tx, id string) {
	old, had := t.rows[id]
	if !had {
		return
	}
	at := t.forget(id)
	x.writes = append(x.writes, write{t.kind, id, nil})
	x.undo = append(x.undo, func() {
		t.rows[id] = old
		t.order = slices.Insert(t.order, at, id)
	})
}

// forget takes a row out and tells where it was, -1 when there was none.
func (t *table[T]) forget(id string) int {
	if !t.has(id) {
		return -1
	}
	at := slices.Index(t.order, id)
	delete(t.rows, id)
	t.order = slices.Delete(t.order, at, at+1)
	return at
}

// write is one change of the store; no data means delete.
type write struct {
	kind, id string
	data     []byte
}

// tx is one call at work: the state as it sees it, and what it changed. A mutating call has the state for itself.
type tx struct {
	*Server
	state  *state // the server's, or for a stale read what that was
	now    time.Time
	host   string // by which the caller knows this server
	undo   []func()
	writes []write
}

func (x *tx) rollback() {
	for _, undo := range slices.Backward(x.undo) {
		undo()
	}
	x.undo, x.writes = nil, nil
}

// updatesPlane tells whether the changes may matter to the data plane.
func (x *tx) updatesPlane() bool {
	return slices.ContainsFunc(x.writes, func(w write) bool {
		switch w.kind {
		case "loadbalancer", "listener", "rule", "targetgroup", "instance", "certificate", "servercertificate", "truststore":
			return true
		}
		return false
	})
}
