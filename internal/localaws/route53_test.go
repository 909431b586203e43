package localaws_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/miekg/dns"

	"github.com/sluicehq/sluice/internal/localaws"
	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// names is a client with a local AWS that answers DNS questions.
type names struct {
	*clients
	r53 *route53.Client
}

func startNames(t testing.TB, options ...localawstest.Option) names {
	t.Helper()
	c := start(t, append([]localawstest.Option{localawstest.WithOptions(func(o *localaws.Options) { o.DNSAddress = "127.0.0.1:0" })}, options...)...)
	return names{c, route53.NewFromConfig(c.Config)}
}

func (n names) zone(t testing.TB, name string, vpc *types.VPC) string {
	t.Helper()
	out := must[*route53.CreateHostedZoneOutput](t)(n.r53.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{
		Name: &name, CallerReference: aws.String(fmt.Sprint(name, vpc != nil)), VPC: vpc,
	}))
	return strings.TrimPrefix(*out.HostedZone.Id, "/hostedzone/")
}

// change makes changes, each "ACTION name TYPE ttl value|value".
func (n names) change(t testing.TB, zone string, lines ...string) error {
	t.Helper()
	var changes []types.Change
	for _, line := range lines {
		parts := strings.SplitN(line, " ", 5)
		set := types.ResourceRecordSet{Name: &parts[1], Type: types.RRType(parts[2])}
		if _, err := fmt.Sscan(parts[3], aws.Int64(0)); err == nil {
			set.TTL = new(int64)
			fmt.Sscan(parts[3], set.TTL)
			for v := range strings.SplitSeq(parts[4], "|") {
				set.ResourceRecords = append(set.ResourceRecords, types.ResourceRecord{Value: &v})
			}
		} else {
			set.AliasTarget = &types.AliasTarget{HostedZoneId: &parts[3], DNSName: &parts[4], EvaluateTargetHealth: true}
		}
		changes = append(changes, types.Change{Action: types.ChangeAction(parts[0]), ResourceRecordSet: &set})
	}
	return n.changes(t, zone, changes...)
}

func (n names) changes(t testing.TB, zone string, changes ...types.Change) error {
	t.Helper()
	_, err := n.r53.ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{
		HostedZoneId: &zone, ChangeBatch: &types.ChangeBatch{Changes: changes},
	})
	return err
}

// dig asks and returns the code and the records, without their owners where they are the name that was asked for.
func (n names) dig(t testing.TB, name string, kind uint16) string {
	t.Helper()
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(4096, false)
	r, _, err := new(dns.Client).ExchangeContext(t.Context(), q, n.DNSAddress())
	if err != nil {
		t.Fatal(err)
	}
	text := []string{dns.RcodeToString[r.Rcode]}
	var rows []string
	for _, rr := range r.Answer {
		row := strings.Join(strings.Fields(rr.String()), " ")
		rows = append(rows, strings.TrimPrefix(row, dns.Fqdn(name)+" "))
	}
	if !slices.ContainsFunc(r.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCNAME }) {
		slices.Sort(rows)
	}
	text = append(text, rows...)
	for _, rr := range r.Ns {
		text = append(text, "authority "+strings.Join(strings.Fields(rr.String())[:4], " "))
	}
	if !r.Authoritative {
		text = append(text, "not authoritative")
	}
	return strings.Join(text, "; ")
}

