package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// gate is a feature gate of the AWS Load Balancer Controller.
type gate struct {
	on bool // by default
	// fixed says why the gate has no effect here; empty for one that has. Setting it to its default is no news.
	fixed string
}

// gateTable are the gates by their names in the AWS Load Balancer Controller v3.5, with its defaults.
func gateTable() map[string]gate {
	return map[string]gate{
		"ListenerRulesTagging":          {true, "listeners and rules are always tagged"},
		"WeightedTargetGroups":          {true, "actions are always understood in full"},
		"ServiceTypeLoadBalancerOnly":   {false, ""},
		"EndpointsFailOpen":             {true, "targets are always kept while nothing better is known"},
		"EnableServiceController":       {true, ""},
		"EnableIPTargetType":            {true, ""},
		"EnableTCPUDPListener":          {false, ""},
		"EnableRGTAPI":                  {false, "the tagging API is used where its permission is there"},
		"SubnetsClusterTagCheck":        {true, "subnets of other clusters are never used"},
		"SubnetDiscoveryByReachability": {true, "subnets without role tags are told by their routes"},
		"NLBHealthCheckAdvancedConfig":  {true, ""},
		"NLBSecurityGroup":              {true, ""},
		"ALBSingleSubnet":               {false, "an Application Load Balancer needs two subnets"},
		"LBCapacityReservation":         {true, "capacity is not reserved by this version"},
		"NLBGatewayAPI":                 {true, "Gateways are not served by this version"},
		"ALBGatewayAPI":                 {true, "Gateways are not served by this version"},
		"GatewayListenerSet":            {true, "Gateways are not served by this version"},
		"GlobalAcceleratorController":   {false, "accelerators are not served by this version"},
		"EnhancedDefaultBehavior":       {false, "what an annotation no longer says is not reset by this version"},
		"EnableDefaultTagsLowPriority":  {false, "default tags win over users' tags in this version"},
		"ALBTargetControlAgent":         {false, "the target control agent is not injected by this version"},
		"EnableCertificateManagement":   {false, "certificates are not requested by this version"},
		"IngressPlanAnnotation":         {false, "sluice plan shows the plan; it is not written into annotations by this version"},
	}
}

// gates are the feature gates in force.
type gates map[string]bool

// newGates reads --feature-gates. A name that does not exist is an error that lists those that do.
func newGates(given map[string]string) (gates, error) {
	table := gateTable()
	on := gates{}
	for name, g := range table {
		on[name] = g.on
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := table[name]; !known {
			return nil, fmt.Errorf("--feature-gates has %q, and there are only %s", name, strings.Join(slices.Sorted(maps.Keys(table)), ", "))
		}
		value, err := strconv.ParseBool(given[name])
		if err != nil {
			return nil, fmt.Errorf("--feature-gates sets %s to %q and must set it to true or false", name, given[name])
		}
		on[name] = value
	}
	return on, nil
}

// notices tells of gates that were set to what they cannot be here.
func (g gates) notices(logger *slog.Logger) {
	table := gateTable()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		if t := table[name]; t.fixed != "" && g[name] != t.on {
			logger.Warn("a feature gate has no effect", "gate", name, "set", g[name], "because", t.fixed)
		}
	}
}
