package aws

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehq/sluice/internal/lb"
)

// Store keeps shards of bytes outside of the process, so that the next one does not have to read from AWS what this one
// knew. Losing it costs calls, nothing else.
type Store interface {
	// Read returns a shard; nil when there is none.
	Read(ctx context.Context, shard string) ([]byte, error)
	// Write replaces a shard; nil removes it. It fails, and changes nothing, when somebody else wrote the shard since
	// it was read or written here: a new leader.
	Write(ctx context.Context, shard string, content []byte) error
}

const (
	checkpointShards   = 8
	foreignShard       = "foreign"
	checkpointEvery    = 10 * time.Second
	checkpointLastTime = 3 * time.Second // for the last writing, when the process stops

	// largestShard is what a shard may hold: a ConfigMap takes 1 MiB, and base64 is a third more.
	largestShard = 700 << 10

	// checkpointMeaning is raised when the same fields come to mean something else. A change of the fields themselves
	// shows in their shape.
	checkpointMeaning = "1"
)

// memory is what a checkpoint keeps of a stack: what a listing does not show. It holds nothing that AWS keeps secret.
type memory struct {
	LoadBalancers []loadBalancer
	Listeners     []listener
	Rules         []rule // also foreign ones on these listeners
	TargetGroups  []targetGroup
	Details       savedDetails
}

// arns lists what ELBv2 knows details of.
func (m memory) arns() []string {
	var arns []string
	for _, b := range m.LoadBalancers {
		arns = append(arns, b.ARN)
	}
	for _, l := range m.Listeners {
		arns = append(arns, l.ARN)
	}
	for _, g := range m.TargetGroups {
		arns = append(arns, g.ARN)
	}
	return arns
}

// savedShard is the content of a shard.
type savedShard struct {
	Identity string // of what it is about, and how it is written
	Stacks   map[lb.StackID]memory
	Foreign  []string
}

// checkpoint keeps the mirror's contents in a Store. What it keeps of a stack is taken out before the stack is changed
// and put back when that is over, so whatever a crash leaves is read anew by the next start. Changes by others since
// then are found by the audit that follows a start.
type checkpoint struct {
	store    Store // nil for none
	mirror   *mirror
	details  details
	identity string
	log      *slog.Logger

	mu      sync.Mutex
	working map[lb.StackID]int // stacks that are being changed
	stale   map[string]bool    // shards to write

	shards map[string]*shard
}

// shard is what is known of a shard of the store. It is written by one at a time.
type shard struct {
	writing sync.Mutex
	stacks  map[lb.StackID]bool // those that the store has
	content [sha256.Size]byte   // digest of what was last written
	broken  bool                // it could not be written; tried again by the next Checkpoint
}

func newCheckpoint(store Store, m *mirror, d details, where string, log *slog.Logger) *checkpoint {
	c := &checkpoint{
		store: store, mirror: m, details: d, log: log,
		identity: checkpointMeaning + " " + strconv.Itoa(checkpointShards) + " " + where + " " + shapeOf(reflect.TypeFor[savedShard]()),
		working:  map[lb.StackID]int{}, stale: map[string]bool{}, shards: map[string]*shard{},
	}
	for i := range checkpointShards {
		c.shards[strconv.Itoa(i)] = newShard()
	}
	c.shards[foreignShard] = newShard()
	return c
}

// newShard is one that the store does not have.
func newShard() *shard { return &shard{content: sha256.Sum256(nil)} }

func shardOf(stack lb.StackID) string {
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(stack)) // a hash takes everything
	return strconv.Itoa(int(h.Sum32() % checkpointShards))
}

// recall reads what the process before knew; nothing when there is none that can be used.
func (c *checkpoint) recall(ctx context.Context) (stacks map[lb.StackID]memory, foreign []string) {
	if c.store == nil {
		return nil, nil
	}
	stacks = map[lb.StackID]memory{}
	for name, read := range c.readAll(ctx) {
		saved, err := read.saved, read.err
		if err != nil {
			c.log.Warn("a part of the checkpoint cannot be used; what it had is read from AWS", "part", name, "error", err)
			c.again(name)
		}
		s := c.shards[name]
		s.writing.Lock()
		s.content, s.stacks = sha256.Sum256(read.content), map[lb.StackID]bool{}
		for stack, m := range saved.Stacks {
			stacks[stack], s.stacks[stack] = m, true
		}
		s.writing.Unlock()
		foreign = append(foreign, saved.Foreign...)
	}
	return stacks, foreign
}

// readShard is what the store has of a shard; what cannot be used is left out.
type readShard struct {
	content []byte
	saved   savedShard
	err     error
}

func (c *checkpoint) readAll(ctx context.Context) map[string]*readShard {
	all := map[string]*readShard{}
	var calls []func() error
	for name := range c.shards {
		one := &readShard{}
		all[name] = one
		calls = append(calls, func() error {
			one.read(ctx, c, name)
			return nil
		})
	}
	_ = together(calls...) // each has its own error
	return all
}