// TestHostedZones: a zone's life.
func TestHostedZones(t *testing.T) {
	n := startNames(t)
	ctx := t.Context()
	in := &route53.CreateHostedZoneInput{
		Name: aws.String("Example.COM"), CallerReference: aws.String("once"), HostedZoneConfig: &types.HostedZoneConfig{Comment: aws.String("mine")},
	}
	made := must[*route53.CreateHostedZoneOutput](t)(n.r53.CreateHostedZone(ctx, in))
	id := strings.TrimPrefix(*made.HostedZone.Id, "/hostedzone/")
	if *made.HostedZone.Name != "example.com." || len(made.DelegationSet.NameServers) != 4 || made.ChangeInfo.Status != types.ChangeStatusPending ||
		!strings.HasSuffix(*made.Location, "/2013-04-01/hostedzone/"+id) || *made.HostedZone.ResourceRecordSetCount != 2 {
		t.Errorf("%+v", made)
	}
	change := must[*route53.GetChangeOutput](t)(n.r53.GetChange(ctx, &route53.GetChangeInput{Id: made.ChangeInfo.Id}))
	if change.ChangeInfo.Status != types.ChangeStatusInsync {
		t.Errorf("%+v", change.ChangeInfo)
	}
	_, err := n.r53.CreateHostedZone(ctx, in)
	wants(t, err, "HostedZoneAlreadyExists", "once")
	_, err = n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("a..b"), CallerReference: aws.String("a")})
	wants(t, err, "InvalidDomainName", "DomainLabelEmpty")
	_, err = n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("a"), CallerReference: aws.String("a"), HostedZoneConfig: &types.HostedZoneConfig{PrivateZone: true}})
	wants(t, err, "InvalidInput", "VPCId")
	_, err = n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("a"), CallerReference: aws.String("a"), DelegationSetId: aws.String("N1")})
	wants(t, err, "NoSuchDelegationSet", "N1")
	_, err = n.r53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: aws.String("Z0")})
	wants(t, err, "NoSuchHostedZone", "Z0")
	_, err = n.r53.GetChange(ctx, &route53.GetChangeInput{Id: aws.String("C0")})
	wants(t, err, "NoSuchChange", "C0")
	got := must[*route53.GetHostedZoneOutput](t)(n.r53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: made.HostedZone.Id}))
	if *got.HostedZone.Config.Comment != "mine" || !slices.Equal(got.DelegationSet.NameServers, made.DelegationSet.NameServers) {
		t.Errorf("%+v", got)
	}
	must[*route53.UpdateHostedZoneCommentOutput](t)(n.r53.UpdateHostedZoneComment(ctx, &route53.UpdateHostedZoneCommentInput{Id: &id, Comment: aws.String("yours")}))
	if err := n.change(t, id, "CREATE www.example.com A 60 192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	_, err = n.r53.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &id})
	wants(t, err, "HostedZoneNotEmpty", "non-required")
	if err := n.change(t, id, "DELETE www.example.com A 60 192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	must[*route53.DeleteHostedZoneOutput](t)(n.r53.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &id}))
	_, err = n.r53.DeleteHostedZone(ctx, &route53.DeleteHostedZoneInput{Id: &id})
	wants(t, err, "NoSuchHostedZone", id)
	if err := n.SetQuota("sluice/hosted-zones", 0); err != nil {
		t.Fatal(err)
	}
	_, err = n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("a"), CallerReference: aws.String("a")})
	wants(t, err, "TooManyHostedZones", "")
}

func TestPrivateZones(t *testing.T) {
	n := startNames(t)
	ctx := t.Context()
	vpc := &types.VPC{VPCId: aws.String(localawstest.VPC), VPCRegion: localawstest.Region}
	private := n.zone(t, "corp.example", vpc)
	public := n.zone(t, "corp.example", nil)
	_, err := n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("corp.example"), CallerReference: aws.String("again"), VPC: vpc})
	wants(t, err, "ConflictingDomainExists", private)
	_, err = n.r53.CreateHostedZone(ctx, &route53.CreateHostedZoneInput{Name: aws.String("x.example"), CallerReference: aws.String("x"), VPC: &types.VPC{VPCId: aws.String("vpc-0"), VPCRegion: localawstest.Region}})
	wants(t, err, "InvalidVPCId", "vpc-0")
	got := must[*route53.GetHostedZoneOutput](t)(n.r53.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &private}))
	if !got.HostedZone.Config.PrivateZone || got.DelegationSet != nil || len(got.VPCs) != 1 {
		t.Errorf("%+v", got)
	}
	byVPC := must[*route53.ListHostedZonesByVPCOutput](t)(n.r53.ListHostedZonesByVPC(ctx, &route53.ListHostedZonesByVPCInput{VPCId: vpc.VPCId, VPCRegion: vpc.VPCRegion}))
	if len(byVPC.HostedZoneSummaries) != 1 || *byVPC.HostedZoneSummaries[0].HostedZoneId != private {
		t.Errorf("%+v", byVPC)
	}
	_, err = n.r53.AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{HostedZoneId: &public, VPC: vpc})
	wants(t, err, "PublicZoneVPCAssociation", "")
	must[*route53.AssociateVPCWithHostedZoneOutput](t)(n.r53.AssociateVPCWithHostedZone(ctx, &route53.AssociateVPCWithHostedZoneInput{HostedZoneId: &private, VPC: vpc}))
	_, err = n.r53.DisassociateVPCFromHostedZone(ctx, &route53.DisassociateVPCFromHostedZoneInput{HostedZoneId: &private, VPC: vpc})
	wants(t, err, "LastVPCAssociation", "")
	_, err = n.r53.DisassociateVPCFromHostedZone(ctx, &route53.DisassociateVPCFromHostedZoneInput{HostedZoneId: &public, VPC: vpc})
	wants(t, err, "VPCAssociationNotFound", "")
	for zone, address := range map[string]string{private: "10.0.0.1", public: "192.0.2.1"} {
		if err := n.change(t, zone, "CREATE a.corp.example A 60 "+address); err != nil {
			t.Error(err)
		}
	}
	if got := n.dig(t, "a.corp.example", dns.TypeA); got != "NOERROR; 60 IN A 10.0.0.1" {
		t.Error(got)
	}
}

