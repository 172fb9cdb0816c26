package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SubjectSpec names an application's variants and the resources that each is made of.
type SubjectSpec struct {
	// variants of the application, in order. A variant's number, as Iter8 counts, is its position from 1.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Variants []Variant `json:"variants"`
}

// Variant is one version of the application.
type Variant struct {
	// name of the variant, unique in the Subject.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="a variant's name consists of lower case letters, digits, '-' and '.', and starts and ends with a letter or digit"
	Name string `json:"name"`

	// weight is handed to the chart or templates, which give it its meaning: for the built-in charts, the percentage
	// of requests to mirror, 0 to 100, where the mirror itself gives none. Absent means 1 to templates, and no
	// percentage to these charts. The annotation iter8.tools/weight on the variant's first resource takes its place.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int32 `json:"weight,omitempty"`

	// resources that make up the variant: it is available while each of them exists, is not being deleted,
	// and is ready. A variant without resources is always available. Each resource must carry the label
	// iter8.tools/detect: "true".
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	Resources []ResourceReference `json:"resources,omitempty"`
}

// ResourceReference names one resource of a variant.
type ResourceReference struct {
	// apiVersion of the resource, as in its manifest: v1, apps/v1.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[a-z0-9]+$')",message="an apiVersion is 'version' or 'group/version', such as v1 or apps/v1"
	APIVersion string `json:"apiVersion"`

	// kind of the resource, as in its manifest: Service, Deployment. The kind must be namespaced.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Za-z0-9]*$')",message="a kind is in upper camel case, such as Deployment"
	Kind string `json:"kind"`

	// name of the resource.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// namespace of the resource. Absent means the Subject's own; another one is only read where the operator
	// was started with cross-namespace references allowed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// readyWhen overrides what ready means for this resource. Absent means: a Deployment is ready when its
	// condition Available is True and it has an available Pod; a Service with a selector when it has a ready endpoint;
	// a Service without one or of type ExternalName, a ConfigMap or a Secret when it exists; anything with a condition Ready, else with a condition
	// Available, when that is True; anything else when it has a status and kstatus says Current.
	// +optional
	ReadyWhen *ReadyWhen `json:"readyWhen,omitempty"`
}

// ReadyWhen says when a resource is ready. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.exists), has(self.conditions), has(self.cel)].filter(x, x).size() == 1",message="readyWhen takes exactly one of exists, conditions and cel"
type ReadyWhen struct {
	// exists: true means that the resource is ready as soon as it exists.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self",message="exists can only be true"
	Exists *bool `json:"exists,omitempty"`

	// conditions are types of status.conditions that must all be True.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=316
	// +listType=set
	Conditions []string `json:"conditions,omitempty"`

	// cel is an expression in the Common Expression Language over the variable object, the whole resource.
	// It returns true when the resource is ready: object.status.?readyReplicas.orValue(0) >= 2. Guard fields that may be
	// absent with optional types, object.status.?phase.orValue('') == 'Loaded'; a resource on which the expression
	// fails is not ready.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	CEL string `json:"cel,omitempty"`
}

// SubjectStatus is what the operator sees of a Subject's variants.
type SubjectStatus struct {
	// observedGeneration is the generation of the spec that was observed last; -1 before the first was.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// available counts the variants that are available, of all: 1/2.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Available string `json:"available,omitempty"`

	// availableVariants are the names of the variants that are available, joined by commas.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	AvailableVariants string `json:"availableVariants,omitempty"`

	// variants as they are now, in the order of the spec.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Variants []VariantStatus `json:"variants,omitempty"`

	// conditions of the Subject. Ready is True while every resource is watched, whether its variant is
	// available or not.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VariantStatus is what the operator sees of one variant.
type VariantStatus struct {
	// name of the variant.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// available is True while every resource of the variant exists, isn't being deleted and is ready, False
	// while one isn't, and Unknown while that can't be told.
	// +kubebuilder:validation:Enum=True;False;Unknown
	Available metav1.ConditionStatus `json:"available"`

	// reason says in one word why.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message names the resources that keep the variant from being available, and why.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// lastTransitionTime is when available took its present value.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
}

// Subject is an application of which several variants may run side by side. The operator watches the
// resources of each and tells which variants are available; RoutingPolicies route by that.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=subj,categories=iter8
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Variants",type=string,JSONPath=`.status.availableVariants`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Subject struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec names the variants and their resources.
	Spec SubjectSpec `json:"spec"`

	// status is what the operator sees of them.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status SubjectStatus `json:"status,omitempty"`
}

// SubjectList is a list of Subjects.
//
// +kubebuilder:object:root=true
type SubjectList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Subject `json:"items"`
}