func (r *readShard) read(ctx context.Context, c *checkpoint, name string) {
	if r.content, r.err = c.store.Read(ctx, name); r.err != nil || r.content == nil {
		return
	}
	saved, err := decodeShard(r.content)
	switch {
	case err != nil:
		r.err = err
	case saved.Identity != c.identity:
		r.err = errors.New("it is of another version or another cluster")
	default:
		r.saved = saved
	}
}

// begin takes a stack out of the checkpoint before it is changed. What cannot be taken out is changed all the same: a
// crash now would leave something that only an audit finds, and not changing it would be worse.
func (c *checkpoint) begin(ctx context.Context, stack lb.StackID) {
	if c.store == nil {
		return
	}
	c.mu.Lock()
	c.working[stack]++
	c.mu.Unlock()
	name := shardOf(stack)
	s := c.shards[name]
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.stacks[stack] && !s.broken {
		c.write(ctx, name, s)
	}
}

// end lets a stack back into the checkpoint, with the next writing.
func (c *checkpoint) end(stack lb.StackID) {
	if c.store == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.working[stack]--; c.working[stack] == 0 {
		delete(c.working, stack)
	}
	c.stale[shardOf(stack)] = true
}

// flush writes the shards in which something has changed.
func (c *checkpoint) flush(ctx context.Context) {
	if c.store == nil || !c.mirror.isLoaded() {
		return
	}
	touched := c.mirror.takeTouched()
	c.mu.Lock()
	for stack := range touched {
		c.stale[shardOf(stack)] = true
	}
	names := slices.Sorted(maps.Keys(c.stale))
	clear(c.stale)
	c.mu.Unlock()
	for _, name := range append(names, foreignShard) {
		s := c.shards[name]
		s.writing.Lock()
		c.write(ctx, name, s)
		s.writing.Unlock()
	}
}

// write replaces a shard by what is known now, without the stacks that are being changed. The caller holds s.writing.
func (c *checkpoint) write(ctx context.Context, name string, s *shard) {
	saved := savedShard{Identity: c.identity, Stacks: map[lb.StackID]memory{}}
	if name == foreignShard {
		saved.Foreign = c.mirror.foreigners()
	} else {
		c.mu.Lock()
		working := maps.Clone(c.working)
		c.mu.Unlock()
		saved.Stacks = c.mirror.memories(func(stack lb.StackID) bool { return shardOf(stack) == name && working[stack] == 0 })
		for stack, m := range saved.Stacks {
			m.Details = c.details.of(m.arns())
			saved.Stacks[stack] = m
		}
	}
	content, err := encodeShard(saved)
	if err == nil && len(content) > largestShard {
		c.log.Warn("a part of the checkpoint is too large; what it would hold is read from AWS at the next start", "part", name, "bytes", len(content))
		content, saved = nil, savedShard{}
	}
	digest := sha256.Sum256(content)
	if err == nil && (digest != s.content || s.broken) {
		err = c.store.Write(ctx, name, content)
	}
	if err != nil {
		if !s.broken && ctx.Err() == nil {
			c.log.Warn("the checkpoint cannot be written; the next start may read more from AWS", "part", name, "error", err)
		}
		s.broken = true
		c.again(name)
		return
	}
	s.broken, s.content, s.stacks = false, digest, map[lb.StackID]bool{}
	for stack := range saved.Stacks {
		s.stacks[stack] = true
	}
}

// again has the next flush write a shard.
func (c *checkpoint) again(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale[name] = true
}

func encodeShard(s savedShard) ([]byte, error) {
	if len(s.Stacks)+len(s.Foreign) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if err := json.NewEncoder(zip).Encode(s); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func decodeShard(content []byte) (s savedShard, err error) {
	zip, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return s, err
	}
	err = json.NewDecoder(zip).Decode(&s)
	return s, err
}

// shapeOf is equal for types that are written alike, so that nobody has to remember raising a version.
func shapeOf(t reflect.Type) string {
	var text strings.Builder
	describe(&text, t)
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}

func describe(out *strings.Builder, t reflect.Type) {
	switch t.Kind() {
	case reflect.Struct:
		out.WriteString("{")
		for i := range t.NumField() {
			out.WriteString(t.Field(i).Name + " ")
			describe(out, t.Field(i).Type)
			out.WriteString(";")
		}
		out.WriteString("}")
	case reflect.Slice, reflect.Pointer, reflect.Array:
		out.WriteString(t.Kind().String() + " ")
		describe(out, t.Elem())
	case reflect.Map:
		out.WriteString("map ")
		describe(out, t.Key())
		describe(out, t.Elem())
	default:
		out.WriteString(t.Kind().String())
	}
}