// TestZoneLists: pages in the documented orders.
func TestZoneLists(t *testing.T) {
	n := startNames(t)
	ctx := t.Context()
	for _, name := range []string{"b.com", "a.org", "a.b.com", "z.com"} {
		n.zone(t, name, nil)
	}
	var created, named []string
	pages := route53.NewListHostedZonesPaginator(n.r53, &route53.ListHostedZonesInput{MaxItems: aws.Int32(3)})
	for pages.HasMorePages() {
		for _, z := range must[*route53.ListHostedZonesOutput](t)(pages.NextPage(ctx)).HostedZones {
			created = append(created, *z.Name)
		}
	}
	byName := &route53.ListHostedZonesByNameInput{MaxItems: aws.Int32(2)}
	for {
		out := must[*route53.ListHostedZonesByNameOutput](t)(n.r53.ListHostedZonesByName(ctx, byName))
		for _, z := range out.HostedZones {
			named = append(named, *z.Name)
		}
		if !out.IsTruncated {
			break
		}
		byName.DNSName, byName.HostedZoneId = out.NextDNSName, out.NextHostedZoneId
	}
	if got := fmt.Sprint(created, named); got != "[b.com. a.org. a.b.com. z.com.] [b.com. a.b.com. z.com. a.org.]" {
		t.Error(got)
	}
	_, err := n.r53.ListHostedZones(ctx, &route53.ListHostedZonesInput{Marker: aws.String("x")})
	wants(t, err, "InvalidInput", "marker")
	_, err = n.r53.ListHostedZones(ctx, &route53.ListHostedZonesInput{MaxItems: aws.Int32(0)})
	wants(t, err, "InvalidInput", "MaxItems")
	_, err = n.r53.ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{HostedZoneId: aws.String("Z1")})
	wants(t, err, "InvalidInput", "DNS name")
	count := must[*route53.GetHostedZoneCountOutput](t)(n.r53.GetHostedZoneCount(ctx, nil))
	limit := must[*route53.GetAccountLimitOutput](t)(n.r53.GetAccountLimit(ctx, &route53.GetAccountLimitInput{Type: types.AccountLimitTypeMaxHostedZonesByOwner}))
	if *count.HostedZoneCount != 4 || limit.Count != 4 || *limit.Limit.Value != 500 {
		t.Error(*count.HostedZoneCount, limit)
	}
}

