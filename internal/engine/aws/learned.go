package aws

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// learned remembers a thing about resources, by ARN, that cannot be read in bulk: only those of which somebody wants to
// know it are known, since it was changed through here, or since they were planned first.
type learned[V any] struct {
	read  func(ctx context.Context, arn string) (V, error)
	same  func(a, b V) bool
	touch func(arn string) // told what has changed; nil for nobody

	mu    sync.Mutex
	known map[string]V
}

func (l *learned[V]) get(arn string) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, ok := l.known[arn]
	return have, ok
}

func (l *learned[V]) set(arn string, have V) {
	if l.touch != nil {
		defer l.touch(arn)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[string]V{}
	}
	l.known[arn] = have
}

func (l *learned[V]) drop(arn string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, arn)
}

// recall takes what a checkpoint has of resources that are still there.
func (l *learned[V]) recall(saved map[string]V, there func(arn string) bool) {
	for arn, have := range saved {
		if _, known := l.get(arn); !known && there(arn) {
			l.set(arn, have)
		}
	}
}

// of is what is known of these.
func (l *learned[V]) of(arns []string) map[string]V {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := map[string]V{}
	for _, arn := range arns {
		if have, ok := l.known[arn]; ok {
			some[arn] = have
		}
	}
	return some
}

// learn reads what is not known yet. Of what is gone it is the zero value.
func (l *learned[V]) learn(ctx context.Context, arn string) error {
	if _, ok := l.get(arn); ok {
		return nil
	}
	have, err := l.read(ctx, arn)
	if err != nil && !isNotFound(err) {
		return err
	}
	l.set(arn, have)
	return nil
}

// audit reads everything that is known again and returns the ARNs for which it has changed.
func (l *learned[V]) audit(ctx context.Context) (changed []string, err error) {
	l.mu.Lock()
	arns := slices.Sorted(maps.Keys(l.known))
	l.mu.Unlock()
	for _, arn := range arns {
		before, _ := l.get(arn)
		have, err := l.read(ctx, arn)
		switch {
		case isNotFound(err):
			l.drop(arn)
		case err != nil:
			return nil, err
		default:
			if now, still := l.get(arn); !still || !l.same(now, before) {
				continue // it was changed through here meanwhile
			}
			if l.set(arn, have); !l.same(before, have) {
				changed = append(changed, arn)
			}
		}
	}
	return changed, nil
}

// details are all that is learned about resources.
type details struct {
	attributes *attributes
	names      *serverNames
	addOns     *addOns
}

func newDetails(a api, touch func(arn string)) details {
	return details{attributes: newAttributes(a, touch), names: newServerNames(a, touch), addOns: newAddOns(a, touch)}
}

// savedDetails is what a checkpoint keeps of them.
type savedDetails struct {
	Attributes  map[string]map[string]string
	ServerNames map[string][]string
	WebACLs     map[string]string
	Classic     map[string]string
	Protections map[string]protection
}

func (d details) of(arns []string) savedDetails {
	return savedDetails{
		Attributes: d.attributes.of(arns), ServerNames: d.names.of(arns),
		WebACLs: d.addOns.webACLs.of(arns), Classic: d.addOns.classic.of(arns), Protections: d.addOns.protection.of(arns),
	}
}

func (d details) recall(saved savedDetails, there func(arn string) bool) {
	d.attributes.recall(saved.Attributes, there)
	d.names.recall(saved.ServerNames, there)
	d.addOns.webACLs.recall(saved.WebACLs, there)
	d.addOns.classic.recall(saved.Classic, there)
	d.addOns.protection.recall(saved.Protections, there)
}

func (d details) drop(arn string) {
	d.attributes.drop(arn)
	d.names.drop(arn)
	d.addOns.drop(arn)
}

func (d details) audit(ctx context.Context) (changed []string, err error) {
	for _, audit := range []func(context.Context) ([]string, error){
		d.attributes.audit, d.names.audit, d.addOns.webACLs.audit, d.addOns.classic.audit, d.addOns.protection.audit,
	} {
		some, err := audit(ctx)
		if err != nil {
			return changed, err
		}
		changed = append(changed, some...)
	}
	return changed, nil
}
