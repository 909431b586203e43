package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicehq/sluice/internal/localaws"
)

func newLocalCommand() *cobra.Command {
	var config localaws.Config
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
	f.DurationVar(&config.ProvisioningDelay, "provisioning-delay", 0, "how long a new load balancer is provisioning")
	f.DurationVar(&config.ChangeDelay, "change-delay", 0, "how long a change of a hosted zone is pending")
	f.StringVar(&config.Key, "require-auth", "", "check that requests are signed with this ACCESS_KEY_ID:SECRET_ACCESS_KEY")
	f.BoolVar(&config.StrictTargets, "strict-targets", false, "refuse ip targets that AWS refuses, such as loopback addresses")
	f.StringVar(&level, "log-level", level, "debug, info, warn or error")
	return cmd
}