func TestZoneTags(t *testing.T) {
	n := startNames(t)
	ctx := t.Context()
	id := n.zone(t, "example.com", nil)
	tag := func(key string) types.Tag { return types.Tag{Key: &key, Value: aws.String("v")} }
	change := func(in *route53.ChangeTagsForResourceInput) error {
		in.ResourceType = types.TagResourceTypeHostedzone
		if in.ResourceId == nil {
			in.ResourceId = &id
		}
		_, err := n.r53.ChangeTagsForResource(ctx, in)
		return err
	}
	if err := change(&route53.ChangeTagsForResourceInput{AddTags: []types.Tag{tag("a"), tag("b")}}); err != nil {
		t.Fatal(err)
	}
	if err := change(&route53.ChangeTagsForResourceInput{RemoveTagKeys: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	wants(t, change(&route53.ChangeTagsForResourceInput{}), "InvalidInput", "at least one")
	wants(t, change(&route53.ChangeTagsForResourceInput{AddTags: []types.Tag{tag("aws:x")}}), "InvalidInput", "aws:")
	wants(t, change(&route53.ChangeTagsForResourceInput{AddTags: []types.Tag{tag("a")}, RemoveTagKeys: []string{"a"}}), "InvalidInput", "'a'")
	wants(t, change(&route53.ChangeTagsForResourceInput{ResourceId: aws.String("Z0"), AddTags: []types.Tag{tag("a")}}), "NoSuchHostedZone", "Z0")
	one := must[*route53.ListTagsForResourceOutput](t)(n.r53.ListTagsForResource(ctx, &route53.ListTagsForResourceInput{ResourceType: types.TagResourceTypeHostedzone, ResourceId: &id}))
	many := must[*route53.ListTagsForResourcesOutput](t)(n.r53.ListTagsForResources(ctx, &route53.ListTagsForResourcesInput{ResourceType: types.TagResourceTypeHostedzone, ResourceIds: []string{id}}))
	for _, set := range append(many.ResourceTagSets, *one.ResourceTagSet) {
		if *set.ResourceId != id || len(set.Tags) != 1 || *set.Tags[0].Key != "b" {
			t.Errorf("%+v", set)
		}
	}
	_, err := n.r53.ListTagsForResource(ctx, &route53.ListTagsForResourceInput{ResourceType: types.TagResourceTypeHealthcheck, ResourceId: aws.String("h")})
	wants(t, err, "NoSuchHealthCheck", "h")
}

// TestRecordValidation: each batch is refused whole, in words that clients look for.
func TestRecordValidation(t *testing.T) {
	n := startNames(t)
	id := n.zone(t, "example.com", nil)
	if err := n.change(t, id, "CREATE a.example.com A 60 192.0.2.1|192.0.2.2", "CREATE c.example.com CNAME 60 x.example.net"); err != nil {
		t.Fatal(err)
	}
	for why, row := range map[string]struct {
		lines []string
		words string
	}{
		"exists":           {[]string{"CREATE new.example.com A 60 192.0.2.1", "CREATE A.example.com. A 60 192.0.2.3"}, "Tried to create resource record set [name='a.example.com.', type='A'] but it already exists"},
		"not found":        {[]string{"DELETE b.example.com A 60 192.0.2.1"}, "Tried to delete resource record set [name='b.example.com.', type='A'] but it was not found"},
		"other values":     {[]string{"DELETE a.example.com A 60 192.0.2.1"}, "but the values provided do not match the current values"},
		"other TTL":        {[]string{"DELETE a.example.com A 61 192.0.2.1|192.0.2.2"}, "do not match the current values"},
		"other zone":       {[]string{"CREATE a.example.org A 60 192.0.2.1"}, "RRSet with DNS name a.example.org. is not permitted in zone example.com."},
		"apex CNAME":       {[]string{"CREATE example.com CNAME 60 x.example.net"}, "is not permitted"},
		"CNAME and other":  {[]string{"CREATE c.example.com A 60 192.0.2.1"}, "conflicting RRSet of type A"},
		"two CNAME values": {[]string{"UPSERT c.example.com CNAME 60 a.example|b.example"}, "exactly one value"},
		"IPv4":             {[]string{"CREATE d.example.com A 60 1.2.3"}, "ARRDATAIllegalIPv4Address"},
		"IPv6":             {[]string{"CREATE d.example.com AAAA 60 192.0.2.1"}, "AAAARRDATAIllegalIPv6Address"},
		"TXT quotes":       {[]string{"CREATE d.example.com TXT 60 hello"}, "InvalidCharacterString (Value should be enclosed in quotation marks)"},
		"TXT long":         {[]string{"CREATE d.example.com TXT 60 \"" + strings.Repeat("a", 256) + "\""}, "CharacterStringTooLong"},
		"MX":               {[]string{"CREATE d.example.com MX 60 mail.example.com"}, "MXRRDATA"},
		"label":            {[]string{"CREATE " + strings.Repeat("a", 64) + ".example.com A 60 192.0.2.1"}, "DomainLabelTooLong"},
		"value twice":      {[]string{"CREATE d.example.com A 60 192.0.2.1|192.0.2.1"}, "Duplicate Resource Record"},
		"set twice":        {[]string{"UPSERT d.example.com A 60 192.0.2.1", "UPSERT d.example.com A 60 192.0.2.2"}, "invalid set of changes"},
		"apex NS":          {[]string{"UPSERT example.com NS 60 ns.example.com", "DELETE example.com NS 60 ns.example.com"}, "at least one NS record"},
		"alias target":     {[]string{"CREATE d.example.com A " + id + " none.example.com"}, "but that target was not found"},
		"alias zone":       {[]string{"CREATE d.example.com A " + id + " a.example.org"}, "does not lie within the target zone"},
		"alias balancer":   {[]string{"CREATE d.example.com A Z14GRHDCWA56QT none-1.ap-northeast-1.elb.amazonaws.com"}, "but that target was not found"},
		"two mistakes":     {[]string{"CREATE d.example.com A 60 x", "CREATE e.example.com A 60 y"}, "encountered with 'y''"},
		"line break":       {[]string{"CREATE d.example.com CNAME 60 a\nb"}, "Invalid Resource Record"},
	} {
		t.Run(why, func(t *testing.T) { wants(t, n.change(t, id, row.lines...), "InvalidChangeBatch", row.words) })
	}
	set := func(change func(*types.ResourceRecordSet)) types.Change {
		s := &types.ResourceRecordSet{Name: aws.String("w.example.com"), Type: types.RRTypeA, TTL: aws.Int64(60), ResourceRecords: []types.ResourceRecord{{Value: aws.String("192.0.2.1")}}}
		change(s)
		return types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: s}
	}
	for why, row := range map[string]struct {
		changes []types.Change
		words   string
	}{
		"no identifier": {[]types.Change{set(func(s *types.ResourceRecordSet) { s.Weight = aws.Int64(1) })}, "Missing field 'SetIdentifier'"},
		"no policy":     {[]types.Change{set(func(s *types.ResourceRecordSet) { s.SetIdentifier = aws.String("a") })}, "but found none"},
		"two policies": {[]types.Change{set(func(s *types.ResourceRecordSet) {
			s.SetIdentifier, s.Weight, s.Region = aws.String("a"), aws.Int64(1), "eu-west-1"
		})}, "found more than one"},
		"mixed policies": {[]types.Change{
			set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Weight = aws.String("a"), aws.Int64(1) }),
			set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Region = aws.String("b"), "eu-west-1" }),
		}, "another routing policy"},
		"simple and weighted": {[]types.Change{
			set(func(*types.ResourceRecordSet) {}),
			set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Weight = aws.String("b"), aws.Int64(1) }),
		}, "cannot be created as other RRSets exist"},
		"region twice": {[]types.Change{
			set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Region = aws.String("a"), "eu-west-1" }),
			set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Region = aws.String("b"), "eu-west-1" }),
		}, "already exists"},
		"no values": {[]types.Change{set(func(s *types.ResourceRecordSet) { s.ResourceRecords = nil })}, "but found none"},
		"no TTL":    {[]types.Change{set(func(s *types.ResourceRecordSet) { s.TTL = nil })}, "but found none"},
	} {
		t.Run(why, func(t *testing.T) { wants(t, n.changes(t, id, row.changes...), "InvalidChangeBatch", row.words) })
	}
	err := n.changes(t, id, set(func(s *types.ResourceRecordSet) { s.HealthCheckId = aws.String("h") }))
	wants(t, err, "NoSuchHealthCheck", "h")
	err = n.changes(t, id, set(func(s *types.ResourceRecordSet) { s.SetIdentifier, s.Weight = aws.String("a"), aws.Int64(256) }))
	wants(t, err, "InvalidInput", "255")
	var many []string
	for i := range 501 {
		many = append(many, fmt.Sprintf("UPSERT m%d.example.com A 60 192.0.2.1", i))
	}
	wants(t, n.change(t, id, many...), "InvalidChangeBatch", "Number of records limit of 1000 exceeded")
	many = nil
	for i := range 5 {
		many = append(many, fmt.Sprintf("UPSERT t%d.example.com TXT 60 %s", i, strings.Repeat(`"`+strings.Repeat("a", 250)+`" `, 15)))
	}
	wants(t, n.change(t, id, many...), "InvalidChangeBatch", "Number of characters limit of 32000 exceeded")
	wants(t, n.change(t, "Z0", "CREATE a.example.com A 60 192.0.2.1"), "NoSuchHostedZone", "Z0")
	out := must[*route53.ListResourceRecordSetsOutput](t)(n.r53.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &id}))
	if len(out.ResourceRecordSets) != 4 {
		t.Errorf("refused batches left %d sets", len(out.ResourceRecordSets))
	}
	if err := n.SetQuota("sluice/record-sets-per-zone", 4); err != nil {
		t.Fatal(err)
	}
	wants(t, n.change(t, id, "CREATE d.example.com A 60 192.0.2.1"), "InvalidChangeBatch", "limit of 4")
	if err := n.change(t, id, "DELETE c.example.com CNAME 60 x.example.net", "CREATE c.example.com A 60 192.0.2.1"); err != nil {
		t.Error(err)
	}
}

