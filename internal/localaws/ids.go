package localaws

import (
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
)

// hex returns n random lower-case hex digits.
func (s *Server) hex(n int) string {
	b := make([]byte, (n+1)/2)
	s.random.Lock()
	defer s.random.Unlock()
	if _, err := io.ReadFull(s.options.Random, b); err != nil {
		panic(fmt.Sprintf("localaws: no random bytes: %v", err))
	}
	return hex.EncodeToString(b)[:n]
}

// digits returns ten random decimal digits, the first not zero.
func (s *Server) digits() string {
	n, _ := new(big.Int).SetString(s.hex(15), 16)
	return fmt.Sprint(1_000_000_000 + n.Mod(n, big.NewInt(9_000_000_000)).Int64())
}

// newID makes an EC2 identifier: a prefix and 17 hex digits.
func (s *Server) newID(prefix string) string { return prefix + "-" + s.hex(17) }

func (s *Server) elbARN(resource string) string {
	return "arn:aws:elasticloadbalancing:" + s.options.Region + ":" + s.options.AccountID + ":" + resource
}

func (s *Server) ec2ARN(kind, id string) string {
	return "arn:aws:ec2:" + s.options.Region + ":" + s.options.AccountID + ":" + kind + "/" + id
}

// arnResource returns what follows the account in an ARN, "" when it is none.
func arnResource(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return ""
	}
	return parts[5]
}

// loadBalancerName is app/NAME/ID16, as it stands in the ARN.
func loadBalancerName(arn string) string {
	return strings.TrimPrefix(arnResource(arn), "loadbalancer/")
}
