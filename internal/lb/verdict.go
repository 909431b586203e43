package lb

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Severity says what a verdict costs.
type Severity string

// The severities, from worst to mildest.
const (
	// Refused: the object is not served as it stands. What it had keeps working.
	Refused Severity = "refused"
	// Partial: a part of the object (a rule, a path) is left out or answered with an error; the rest is served.
	Partial Severity = "partial"
	// Warning: all is served; something deserves a look.
	Warning Severity = "warning"
)

// Reason is the machine-readable kind of a verdict, in CamelCase as Kubernetes events have it.
type Reason string

// Reasons that verdicts carry.
const (
	InvalidAnnotation     Reason = "InvalidAnnotation"
	UnknownAnnotation     Reason = "UnknownAnnotation"
	UnsupportedAnnotation Reason = "UnsupportedAnnotation"
	InvalidClass          Reason = "InvalidClass"
	InvalidPath           Reason = "InvalidPath"
	InvalidBackend        Reason = "InvalidBackend"
	InvalidManifest       Reason = "InvalidManifest"
	ServiceNotFound       Reason = "ServiceNotFound"
	PortNotFound          Reason = "PortNotFound"
	NoNodePort            Reason = "NoNodePort"
	SubnetNotFound        Reason = "SubnetNotFound"
	SecurityGroupNotFound Reason = "SecurityGroupNotFound"
	InvalidSubnets        Reason = "InvalidSubnets"
	CertificateNotFound   Reason = "CertificateNotFound"
	WebACLNotFound        Reason = "WebACLNotFound"
	NoSubscription        Reason = "NoSubscription"
	QuotaExceeded         Reason = "QuotaExceeded"
	GroupConflict         Reason = "GroupConflict"
	UnsupportedByEngine   Reason = "UnsupportedByEngine"
	DeletionProtected     Reason = "DeletionProtected"
	CloudRefused          Reason = "CloudRefused"
	SecurityGroupUnclear  Reason = "SecurityGroupUnclear"
	InvalidHostname       Reason = "InvalidHostname"
	NoHostedZone          Reason = "NoHostedZone"
	RecordConflict        Reason = "RecordConflict"
	RecordNotOwned        Reason = "RecordNotOwned"
	RecordRefused         Reason = "RecordRefused"
)

// Verdict tells a person what is wrong with an object. The event, the condition, `plan` and `explain` print the same one.
type Verdict struct {
	Object   Object
	Severity Severity
	Reason   Reason
	Category string // the type of the error in the object's status, where its kind has several: TLSError
	Field    string // path within the object: spec.rules[0].http.paths[1].backend.service.name
	Value    string // what stands there
	Problem  string // what is wrong with it, as a clause
	Fix      string // what to do, as a sentence without its full stop
}

// Message is the verdict without its object: field, value, problem and fix on one line.
func (v Verdict) Message() string {
	var b strings.Builder
	b.WriteString(v.Field)
	if v.Value != "" {
		if v.Field != "" {
			b.WriteString(": ")
		}
		b.WriteString(strconv.Quote(v.Value))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(v.Problem)
	if v.Fix != "" {
		b.WriteString(". " + v.Fix)
	}
	return b.String()
}

// String is the whole verdict on one line.
func (v Verdict) String() string {
	reason := string(v.Reason)
	if v.Category != "" {
		reason = v.Category + "/" + reason
	}
	return v.Object.String() + ": " + string(v.Severity) + " " + reason + ": " + v.Message()
}

// Compare orders verdicts by object, then by field, value and text, so that equal inputs print equally.
func (v Verdict) Compare(other Verdict) int {
	return cmp.Or(
		v.Object.Compare(other.Object),
		cmp.Compare(v.Field, other.Field),
		cmp.Compare(v.Reason, other.Reason),
		cmp.Compare(v.Message(), other.Message()),
	)
}

// SortVerdicts returns the verdicts in order, without repeats. It does not change its argument.
func SortVerdicts(verdicts []Verdict) []Verdict {
	sorted := slices.SortedFunc(slices.Values(verdicts), Verdict.Compare)
	return slices.Compact(sorted)
}
