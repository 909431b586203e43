package localaws_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluicehq/sluice/internal/localaws/localawstest"
)

// FuzzServices: whatever is sent to a REST path or to a JSON target, the answer is one of the API and never its own
// failure.
func FuzzServices(f *testing.F) {
	n := startNames(f)
	zone := n.zone(f, "example.com", nil)
	if err := n.change(f, zone, "CREATE *.example.com A 60 192.0.2.1", "CREATE a.example.com CNAME 60 b.example.com"); err != nil {
		f.Fatal(err)
	}
	body, key := selfSigned(f, time.Now().AddDate(1, 0, 0), "a.example")
	const root = "/2013-04-01/"
	batch := func(set string) string {
		return `<ChangeResourceRecordSetsRequest><ChangeBatch><Changes><Change><Action>UPSERT</Action><ResourceRecordSet>` + set +
			`</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
	}
	for _, row := range [][3]string{
		{"GET", root + "hostedzone?maxitems=1&marker=x", ""},
		{"GET", root + "hostedzone/" + zone + "/rrset?name=a&type=A&identifier=x", ""},
		{"GET", root + "hostedzonesbyname?dnsname=a..b&hostedzoneid=Z", ""},
		{"GET", root + "hostedzonesbyvpc?vpcid=x&vpcregion=eu-west-1", ""},
		{"GET", root + "testdnsanswer?hostedzoneid=" + zone + "&recordname=x.example.com&recordtype=A", ""},
		{"GET", root + "hostedzonelimit/" + zone + "/MAX_VPCS_ASSOCIATED_BY_ZONE", ""},
		{"POST", root + "hostedzone", `<CreateHostedZoneRequest><Name>x</Name><CallerReference>r</CallerReference><VPC><VPCId>` + localawstest.VPC + `</VPCId></VPC><HostedZoneConfig/></CreateHostedZoneRequest>`},
		{"POST", root + "hostedzone/" + zone + "/disassociatevpc", `<DisassociateVPCFromHostedZoneRequest><VPC/></DisassociateVPCFromHostedZoneRequest>`},
		{"POST", root + "hostedzone/" + zone + "/rrset/", batch(`<Name>b.example.com</Name><Type>A</Type><TTL>1</TTL><ResourceRecords><ResourceRecord><Value>1.2.3.4</Value></ResourceRecord></ResourceRecords>`)},
		{"POST", root + "hostedzone/" + zone + "/rrset/", batch(`<Name>b.example.com</Name><Type>A</Type><SetIdentifier>a</SetIdentifier><GeoLocation><CountryCode>*</CountryCode></GeoLocation><AliasTarget><HostedZoneId>` + zone + `</HostedZoneId><DNSName>\052.example.com</DNSName><EvaluateTargetHealth>true</EvaluateTargetHealth></AliasTarget>`)},
		{"POST", root + "hostedzone/" + zone + "/rrset/", batch(`<Name>b.example.com</Name><Type>NAPTR</Type><SetIdentifier>a</SetIdentifier><GeoProximityLocation><Coordinates><Latitude>x</Latitude></Coordinates></GeoProximityLocation><TTL>1</TTL><ResourceRecords><ResourceRecord><Value>1 2 "S" "x" "" .</Value></ResourceRecord></ResourceRecords>`)},
		{"POST", root + "tags/hostedzone/" + zone, `<ChangeTagsForResourceRequest><AddTags><Tag/></AddTags><RemoveTagKeys><Key/></RemoveTagKeys></ChangeTagsForResourceRequest>`},
		{"POST", root + "tags/hostedzone", `<ListTagsForResourcesRequest><ResourceIds><ResourceId>` + zone + `</ResourceId></ResourceIds></ListTagsForResourcesRequest>`},
		{"CertificateManager.RequestCertificate", "/", `{"DomainName":"*.example.com","ValidationMethod":"DNS","Options":{},"DomainValidationOptions":[{"DomainName":"a.b","ValidationDomain":"b.c"}],"KeyAlgorithm":"EC_prime256v1"}`},
		{"CertificateManager.ImportCertificate", "/", `{"Certificate":"LQ==","PrivateKey":"LQ==","CertificateChain":"LQ=="}`},
		{"CertificateManager.ListCertificates", "/", `{"Includes":{"keyTypes":["RSA_2048"],"keyUsage":["ANY"]},"SortBy":"CREATED_AT","SortOrder":"DESCENDING","NextToken":"x"}`},
		{"AWSWAF_20190729.CreateWebACL", "/", `{"Name":"a","Scope":"REGIONAL","DefaultAction":{"Allow":{}},"VisibilityConfig":{"MetricName":"m","SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true},"Rules":[{"Name":"r","Priority":1,"Statement":{"NotStatement":{"Statement":{}}},"VisibilityConfig":{"MetricName":"m","SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true}}]}`},
		{"AWSWAF_20190729.GetWebACL", "/", `{}`}, {"AWSWAF_Regional_20161128.ListWebACLs", "/", `{"Limit":1,"NextMarker":"x"}`},
		{"AWSShield_20160616.DescribeProtection", "/", `{"ResourceArn":"arn:aws:x"}`}, {"AWSShield_20160616.ListProtections", "/", `{"InclusionFilters":{"ProtectionNames":["x"]}}`},
		{"POST", "/", "Version=2010-05-08&Action=UploadServerCertificate&ServerCertificateName=a&CertificateBody=" + url.QueryEscape(string(body)) + "&PrivateKey=" + url.QueryEscape(string(key))},
		{"GlobalAccelerator_V20180706.CreateAccelerator", "/", `{"Name":"a","IdempotencyToken":"t","IpAddressType":"DUAL_STACK","Tags":[{"Key":"k","Value":"v"}]}`},
		{"GlobalAccelerator_V20180706.CreateListener", "/", `{"AcceleratorArn":"a","IdempotencyToken":"t","PortRanges":[{"FromPort":1}],"Protocol":"TCP"}`},
		{"GlobalAccelerator_V20180706.UpdateEndpointGroup", "/", `{"EndpointGroupArn":"a","TrafficDialPercentage":0.5,"PortOverrides":[{}],"EndpointConfigurations":[{}]}`},
		{"AWSCognitoIdentityProviderService.CreateUserPoolClient", "/", `{"UserPoolId":"x_1","ClientName":"c","AllowedOAuthFlows":["code"],"AllowedOAuthFlowsUserPoolClient":true}`},
		{"AWSCognitoIdentityProviderService.AdminCreateUser", "/", `{"UserPoolId":"x_1","Username":"u","UserAttributes":[{"Name":"email"}],"TemporaryPassword":"x"}`},
		{"ResourceGroupsTaggingAPI_20170126.TagResources", "/", `{"ResourceARNList":["arn:aws:ec2:x:y:vpc/z"],"Tags":{"a":"b"}}`},
		{"POST", "/", "Version=2011-06-15&Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::123456789012:role/r&RoleSessionName=xx&WebIdentityToken=a.e30.c"},
		{"POST", "/", "Version=2016-11-15&Action=CreateVpcPeeringConnection&VpcId=" + localawstest.VPC + "&PeerVpcId=" + localawstest.VPC},
		{"POST", "/", "Version=2016-11-15&Action=CreateManagedPrefixList&PrefixListName=p&AddressFamily=IPv4&MaxEntries=1&Entry.1.Cidr=10.0.0.0/8"},
		{"POST", "/", "Version=2016-11-15&Action=DescribeRegions&Filter.1.Name=endpoint&Filter.1.Value.1=*"},
		{"GET", "/latest/meta-data/network/interfaces/macs/", ""}, {"PUT", "/latest/api/token", ""},
		{"POST", "/service/AWSShield_20160616/operation/CreateProtection", "\xbf\x64Name\x61a\xff"},
		{"POST", "/", "Version=2010-05-08&Action=ListServerCertificates&PathPrefix=%2F&MaxItems=1&Marker=x"},
	} {
		f.Add(row[0], row[1], row[2])
	}
	handler := n.Handler()
	f.Fuzz(func(t *testing.T, method, path, body string) {
		target := ""
		if strings.Contains(method, ".") {
			method, target = http.MethodPost, method
		}
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || strings.HasPrefix(u.Path, "/_local") {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Method, r.URL = method, u
		if target != "" {
			r.Header.Set("X-Amz-Target", target)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzAdmin: whatever is sent as a profile or as a fault is taken or refused, and what is taken can be read.
func FuzzAdmin(f *testing.F) {
	c := start(f)
	for _, body := range []string{
		`{"profile":"faithful","factor":0.1,"buckets":{"ec2/mutating":{"rate":1,"burst":2}}}`, `{"provisioning":"1h","strictTargets":true}`,
		`{"operation":"*","effect":"error","code":"X","nth":2,"times":3,"after":true}`, `{"effect":"dark","zone":"ap-northeast-1a"}`,
		`{"operation":"ec2:*","effect":"stale","for":"1ms"}`, `[]`, `{"factor":1e400}`,
	} {
		f.Add(true, body)
		f.Add(false, body)
	}
	handler := c.Handler()
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, "/_local/"+path, strings.NewReader(body)))
		return w
	}
	f.Fuzz(func(t *testing.T, profile bool, body string) {
		path := "faults/f"
		if profile {
			path = "profile"
		}
		if w := ask(http.MethodPut, path, body); w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := ask(http.MethodGet, "", ""); w.Code != http.StatusOK {
			t.Errorf("the page: %d %s", w.Code, w.Body)
		}
		if w := ask(http.MethodDelete, "faults", ""); w.Code != http.StatusNoContent {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
