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
