package localaws

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// metadata is the instance metadata service, versions 1 and 2. Whoever asks from an instance's address, or from one of
// its prefixes as pods do, is told about that instance; everybody else about the one that runs longest.
type metadata struct {
	*Server
	key []byte // of the tokens; they do not outlive the process, as on AWS they do not outlive the instance
}

// The headers of IMDSv2.
const (
	tokenHeader    = "X-Aws-Ec2-Metadata-Token"
	tokenTTLHeader = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
)

func (s *Server) serveMetadata(mux *http.ServeMux) {
	m := &metadata{Server: s, key: make([]byte, 32)}
	_, _ = rand.Read(m.key) // never fails (crypto/rand)
	mux.HandleFunc("PUT /latest/api/token", m.token)
	mux.HandleFunc("GET /latest/", m.get)
	mux.HandleFunc("/latest/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) })
}

// token starts a session of IMDSv2. A request that a proxy has passed on is refused, as there.
func (m *metadata) token(w http.ResponseWriter, r *http.Request) {
	const most = 21600 // six hours
	ttl, err := strconv.Atoi(r.Header.Get(tokenTTLHeader))
	switch {
	case r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(http.StatusForbidden)
		return
	case err != nil || ttl < 1 || ttl > most:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set(tokenTTLHeader, strconv.Itoa(ttl))
	_, _ = w.Write([]byte(m.sign(m.options.Now().Add(time.Duration(ttl) * time.Second)))) // the client is gone; there is nobody to tell
}

func (m *metadata) sign(until time.Time) string {
	stamp := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	h := hmac.New(sha256.New, m.key)
	h.Write(stamp)
	return base64.URLEncoding.EncodeToString(h.Sum(stamp))
}

func (m *metadata) valid(token string) bool {
	b, err := base64.URLEncoding.DecodeString(token)
	if err != nil || len(b) < 8 {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal([]byte(token), []byte(m.sign(until))) && m.options.Now().Before(until)
}

func (m *metadata) get(w http.ResponseWriter, r *http.Request) {
	if token := r.Header.Get(tokenHeader); token != "" && !m.valid(token) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	m.mu.RLock()
	x := m.begin()
	var text string
	i, ok := x.askingInstance(r.RemoteAddr)
	if ok {
		text, ok = metadataAt(x.metadataOf(i), strings.TrimPrefix(r.URL.Path, "/latest/"))
	}
	m.mu.RUnlock()
	w.Header().Set("Content-Type", "text/plain")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(text)) // the client is gone; there is nobody to tell
}

// askingInstance finds the instance behind an address.
func (x *tx) askingInstance(remote string) (first instance, found bool) {
	host, _, err := net.SplitHostPort(remote)
	address, parseErr := netip.ParseAddr(host)
	known := err == nil && parseErr == nil
	for _, i := range x.state.instances.find(instance.running) {
		if !found {
			first, found = i, true
		}
		eni, _ := x.state.interfaces.get(i.Interface)
		if known && (i.PrivateIP == address.Unmap().String() ||
			slices.ContainsFunc(eni.prefixes(), func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })) {
			return i, true
		}
	}
	return first, found
}

// metadataAt reads the tree of metadata: what is at a path, or the names below it.
func metadataAt(tree map[string]string, path string) (string, bool) {
	if text, ok := tree[strings.TrimSuffix(path, "/")]; ok {
		return text, true
	}
	below := strings.TrimSuffix(path, "/") + "/"
	if below == "/" {
		below = ""
	}
	names := map[string]bool{}
	for at := range tree {
		if rest, ok := strings.CutPrefix(at, below); ok {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			names[name] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "\n"), len(names) > 0
}

// metadataOf is all that an instance is told about itself, by path.
func (x *tx) metadataOf(i instance) map[string]string {
	eni, _ := x.state.interfaces.get(i.Interface)
	mac := val(eni.Wire.MacAddress)
	name := "ip-" + dashed(i.PrivateIP) + "." + x.options.Region + ".compute.internal"
	groups := strings.Join(each(eni.Wire.Groups, func(g types.GroupIdentifier) *string { return g.GroupName }), "\n")
	out := map[string]string{
		"meta-data/ami-id": i.Image, "meta-data/hostname": name, "meta-data/local-hostname": name,
		"meta-data/instance-action": "none", "meta-data/instance-id": i.ID, "meta-data/instance-type": i.Type,
		"meta-data/instance-life-cycle": "on-demand", "meta-data/local-ipv4": i.PrivateIP, "meta-data/mac": mac,
		"meta-data/placement/availability-zone": i.Zone, "meta-data/placement/availability-zone-id": x.zoneID(i.Zone),
		"meta-data/placement/region": x.options.Region, "meta-data/reservation-id": i.Reservation,
		"meta-data/security-groups": groups, "meta-data/services/domain": "amazonaws.com", "meta-data/services/partition": "aws",
		"meta-data/iam/security-credentials/" + instanceRole: x.roleCredentials(),
		"meta-data/iam/info": jsonText(map[string]string{
			"Code": "Success", "LastUpdated": x.now.Format(time.RFC3339), "InstanceProfileId": "AIPALOCALINSTANCE",
			"InstanceProfileArn": "arn:aws:iam::" + x.options.AccountID + ":instance-profile/" + instanceRole,
		}),
		"dynamic/instance-identity/document": x.identityDocument(i),
	}
	below := "meta-data/network/interfaces/macs/" + mac + "/"
	maps.Copy(out, map[string]string{
		below + "device-number": "0", below + "interface-id": i.Interface, below + "local-hostname": name,
		below + "local-ipv4s": i.PrivateIP, below + "mac": mac, below + "owner-id": x.options.AccountID,
		below + "security-groups": groups, below + "subnet-id": i.Subnet, below + "vpc-id": i.VPC,
		below + "security-group-ids": strings.Join(each(eni.Wire.Groups, func(g types.GroupIdentifier) *string { return g.GroupId }), "\n"),
	})
	if s, ok := x.state.subnets.get(i.Subnet); ok {
		out[below+"subnet-ipv4-cidr-block"] = s.cidr().String()
	}
	if v, ok := x.state.vpcs.get(i.VPC); ok {
		out[below+"vpc-ipv4-cidr-block"], out[below+"vpc-ipv4-cidr-blocks"] = v.cidr().String(), v.cidr().String()
	}
	if prefixes := eni.prefixes(); len(prefixes) > 0 {
		var lines []string
		for _, p := range prefixes {
			lines = append(lines, p.String())
		}
		out[below+"ipv4-prefix"] = strings.Join(lines, "\n")
	}
	return out
}

// instanceRole is the role that every instance has.
const instanceRole = "local-instance-role"

func (x *tx) roleCredentials() string {
	return jsonText(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIALOCALINSTANCE", "SecretAccessKey": "local", "Token": "local",
		"LastUpdated": x.now.Format(time.RFC3339), "Expiration": x.now.Add(6 * time.Hour).Format(time.RFC3339),
	})
}

func (x *tx) identityDocument(i instance) string {
	return jsonText(map[string]any{
		"accountId": x.options.AccountID, "architecture": "x86_64", "availabilityZone": i.Zone, "imageId": i.Image,
		"instanceId": i.ID, "instanceType": i.Type, "pendingTime": i.Launched.Format(time.RFC3339), "privateIp": i.PrivateIP,
		"region": x.options.Region, "version": "2017-09-30", "billingProducts": nil, "devpayProductCodes": nil, "kernelId": nil,
	})
}

func jsonText(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // plain values encode
	}
	return string(b)
}
