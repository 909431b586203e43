package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/localaws"
)

func newLocalCommand() *cobra.Command {
	var config localaws.Config
	var given localaws.Profile // the parts that flags give
	profile, factor := string(localaws.Fast), 1.0
	level := "info"
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run local AWS: load balancers on this machine, behind the AWS APIs",
		Long: `Serves the AWS APIs that load balancers need on one port, for the aws CLI, SDKs and
controllers alike: set AWS_ENDPOINT_URL to it. Each load balancer listens on a loopback
address of its own, and a DNS server answers for their names and for hosted zones.`,
		Example: "  sluice local --data-dir ~/.local/share/sluice",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			config.Logger = logger
			if config.Profile, err = localaws.NewProfile(localaws.ProfileName(profile), factor); err != nil {
				return err
			}
			override(&config.Profile, given, cmd.Flags().Changed)
			return localaws.Run(cmd.Context(), config)
		},
	}
	f := cmd.Flags()
	f.StringVar(&config.Listen, "listen", localaws.ListenAddress, "address of the AWS endpoint")
	f.StringVar(&config.DNS, "dns", localaws.DNSListen, `address of the DNS server, or "none"`)
	f.StringVar(&config.DataDir, "data-dir", "", "folder to keep the state in; without it the state is gone at the end")
	f.StringVar(&config.Buckets, "buckets", "", "folder that stands for S3, with a folder for each bucket; DATA-DIR/buckets when not given")
	f.StringVar(&config.Seed, "seed", "", "file with the VPCs, subnets and instances that exist from the start")
	f.StringVar(&config.Region, "region", "", "region; that of the seed, or ap-northeast-1, when not given")
	f.StringVar(&config.Account, "account-id", "", "account; that of the seed, or 123456789012, when not given")
	f.StringVar(&config.Key, "require-auth", "", "check that requests are signed with this ACCESS_KEY_ID:SECRET_ACCESS_KEY")
	f.StringVar(&profile, "profile", profile, "fast: everything happens at once; faithful: as slow, and as strict about rates and targets, as AWS")
	f.Float64Var(&factor, "factor", factor, "what the times of the profile are multiplied by")
	f.DurationVar(&given.Provisioning, "provisioning-delay", 0, "how long a new load balancer is provisioning, whatever the profile")
	f.DurationVar(&given.RuleChanges, "rule-delay", 0, "within how long a change of a listener's actions or rules takes effect")
	f.DurationVar(&given.Registration, "registration-delay", 0, "how long a Network Load Balancer takes to let a target in")
	f.DurationVar(&given.Deregistration, "deregistration-delay", 0, "how long it still opens connections to one that was taken out")
	f.DurationVar(&given.ZoneChanges, "change-delay", 0, "how long a change of a hosted zone is pending")
	f.BoolVar(&given.Throttling, "throttle", false, "refuse API calls beyond AWS's rates")
	f.BoolVar(&given.StrictTargets, "strict-targets", false, "refuse ip targets that AWS refuses, such as loopback addresses")
	f.StringVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}

// override replaces the parts of a profile that a flag was given for.
func override(p *localaws.Profile, given localaws.Profile, changed func(flag string) bool) {
	for flag, replace := range map[string]func(){
		"provisioning-delay":   func() { p.Provisioning = given.Provisioning },
		"rule-delay":           func() { p.RuleChanges = given.RuleChanges },
		"registration-delay":   func() { p.Registration = given.Registration },
		"deregistration-delay": func() { p.Deregistration = given.Deregistration },
		"change-delay":         func() { p.ZoneChanges = given.ZoneChanges },
		"throttle":             func() { p.Throttling = given.Throttling },
		"strict-targets":       func() { p.StrictTargets = given.StrictTargets },
	} {
		if changed(flag) {
			replace()
		}
	}
}
