// Package route53 is Route 53 as a dns.Provider. It turns record sets into those of the API and back, stays below the
// five requests a second that an account has, and tells what a zone refuses from what may work later.
package route53

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"
	"golang.org/x/time/rate"

	"github.com/sluicehq/sluice/internal/dns"
)

// The limits of Route 53 ("Quotas": ChangeResourceRecordSets, API requests).
const (
	requestsPerSecond = 5
	batchValues       = 1000
	batchBytes        = 32_000
	recordPage        = 300
	tagPage           = 10
)

// Options say how Route 53 is reached.
type Options struct {
	Configs  []aws.Config // one for each set of credentials; zones of all are served
	Attempts int          // of each call; the SDK's own number when 0
	Pause    time.Duration
	Limiter  *rate.Limiter // of calls; the account's five a second when nil
}

// Provider is Route 53. Make one with New.
type Provider struct {
	clients []*route53.Client
	pause   time.Duration

	mu    sync.Mutex
	owner map[dns.ZoneID]*route53.Client // whose credentials a zone is reached with
}

// New makes a Provider. It makes no call.
func New(o Options) *Provider {
	if o.Limiter == nil {
		o.Limiter = rate.NewLimiter(requestsPerSecond, requestsPerSecond)
	}
	p := &Provider{pause: o.Pause, owner: map[dns.ZoneID]*route53.Client{}}
	for _, config := range o.Configs {
		p.clients = append(p.clients, route53.NewFromConfig(config, func(settings *route53.Options) {
			if o.Attempts > 0 {
				settings.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
					r.MaxAttempts = o.Attempts
					r.Retryables = append(r.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{"PriorRequestNotComplete": {}}})
				})
			}
			settings.HTTPClient = limited{settings.HTTPClient, o.Limiter}
		}))
	}
	return p
}

// limited waits before each attempt of a call until one more is allowed.
type limited struct {
	client  route53.HTTPClient
	limiter *rate.Limiter
}

// Do waits and sends.
func (l limited) Do(r *http.Request) (*http.Response, error) {
	if err := l.limiter.Wait(r.Context()); err != nil {
		return nil, fmt.Errorf("wait for the rate that Route 53 allows: %w", err)
	}
	return l.client.Do(r)
}

// Limits are Route 53's.
func (p *Provider) Limits() dns.Limits {
	return dns.Limits{Values: batchValues, Bytes: batchBytes, Pause: p.pause, Aliases: true}
}

// Zones lists the zones of all credentials.
func (p *Provider) Zones(ctx context.Context, tags bool) ([]dns.Zone, error) {
	var zones []dns.Zone
	for _, client := range p.clients {
		pages := route53.NewListHostedZonesPaginator(client, &route53.ListHostedZonesInput{})
		var own []dns.Zone
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, explain("ListHostedZones", err)
			}
			for _, z := range page.HostedZones {
				own = append(own, dns.Zone{
					ID: dns.ParseZoneID(aws.ToString(z.Id)), Name: dns.UnescapeName(aws.ToString(z.Name), 8),
					Private: z.Config != nil && z.Config.PrivateZone,
				})
			}
		}
		if tags {
			if err := readTags(ctx, client, own); err != nil {
				return nil, err
			}
		}
		p.claim(client, own)
		zones = append(zones, own...)
	}
	slices.SortFunc(zones, func(a, b dns.Zone) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return slices.CompactFunc(zones, func(a, b dns.Zone) bool { return a.ID == b.ID }), nil
}

func readTags(ctx context.Context, client *route53.Client, zones []dns.Zone) error {
	for chunk := range slices.Chunk(zones, tagPage) {
		in := &route53.ListTagsForResourcesInput{ResourceType: types.TagResourceTypeHostedzone}
		for _, z := range chunk {
			in.ResourceIds = append(in.ResourceIds, string(z.ID))
		}
		out, err := client.ListTagsForResources(ctx, in)
		if err != nil {
			return explain("ListTagsForResources", err)
		}
		for _, set := range out.ResourceTagSets {
			i := slices.IndexFunc(chunk, func(z dns.Zone) bool { return string(z.ID) == aws.ToString(set.ResourceId) })
			if i < 0 {
				continue
			}
			chunk[i].Tags = map[string]string{}
			for _, t := range set.Tags {
				chunk[i].Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
			}
		}
	}
	return nil
}

