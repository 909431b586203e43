package main

import (
	"time"

	"github.com/sluicehq/sluice/internal/compile"
	"github.com/sluicehq/sluice/internal/lb"
)

// groups are the flags of the controller as its help shows them. A flag that the AWS Load Balancer Controller has too
// has its name, default and meaning.
func (f *controllerFlags) groups() flagGroups {
	var groups flagGroups
	f.clusterFlags(&groups)
	f.balancerFlags(&groups)
	f.targetFlags(&groups)
	f.dns.add(&groups, false)
	f.fleet.addTo(&groups)
	f.processFlags(&groups)
	return groups
}

func (f *controllerFlags) clusterFlags(groups *flagGroups) {
	cluster := groups.in("Cluster")
	cluster.StringVar(&f.cluster, "cluster-name", "", "name of the cluster, in the tags and names of everything in AWS (required)")
	cluster.StringVar(&f.kubeconfig, "kubeconfig", "", "file that tells how to reach the cluster; KUBECONFIG or the pod's own account when not given")
	cluster.StringVar(&f.namespace, "watch-namespace", "", "the only namespace to watch; all when not given")

	aws := groups.in("AWS")
	aws.StringVar(&f.region, "aws-region", "", "AWS region; from the environment when not given")
	aws.StringVar(&f.vpc, "aws-vpc-id", "", "VPC of the cluster; when not given, the one with the tags of --aws-vpc-tags or with the tag kubernetes.io/cluster/<cluster-name>, or that of the machine this runs on")
	aws.StringToStringVar(&f.vpcTags, "aws-vpc-tags", nil, "tags of the VPC of the cluster, as key=value,…")
	aws.StringToStringVar(&f.endpoints, "aws-api-endpoints", nil, "other addresses of AWS services, as EC2=https://…,Elastic Load Balancing v2=https://…")
	aws.IntVar(&f.attempts, "aws-max-retries", 10, "how often an AWS call is tried in all")
	aws.StringSliceVar(&f.throttles, "aws-api-throttle", nil, "limits for AWS calls, beside those that AWS's answers teach, as service:operations=rate:burst,…")
	aws.StringToStringVar(&f.tags, "default-tags", nil, "tags on everything that is made in AWS, as key=value,…")
	aws.StringSliceVar(&f.external, "external-managed-tags", nil, "tag keys that others manage and that are left alone")
	aws.DurationVar(&f.audit, "aws-audit-interval", 10*time.Minute, "how often AWS is compared with what is known of it, 0 for never")
}

func (f *controllerFlags) balancerFlags(groups *flagGroups) {
	b := groups.in("Load balancers")
	b.StringVar(&f.class, "ingress-class", "alb", "class annotation of the Ingresses to serve; IngressClasses are told by their controller")
	b.StringVar(&f.serviceClass, "load-balancer-class", compile.NetworkClass, "spec.loadBalancerClass of the Services to serve")
	b.StringVar(&f.scheme, "default-load-balancer-scheme", string(lb.Internal), "internal or internet-facing, where no Ingress or Service says it")
	b.StringVar(&f.sslPolicy, "default-ssl-policy", "ELBSecurityPolicy-2016-08", "security policy of HTTPS and TLS ports, where nobody names one")
	b.StringSliceVar(&f.authorities, "allowed-certificate-authority-arns", nil, "private certificate authorities, by ARN, whose certificates alone are found by host; any certificate when not given")
	b.BoolVar(&f.waf, "enable-wafv2", true, "give load balancers the web ACLs of WAF that Ingresses ask for")
	b.BoolVar(&f.classicWAF, "enable-waf", true, "the same with WAF Classic")
	b.BoolVar(&f.shield, "enable-shield", true, "give load balancers the protection of Shield Advanced that Ingresses ask for")
	b.BoolVar(&f.tolerant, "tolerate-non-existent-backend-service", true, "answer 503 for a Service that does not exist, instead of leaving all as it is")
	b.BoolVar(&f.tolerateAction, "tolerate-non-existent-backend-action", true, "answer 503 for an action annotation that does not exist, instead of leaving all as it is")
}

func (f *controllerFlags) targetFlags(groups *flagGroups) {
	t := groups.in("Targets")
	t.StringVar(&f.target, "default-target-type", string(lb.InstanceTargets), "instance or ip, where neither Ingress nor Service says it")
	t.StringVar(&f.backendGroup, "backend-security-group", "", "id of a security group that all load balancers reach targets from; one is made when not given")
	t.BoolVar(&f.useBackendGroup, "enable-backend-security-group", true, "let all load balancers reach targets from one security group, instead of each from its own")
	t.BoolVar(&f.manageBackend, "enable-manage-backend-security-group-rules", false, "open targets also for load balancers with security groups by annotation, where no Ingress or Service says it")
	t.IntVar(&f.maxTargets, "max-targets-per-target-group", 0, "targets of a target group that are registered at most; no limit when 0")
	t.StringToStringVar(&f.interfaceTags, "service-target-eni-security-group-tags", nil, "tags, beside the cluster's, of the one security group of an interface with several that is opened, as key=value,…")
	t.BoolVar(&f.openAllPorts, "disable-restricted-sg-rules", false, "open all ports of targets to load balancers, instead of those that they use")
}

func (f *controllerFlags) processFlags(groups *flagGroups) {
	p := groups.in("Process")
	p.StringVar(&f.config, "config", "", "YAML file with flags, as log-level: debug; the command line wins")
	p.StringToStringVar(&f.featureGates, "feature-gates", nil, "feature gates of the AWS Load Balancer Controller, as A=true,B=false; those that have no effect are logged")
	p.StringVar(&f.metrics, "metrics-bind-address", ":8080", "address of the metrics, 0 for none")
	p.StringVar(&f.probes, "health-probe-bind-address", ":61779", "address of /healthz and /readyz, 0 for none")
	p.BoolVar(&f.elect, "enable-leader-election", true, "work only while no other replica does")
	p.StringVar(&f.electionID, "leader-election-id", "aws-load-balancer-controller-leader", "name of the Lease")
	p.StringVar(&f.electionSpace, "leader-election-namespace", "", "namespace of the Lease; the pod's own, or kube-system outside of a pod, when not given")
	p.IntVar(&f.stackWorkers, "ingress-max-concurrent-reconciles", 3, "load balancers worked at a time")
	p.IntVar(&f.bindingWorkers, "targetgroupbinding-max-concurrent-reconciles", 3, "TargetGroupBindings worked at a time")
	p.DurationVar(&f.sync, "sync-period", 10*time.Hour, "how often everything is looked at although nothing has changed")
	p.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
}
