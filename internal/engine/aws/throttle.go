package aws

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Throttle is a limit that a user sets for operations of a service, beside those that AWS's answers teach.
type Throttle struct {
	Service    string // as the SDK names it: Elastic Load Balancing v2
	operations *regexp.Regexp
	limit      limit
	text       string
}

// ParseThrottle reads one as the AWS Load Balancer Controller writes it: service:operations=rate:burst, where operations
// is a regular expression that matches anywhere in a name, and rate is calls a second.
func ParseThrottle(text string) (Throttle, error) {
	fail := func(problem string) (Throttle, error) {
		return Throttle{}, fmt.Errorf("%q: %s; write it as service:operations=rate:burst, for example "+
			"Elastic Load Balancing v2:RegisterTargets|DeregisterTargets=4:20", text, problem)
	}
	service, rest, ok := strings.Cut(text, ":")
	at := strings.LastIndex(rest, "=")
	if !ok || at < 0 || strings.TrimSpace(service) == "" || at == 0 {
		return fail("the service, the operations or the limit is missing")
	}
	operations, err := regexp.Compile(rest[:at])
	if err != nil {
		return fail("the operations are no regular expression: " + err.Error())
	}
	perSecond, burst, ok := strings.Cut(rest[at+1:], ":")
	if !ok {
		return fail("the limit has no burst")
	}
	t := Throttle{Service: strings.TrimSpace(service), operations: operations, text: text}
	if t.limit.rate, err = strconv.ParseFloat(perSecond, 64); err != nil || !(t.limit.rate > 0) {
		return fail("the rate must be a number above 0")
	}
	if t.limit.burst, err = strconv.Atoi(burst); err != nil || t.limit.burst < 1 {
		return fail("the burst must be a whole number above 0")
	}
	return t, nil
}
