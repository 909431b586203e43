package annot

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehq/sluice/internal/lb"
)

// parseList splits at commas, trims, and drops what is empty.
func parseList(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// parseMap reads k=v,k=v. A backslash takes the next character as it is. A comma ends a pair only if another pair
// follows; as the very last character it belongs to the value. The later of two equal keys counts.
func parseMap(value string) ([]lb.Tag, error) {
	pairs := map[string]string{}
	var item strings.Builder
	flush := func() error {
		key, val, found := strings.Cut(item.String(), "=")
		key, val = strings.TrimSpace(key), strings.TrimSpace(val)
		if !found || key == "" {
			return fmt.Errorf("%q is not a key=value pair", strings.TrimSpace(item.String()))
		}
		pairs[key] = val
		item.Reset()
		return nil
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value):
			i++
			item.WriteByte(value[i])
		case c != ',':
			item.WriteByte(c)
		case strings.Contains(value[i+1:], "="):
			if err := flush(); err != nil {
				return nil, err
			}
		case strings.TrimSpace(value[i+1:]) != "":
			return nil, fmt.Errorf("%q is not a key=value pair", strings.TrimSpace(value[i+1:]))
		default:
			item.WriteByte(c)
		}
	}
	if strings.TrimSpace(item.String()) != "" || len(pairs) > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return sortTags(pairs), nil
}

// withoutLastComma drops a comma that ends a list of pairs, unless a backslash makes it part of the value.
func withoutLastComma(value string) string {
	head, found := strings.CutSuffix(strings.TrimRight(value, " "), ",")
	backslashes := len(head) - len(strings.TrimRight(head, `\`))
	if !found || backslashes%2 == 1 {
		return value
	}
	return head
}

func sortTags(pairs map[string]string) []lb.Tag {
	out := make([]lb.Tag, 0, len(pairs))
	for k, v := range pairs {
		out = append(out, lb.Tag{Key: k, Value: v})
	}
	slices.SortFunc(out, func(a, b lb.Tag) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Listen is one port that an Ingress listens on.
type Listen struct {
	Port            uint16
	Protocol        lb.Protocol
	Attributes      Given[[]lb.Attribute]
	ClassAttributes []lb.Attribute // of class parameters; they win, key by key
}

// parseListenPorts reads [{"HTTP": 80}, {"HTTPS": 443}]. The result is sorted by port; the later of two entries for a
// port counts.
func parseListenPorts(value string) ([]Listen, error) {
	var entries []map[string]int64
	decoder := json.NewDecoder(strings.NewReader(value))
	if err := decoder.Decode(&entries); err != nil {
		return nil, errors.New(`is not a JSON list such as [{"HTTP": 80}]`)
	}
	if decoder.More() {
		return nil, errors.New("has something after the JSON list")
	}
	ports := map[uint16]lb.Protocol{}
	for _, entry := range entries {
		for protocol, port := range entry {
			if protocol != string(lb.HTTP) && protocol != string(lb.HTTPS) {
				return nil, fmt.Errorf("has protocol %q where HTTP or HTTPS must stand", protocol)
			}
			if port < 1 || port > 65535 {
				return nil, fmt.Errorf("has port %d, which is not within 1 to 65535", port)
			}
			ports[uint16(port)] = lb.Protocol(protocol)
		}
	}
	if len(ports) == 0 {
		return nil, errors.New("names no port")
	}
	out := make([]Listen, 0, len(ports))
	for port, protocol := range ports {
		out = append(out, Listen{Port: port, Protocol: protocol})
	}
	slices.SortFunc(out, func(a, b Listen) int { return int(a.Port) - int(b.Port) })
	return out, nil
}

// checkMatcher checks the statuses of a good probe: 200, 200,202 or 200-299, within these bounds.
func checkMatcher(value string, least, most int) error {
	for part := range strings.SplitSeq(value, ",") {
		from, to, ranged := strings.Cut(part, "-")
		low, err := strconv.Atoi(from)
		if err != nil {
			return fmt.Errorf("has %q where a status must stand", from)
		}
		high := low
		if ranged {
			if high, err = strconv.Atoi(to); err != nil {
				return fmt.Errorf("has %q where a status must stand", to)
			}
		}
		if low < least || high > most || low > high {
			return fmt.Errorf("has %q, which is not within %d to %d", part, least, most)
		}
	}
	return nil
}