// TestRecordPages: sets come in the documented order, page by page, under the names that Route 53 stores.
func TestRecordPages(t *testing.T) {
	n := startNames(t)
	id := n.zone(t, "example.com", nil)
	if err := n.change(t, id, "CREATE *.Example.com A 60 192.0.2.1", "CREATE b.a.example.com TXT 60 \"x\"", "CREATE a.example.com A 60 192.0.2.1",
		"CREATE a.example.com AAAA 60 2001:db8::1", "CREATE _x@.example.com A 60 192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	var got []string
	pages := route53.NewListResourceRecordSetsPaginator(n.r53, &route53.ListResourceRecordSetsInput{HostedZoneId: &id, MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		for _, s := range must[*route53.ListResourceRecordSetsOutput](t)(pages.NextPage(t.Context())).ResourceRecordSets {
			got = append(got, *s.Name+" "+string(s.Type))
		}
	}
	want := []string{
		"example.com. NS", "example.com. SOA", `\052.example.com. A`, `_x\100.example.com. A`, "a.example.com. A", "a.example.com. AAAA", "b.a.example.com. TXT",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	from := must[*route53.ListResourceRecordSetsOutput](t)(n.r53.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{
		HostedZoneId: &id, StartRecordName: aws.String("a.example.com"), StartRecordType: "AAAA", MaxItems: aws.Int32(1),
	}))
	if len(from.ResourceRecordSets) != 1 || from.ResourceRecordSets[0].Type != "AAAA" || *from.NextRecordName != "b.a.example.com." {
		t.Errorf("%+v", from)
	}
	_, err := n.r53.ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &id, StartRecordType: "A"})
	wants(t, err, "InvalidInput", "record name")
}

