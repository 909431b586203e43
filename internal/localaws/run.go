package localaws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
)

// The addresses local AWS listens on when nothing else is said.
const (
	ListenAddress = "127.0.0.1:4566"
	DNSListen     = "127.0.0.1:4553"
)

// Config is what the command line says.
type Config struct {
	Listen  string // ListenAddress when empty
	DNS     string // DNSListen when empty; "none" opens no DNS server
	DataDir string
	Buckets string // folder that stands for S3; "buckets" in DataDir when empty
	Seed    string // file; empty for none
	Region  string
	Account string
	Key     string // "ACCESS_KEY_ID:SECRET_ACCESS_KEY" that requests must be signed with; empty checks no signatures
	Logger  *slog.Logger
	Profile Profile
}

// Run is local AWS as a program: it starts, says in one line that it is ready, and stops when the context ends.
func Run(ctx context.Context, c Config) (err error) {
	o := Options{
		Region: c.Region, AccountID: c.Account, DataDir: c.DataDir, Buckets: c.Buckets, DNSAddress: firstOf(c.DNS, DNSListen), Logger: c.Logger,
		Profile: c.Profile,
	}
	if o.DNSAddress == "none" {
		o.DNSAddress = ""
	}
	if c.Key != "" {
		id, secret, ok := strings.Cut(c.Key, ":")
		if !ok || id == "" || secret == "" {
			return errors.New("localaws: the key to require must have the form ACCESS_KEY_ID:SECRET_ACCESS_KEY")
		}
		o.Keys = map[string]string{id: secret}
	}
	if c.Seed != "" {
		if o.Seed, err = ReadSeed(c.Seed); err != nil {
			return err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", firstOf(c.Listen, ListenAddress))
	if err != nil {
		return fmt.Errorf("localaws: %w", err)
	}
	s, err := New(o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.log.Info("local AWS is ready", "endpoint", "http://"+l.Addr().String(), "region", s.Region(), "account", s.AccountID(),
		"dns", s.DNSAddress(), "data", firstOf(c.DataDir, "in memory"), "profile", s.Profile().Name)
	return s.Serve(ctx, l)
}
