package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TargetGroupBinding keeps the targets of one target group equal to the endpoints of one Service port.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="SERVICE-NAME",type="string",JSONPath=".spec.serviceRef.name",description="The Kubernetes Service's name"
// +kubebuilder:printcolumn:name="SERVICE-PORT",type="string",JSONPath=".spec.serviceRef.port",description="The Kubernetes Service's port"
// +kubebuilder:printcolumn:name="TARGET-TYPE",type="string",JSONPath=".spec.targetType",description="How targets are addressed"
// +kubebuilder:printcolumn:name="ARN",type="string",JSONPath=".spec.targetGroupARN",description="The target group's ARN",priority=1
// +kubebuilder:printcolumn:name="NAME",type="string",JSONPath=".spec.targetGroupName",description="The target group's name",priority=2
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
type TargetGroupBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   TargetGroupBindingSpec   `json:"spec,omitempty"`
	Status TargetGroupBindingStatus `json:"status,omitempty"`
}

// TargetGroupBindingList is a list of TargetGroupBindings.
//
// +kubebuilder:object:root=true
type TargetGroupBindingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []TargetGroupBinding `json:"items"`
}

// TargetType says how targets are addressed.
//
// +kubebuilder:validation:Enum=instance;ip
type TargetType string

// TargetGroupIPAddressType is the address family of a target group.
//
// +kubebuilder:validation:Enum=ipv4;ipv6
type TargetGroupIPAddressType string

// TargetGroupProtocol is the protocol of a target group.
//
// +kubebuilder:validation:Enum=HTTP;HTTPS;TCP;TLS;UDP;TCP_UDP;QUIC;TCP_QUIC
type TargetGroupProtocol string

// The values of TargetType.
const (
	TargetTypeInstance TargetType = "instance"
	TargetTypeIP       TargetType = "ip"
)

// TargetGroupBindingSpec is what a TargetGroupBinding wants.
type TargetGroupBindingSpec struct {
	// TargetGroupARN is the target group; it wins over TargetGroupName.
	TargetGroupARN string `json:"targetGroupARN,omitempty"`
	// TargetGroupName is the target group by name.
	TargetGroupName string `json:"targetGroupName,omitempty"`
	// MultiClusterTargetGroup says that others register targets in the same target group.
	MultiClusterTargetGroup bool `json:"multiClusterTargetGroup,omitempty"`
	// TargetType is how targets are addressed.
	TargetType *TargetType `json:"targetType,omitempty"`
	// TargetGroupProtocol is the target group's protocol.
	TargetGroupProtocol *TargetGroupProtocol `json:"targetGroupProtocol,omitempty"`
	// ServiceRef is the Service port whose endpoints become targets.
	ServiceRef ServiceReference `json:"serviceRef"`
	// Networking is what the endpoints' security groups must let in; absent means that they are left alone.
	Networking *TargetGroupBindingNetworking `json:"networking,omitempty"`
	// NodeSelector narrows the nodes that become instance targets.
	NodeSelector *metav1.LabelSelector `json:"nodeSelector,omitempty"`
	// IPAddressType is the target group's address family.
	IPAddressType *TargetGroupIPAddressType `json:"ipAddressType,omitempty"`
	// VpcID is the target group's VPC.
	//
	// +kubebuilder:validation:Pattern="^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17}|[0-9a-f]{32})$"
	VpcID string `json:"vpcID,omitempty"`
	// IamRoleArnToAssume is a role for all calls about this target group.
	IamRoleArnToAssume string `json:"iamRoleArnToAssume,omitempty"`
	// AssumeRoleExternalId is the external id for that role.
	AssumeRoleExternalId string `json:"assumeRoleExternalId,omitempty"` //nolint:revive // the field name is LBC's
}

// ServiceReference names a Service port in the binding's namespace.
type ServiceReference struct {
	Name string             `json:"name"`
	Port intstr.IntOrString `json:"port"`
}

// TargetGroupBindingNetworking is a list of what to let in.
type TargetGroupBindingNetworking struct {
	Ingress []NetworkingIngressRule `json:"ingress,omitempty"`
}

// NetworkingIngressRule lets every peer in From reach every port in Ports.
type NetworkingIngressRule struct {
	From  []NetworkingPeer `json:"from"`
	Ports []NetworkingPort `json:"ports"`
}

// NetworkingPeer is one source; SecurityGroup wins when both fields are set.
type NetworkingPeer struct {
	IPBlock       *IPBlock       `json:"ipBlock,omitempty"`
	SecurityGroup *SecurityGroup `json:"securityGroup,omitempty"`
}

// IPBlock is a CIDR block.
type IPBlock struct {
	CIDR string `json:"cidr"`
}

// SecurityGroup is a security group as a source.
type SecurityGroup struct {
	GroupID string `json:"groupID"`
}

// NetworkingProtocol is a transport protocol.
//
// +kubebuilder:validation:Enum=TCP;UDP
type NetworkingProtocol string

// NetworkingPort is a port of the endpoints; absent means all.
type NetworkingPort struct {
	Protocol *NetworkingProtocol `json:"protocol,omitempty"`
	Port     *intstr.IntOrString `json:"port,omitempty"`
}

// TargetGroupBindingStatus is what the controller last did.
type TargetGroupBindingStatus struct {
	// ObservedGeneration is the generation last reconciled to the end.
	ObservedGeneration *int64 `json:"observedGeneration,omitempty"`
	// Conditions tell problems.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