// TestZoneAnswers: what dig shows of a zone's records.
func TestZoneAnswers(t *testing.T) {
	n := startNames(t)
	id := n.zone(t, "example.com", nil)
	child := n.zone(t, "child.example.com", nil)
	b := n.balancer(t, "web")
	elbZone := *b.CanonicalHostedZoneId
	if err := n.change(t, id,
		"CREATE example.com A "+elbZone+" dualstack."+*b.DNSName,
		"CREATE www.example.com CNAME 300 a.example.com",
		"CREATE a.example.com A 60 192.0.2.1|192.0.2.2",
		"CREATE a.example.com AAAA 60 2001:db8::1",
		"CREATE alias.example.com A "+id+" a.example.com",
		"CREATE lb.example.com CNAME 30 "+*b.DNSName,
		"CREATE out.example.com CNAME 30 elsewhere.example.net",
		"CREATE *.wild.example.com TXT 60 \"a\" \"b;c\"|\"d\\\"\\052\"",
		"CREATE x.y.wild.example.com A 60 192.0.2.3",
		"CREATE mail.example.com MX 60 10 mx.example.com",
		"CREATE _s._tcp.example.com SRV 60 1 2 3 srv.example.com",
		"CREATE sub.example.com NS 60 ns.sub.example.com",
		"CREATE loop1.example.com CNAME 60 loop2.example.com", "CREATE loop2.example.com CNAME 60 loop1.example.com",
		"CREATE example.com CAA 60 0 issue \"amazon.com\"",
	); err != nil {
		t.Fatal(err)
	}
	if err := n.change(t, child, "CREATE a.child.example.com A 60 192.0.2.9"); err != nil {
		t.Fatal(err)
	}
	soa := "; authority example.com. 900 IN SOA"
	for _, row := range []struct {
		name string
		kind uint16
		want string
	}{
		{"example.com", dns.TypeA, "NOERROR; 60 IN A 127.64.0.1"},
		{"example.com", dns.TypeAAAA, "NOERROR" + soa},
		{"example.com", dns.TypeCAA, `NOERROR; 60 IN CAA 0 issue "amazon.com"`},
		{"a.example.com", dns.TypeA, "NOERROR; 60 IN A 192.0.2.1; 60 IN A 192.0.2.2"},
		{"alias.example.com", dns.TypeA, "NOERROR; 60 IN A 192.0.2.1; 60 IN A 192.0.2.2"},
		{"a.example.com", dns.TypeTXT, "NOERROR" + soa},
		{"www.example.com", dns.TypeAAAA, "NOERROR; 300 IN CNAME a.example.com.; a.example.com. 60 IN AAAA 2001:db8::1"},
		{"www.example.com", dns.TypeCNAME, "NOERROR; 300 IN CNAME a.example.com."},
		{"www.example.com", dns.TypeMX, "NOERROR; 300 IN CNAME a.example.com." + soa},
		{"lb.example.com", dns.TypeA, "NOERROR; 30 IN CNAME " + *b.DNSName + ".; " + *b.DNSName + ". 60 IN A 127.64.0.1"},
		{"out.example.com", dns.TypeA, "NOERROR; 30 IN CNAME elsewhere.example.net."},
		{"q.wild.example.com", dns.TypeTXT, `NOERROR; 60 IN TXT "a" "b;c"; 60 IN TXT "d\"*"`},
		{"q.wild.example.com", dns.TypeA, "NOERROR" + soa},
		{"r.q.wild.example.com", dns.TypeTXT, `NOERROR; 60 IN TXT "a" "b;c"; 60 IN TXT "d\"*"`},
		{"z.y.wild.example.com", dns.TypeTXT, "NXDOMAIN" + soa},
		{"y.wild.example.com", dns.TypeTXT, "NOERROR" + soa},
		{"wild.example.com", dns.TypeTXT, "NOERROR" + soa},
		{"none.example.com", dns.TypeA, "NXDOMAIN" + soa},
		{"mail.example.com", dns.TypeMX, "NOERROR; 60 IN MX 10 mx.example.com."},
		{"_s._tcp.example.com", dns.TypeSRV, "NOERROR; 60 IN SRV 1 2 3 srv.example.com."},
		{"host.sub.example.com", dns.TypeA, "NOERROR; authority sub.example.com. 60 IN NS; not authoritative"},
		{"a.child.example.com", dns.TypeA, "NOERROR; 60 IN A 192.0.2.9"},
		{"none.child.example.com", dns.TypeA, "NXDOMAIN; authority child.example.com. 900 IN SOA"},
		{"example.org", dns.TypeA, "REFUSED; not authoritative"},
	} {
		if got := n.dig(t, row.name, row.kind); got != row.want {
			t.Errorf("%s %s: got %s, want %s", row.name, dns.TypeToString[row.kind], got, row.want)
		}
	}
	if got := n.dig(t, "loop1.example.com", dns.TypeA); !strings.HasPrefix(got, "SERVFAIL") {
		t.Error(got)
	}
	if got := n.dig(t, "example.com", dns.TypeNS); strings.Count(got, "172800 IN NS") != 4 {
		t.Error(got)
	}
	if got := n.dig(t, "example.com", dns.TypeSOA); !strings.Contains(got, "awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400") {
		t.Error(got)
	}
	if got := n.dig(t, "A.eXample.com", dns.TypeANY); got != "NOERROR; 60 IN A 192.0.2.1; 60 IN A 192.0.2.2; 60 IN AAAA 2001:db8::1" {
		t.Error(got)
	}
	server := must[*route53.GetHostedZoneOutput](t)(n.r53.GetHostedZone(t.Context(), &route53.GetHostedZoneInput{Id: &id})).DelegationSet.NameServers[0]
	if got := n.dig(t, server, dns.TypeA); got != "NOERROR; 60 IN A 127.0.0.1" {
		t.Error(got)
	}
	tested := must[*route53.TestDNSAnswerOutput](t)(n.r53.TestDNSAnswer(t.Context(), &route53.TestDNSAnswerInput{HostedZoneId: &id, RecordName: aws.String("a.example.com"), RecordType: "AAAA"}))
	if !slices.Equal(tested.RecordData, []string{"2001:db8::1"}) || *tested.ResponseCode != "NOERROR" {
		t.Errorf("%+v", tested)
	}
}