// claim remembers which credentials zones are reached with: the first that list them.
func (p *Provider) claim(client *route53.Client, zones []dns.Zone) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, z := range zones {
		if p.owner[z.ID] == nil {
			p.owner[z.ID] = client
		}
	}
}

func (p *Provider) clientOf(zone dns.ZoneID) *route53.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.owner[zone]; c != nil {
		return c
	}
	return p.clients[0]
}

// Records reads one page, or all sets of one name.
func (p *Provider) Records(ctx context.Context, zone dns.Zone, from dns.Place) ([]dns.Record, dns.Place, error) {
	id, size := string(zone.ID), int32(recordPage)
	in := &route53.ListResourceRecordSetsInput{HostedZoneId: &id, MaxItems: &size}
	if from.Only != "" {
		from = dns.Place{Name: dns.EscapeName(from.Only), Only: from.Only}
		size = 100
	}
	if from.Name != "" {
		in.StartRecordName = &from.Name
		in.StartRecordType = types.RRType(from.Type)
		if from.SetID != "" {
			in.StartRecordIdentifier = &from.SetID
		}
	}
	var records []dns.Record
	for {
		out, err := p.clientOf(zone.ID).ListResourceRecordSets(ctx, in)
		if err != nil {
			return nil, dns.Place{}, explain("ListResourceRecordSets", err)
		}
		for i := range out.ResourceRecordSets {
			r := record(out.ResourceRecordSets[i])
			if from.Only != "" && r.Name != from.Only {
				return records, dns.Place{}, nil
			}
			records = append(records, r)
		}
		if !out.IsTruncated {
			return records, dns.Place{}, nil
		}
		if from.Only == "" {
			return records, dns.Place{Name: aws.ToString(out.NextRecordName), Type: string(out.NextRecordType), SetID: aws.ToString(out.NextRecordIdentifier)}, nil
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
}

// Change submits one batch.
func (p *Provider) Change(ctx context.Context, zone dns.Zone, changes []dns.Change) (dns.ChangeID, error) {
	id := string(zone.ID)
	in := &route53.ChangeResourceRecordSetsInput{HostedZoneId: &id, ChangeBatch: &types.ChangeBatch{}}
	for _, c := range changes {
		set := recordSet(c.Record)
		in.ChangeBatch.Changes = append(in.ChangeBatch.Changes, types.Change{Action: types.ChangeAction(c.Action), ResourceRecordSet: &set})
	}
	out, err := p.clientOf(zone.ID).ChangeResourceRecordSets(ctx, in)
	if err != nil {
		return "", explain("ChangeResourceRecordSets", err)
	}
	return dns.ChangeID(zone.ID) + " " + dns.ChangeID(aws.ToString(out.ChangeInfo.Id)), nil
}

// Synced asks for the state of a change.
func (p *Provider) Synced(ctx context.Context, id dns.ChangeID) (bool, error) {
	zone, change, _ := strings.Cut(string(id), " ")
	out, err := p.clientOf(dns.ZoneID(zone)).GetChange(ctx, &route53.GetChangeInput{Id: &change})
	var gone *types.NoSuchChange
	switch {
	case errors.As(err, &gone):
		return true, nil // old changes are forgotten once they are in force
	case err != nil:
		return false, explain("GetChange", err)
	}
	return out.ChangeInfo.Status == types.ChangeStatusInsync, nil
}

// refusals are the codes with which Route 53 does not take a batch as it is.
var refusals = []string{"InvalidChangeBatch", "InvalidInput", "NoSuchHealthCheck"}

// denials are those for credentials that may not do this, perhaps only not for some name in the batch: policies can
// bind changes to names.
var denials = []string{"AccessDenied", "AccessDeniedException"}

// explain says what was attempted. A refusal is the zone's own word.
func explain(action string, err error) error {
	var answer smithy.APIError
	if errors.As(err, &answer) && action == "ChangeResourceRecordSets" {
		denied := slices.Contains(denials, answer.ErrorCode())
		if denied || slices.Contains(refusals, answer.ErrorCode()) {
			return &dns.RefusedError{Reason: answer.ErrorCode() + ": " + message(err, answer), Denied: denied}
		}
	}
	return fmt.Errorf("route53:%s: %w", action, err)
}

// message is all that Route 53 says: the reasons for which it does not take a batch stand in a list.
func message(err error, answer smithy.APIError) string {
	var batch *types.InvalidChangeBatch
	if errors.As(err, &batch) && len(batch.Messages) > 0 {
		return strings.Join(batch.Messages, "; ")
	}
	return answer.ErrorMessage()
}
