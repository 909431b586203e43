package lb

import "slices"

// Feature is something that the model can say and not every engine can do.
type Feature string

// The features that compile asks an engine for.
const (
	InstanceTargetsFeature Feature = "instance targets"
	HTTPSListeners         Feature = "HTTPS listeners"
	DualStackFeature       Feature = "dual-stack load balancers"
	NetworkFeature         Feature = "network load balancers"
)

// Features are what one engine can do. Compile refuses the rest by name.
type Features []Feature

// Has says whether the engine can do it.
func (f Features) Has(feature Feature) bool { return slices.Contains(f, feature) }