// TestRoutingPolicies: each policy's choice, as far as one client at one place can see it.
func TestRoutingPolicies(t *testing.T) {
	n := startNames(t)
	id := n.zone(t, "example.com", nil)
	b := n.balancer(t, "web")
	g := n.group(t, "g")
	n.listener(t, *b.LoadBalancerArn, forward(g))
	must[*elb.RegisterTargetsOutput](t)(n.elb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{
		TargetGroupArn: &g, Targets: []elbtypes.TargetDescription{{Id: &localawstest.Addresses[0]}},
	}))
	add := func(name, identifier, value string, change func(*types.ResourceRecordSet)) {
		t.Helper()
		s := &types.ResourceRecordSet{Name: aws.String(name + ".example.com"), Type: types.RRTypeA, SetIdentifier: &identifier}
		if value == "lb" {
			s.AliasTarget = &types.AliasTarget{DNSName: b.DNSName, HostedZoneId: b.CanonicalHostedZoneId, EvaluateTargetHealth: true}
		} else {
			s.TTL, s.ResourceRecords = aws.Int64(60), []types.ResourceRecord{{Value: &value}}
		}
		change(s)
		if err := n.changes(t, id, types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: s}); err != nil {
			t.Fatal(err)
		}
	}
	add("weight", "a", "192.0.2.1", func(s *types.ResourceRecordSet) { s.Weight = aws.Int64(0) })
	add("weight", "b", "192.0.2.2", func(s *types.ResourceRecordSet) { s.Weight = aws.Int64(9) })
	add("weight", "c", "192.0.2.3", func(s *types.ResourceRecordSet) { s.Weight = aws.Int64(9) })
	add("latency", "a", "192.0.2.1", func(s *types.ResourceRecordSet) { s.Region = "eu-west-1" })
	add("latency", "b", "192.0.2.2", func(s *types.ResourceRecordSet) { s.Region = localawstest.Region })
	add("failover", "a", "192.0.2.1", func(s *types.ResourceRecordSet) { s.Failover = "SECONDARY" })
	add("failover", "b", "lb", func(s *types.ResourceRecordSet) { s.Failover = "PRIMARY" })
	add("geo", "a", "192.0.2.1", func(s *types.ResourceRecordSet) {
		s.GeoLocation = &types.GeoLocation{CountryCode: aws.String("JP")}
	})
	add("geo", "b", "192.0.2.2", func(s *types.ResourceRecordSet) { s.GeoLocation = &types.GeoLocation{CountryCode: aws.String("*")} })
	for i := range 9 {
		add("multi", fmt.Sprint(i), fmt.Sprintf("192.0.2.%d", i), func(s *types.ResourceRecordSet) { s.MultiValueAnswer = aws.Bool(true) })
	}
	for name, want := range map[string]string{"latency": "192.0.2.2", "failover": "127.64.0.1", "geo": "192.0.2.2"} {
		if got := n.dig(t, name+".example.com", dns.TypeA); got != "NOERROR; 60 IN A "+want {
			t.Errorf("%s: %s", name, got)
		}
	}
	seen := map[string]bool{}
	for range 200 {
		seen[n.dig(t, "weight.example.com", dns.TypeA)] = true
	}
	if len(seen) != 2 || seen["NOERROR; 60 IN A 192.0.2.1"] {
		t.Error(seen)
	}
	if got := n.dig(t, "multi.example.com", dns.TypeA); strings.Count(got, " A ") != 8 {
		t.Error(got)
	}
	n.Plane.SetHealth(localawstest.Addresses[0], "unhealthy", "Target.Timeout", "Request timed out")
	if got := n.dig(t, "failover.example.com", dns.TypeA); got != "NOERROR; 60 IN A 192.0.2.1" {
		t.Error(got)
	}
}

// TestChangeDelay: a change is pending for as long as was asked for, and answers at once.
func TestChangeDelay(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := startNames(t, localawstest.WithOptions(func(o *localaws.Options) { o.Profile.ZoneChanges, o.Now = time.Minute, func() time.Time { return now } }))
	made := must[*route53.CreateHostedZoneOutput](t)(n.r53.CreateHostedZone(t.Context(), &route53.CreateHostedZoneInput{Name: aws.String("a.b"), CallerReference: aws.String("a")}))
	for after, want := range map[time.Duration]types.ChangeStatus{59 * time.Second: types.ChangeStatusPending, time.Minute: types.ChangeStatusInsync} {
		now = made.ChangeInfo.SubmittedAt.Add(after)
		got := must[*route53.GetChangeOutput](t)(n.r53.GetChange(t.Context(), &route53.GetChangeInput{Id: made.ChangeInfo.Id}))
		if got.ChangeInfo.Status != want {
			t.Errorf("after %s: %s", after, got.ChangeInfo.Status)
		}
	}
}
