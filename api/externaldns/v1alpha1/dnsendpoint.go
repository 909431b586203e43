package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DNSEndpoint asks for DNS records.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=dnsendpoints
// +kubebuilder:subresource:status
// +kubebuilder:metadata:annotations="api-approved.kubernetes.io=https://github.com/kubernetes-sigs/external-dns/pull/2007"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="DNSReady")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DNSEndpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   DNSEndpointSpec   `json:"spec,omitempty"`
	Status DNSEndpointStatus `json:"status,omitempty"`
}

// DNSEndpointList is a list of DNSEndpoints.
//
// +kubebuilder:object:root=true
type DNSEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DNSEndpoint `json:"items"`
}

// DNSEndpointSpec is a list of record sets.
type DNSEndpointSpec struct {
	Endpoints []*Endpoint `json:"endpoints,omitempty"`
}

// Endpoint is one record set.
type Endpoint struct {
	// DNSName is the name of the record.
	DNSName string `json:"dnsName,omitempty"`
	// Targets are what the record points at.
	Targets []string `json:"targets,omitempty"`
	// RecordType is the type of the record: A, AAAA, CNAME, TXT, SRV, NS, MX, NAPTR ….
	RecordType string `json:"recordType,omitempty"`
	// SetIdentifier tells records of the same name and type apart.
	SetIdentifier string `json:"setIdentifier,omitempty"`
	// RecordTTL is the time to live in seconds.
	RecordTTL int64 `json:"recordTTL,omitempty"`
	// Labels are not read; they are part of the published type.
	Labels map[string]string `json:"labels,omitempty"`
	// ProviderSpecific are settings such as alias or aws/weight.
	ProviderSpecific []ProviderSpecificProperty `json:"providerSpecific,omitempty"`
}

// ProviderSpecificProperty is one setting of a record.
type ProviderSpecificProperty struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}

// DNSEndpointStatus is what was last done.
type DNSEndpointStatus struct {
	// ObservedGeneration is the generation that was last read.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions tell whether the records are there.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
