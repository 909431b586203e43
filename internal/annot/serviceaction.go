package annot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicehq/sluice/internal/lb"
)

// Share is the part of a listener's connections that go to other target groups than the Service's own.
type Share struct {
	Own    bool // the Service's own gets a share too
	Weight int  // of the Service's own
	Groups []ServiceShare
	Sticky bool // by the client's address
	At     Origin
}

// ServiceShare is a Service port, or a target group that others made, by ARN.
type ServiceShare struct {
	ARN     string
	Service string
	Port    lb.Port
	Weight  int
	Decrypt bool // on TLS listeners: targets are spoken to without TLS
}

// shareForm is the JSON form.
type shareForm struct {
	Type          string `json:"type"`
	ForwardConfig *struct {
		BaseServiceWeight *int32 `json:"baseServiceWeight"`
		TargetGroups      []struct {
			tupleForm
			Decrypt bool `json:"decrypt"`
		} `json:"targetGroups"`
		TargetGroupStickinessConfig *struct {
			Enabled *bool `json:"enabled"`
		} `json:"targetGroupStickinessConfig"`
	} `json:"forwardConfig"`
}

// Share reads the annotation actions.PROTOCOL-PORT; found is false when there is none.
func (s Service) Share(protocol lb.Protocol, port uint16) (share Share, found bool, verdicts []lb.Verdict) {
	r := &reader{layers: s.reader.layers}
	value, at, found := r.text(nlbActions.of(protocol, port))
	if !found {
		return Share{}, false, nil
	}
	share, err := parseShare(value, at)
	if err != nil {
		r.refuse(at, err.Error(), `Write it as {"type": "forward", "forwardConfig": {"baseServiceWeight": 90, "targetGroups": [{"serviceName": "canary", "servicePort": 80, "weight": 10}]}}`)
	}
	return share, true, r.problems
}

// ServiceShares are the Services that a Service's actions name, sorted. Actions that cannot be read have none.
func ServiceShares(service *corev1.Service) []string {
	var names []string
	for _, annotation := range slices.Sorted(maps.Keys(service.Annotations)) {
		if !strings.HasPrefix(annotation, nlbActions.Annotation()) {
			continue
		}
		share, err := parseShare(service.Annotations[annotation], Origin{})
		if err != nil {
			continue
		}
		for _, g := range share.Groups {
			if g.Service != "" {
				names = append(names, g.Service)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func parseShare(value string, at Origin) (Share, error) {
	var form shareForm
	if err := json.Unmarshal([]byte(value), &form); err != nil {
		return Share{}, fmt.Errorf("is no action in JSON: %w", err)
	}
	switch {
	case form.Type != "forward":
		return Share{}, fmt.Errorf("has type %q, which must be forward", form.Type)
	case form.ForwardConfig == nil:
		return Share{}, errors.New("has no forwardConfig")
	}
	share := Share{At: at}
	config := form.ForwardConfig
	count := len(config.TargetGroups)
	if config.BaseServiceWeight != nil {
		if *config.BaseServiceWeight < 0 || *config.BaseServiceWeight > 999 {
			return Share{}, fmt.Errorf("has baseServiceWeight %d, which must be 0 to 999", *config.BaseServiceWeight)
		}
		share.Own, share.Weight = true, int(*config.BaseServiceWeight)
		count++
	}
	if count == 0 || count > mostGroups {
		return Share{}, fmt.Errorf("forwards to %d target groups, and must to 1 to %d", count, mostGroups)
	}
	for _, t := range config.TargetGroups {
		if t.TargetGroupName != "" {
			return Share{}, fmt.Errorf("names target group %s, and must name it by targetGroupARN", t.TargetGroupName)
		}
		g, err := t.group(count > 1)
		if err != nil {
			return Share{}, err
		}
		s := ServiceShare{ARN: g.ARN, Service: g.Service, Port: g.Port, Weight: g.Weight, Decrypt: t.Decrypt}
		if slices.Contains(share.Groups, s) {
			return Share{}, errors.New("names a target group twice")
		}
		share.Groups = append(share.Groups, s)
	}
	if s := config.TargetGroupStickinessConfig; s != nil && s.Enabled != nil {
		share.Sticky = *s.Enabled
	}
	return share, nil
}
