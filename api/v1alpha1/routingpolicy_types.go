package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoutingPolicySpec says which routing resources stand while which variants of a Subject are available.
//
// +kubebuilder:validation:XValidation:rule="has(self.chart) != has(self.templates)",message="a policy takes exactly one of chart and templates"
type RoutingPolicySpec struct {
	// subjectRef names the Subject whose variants decide.
	SubjectRef SubjectReference `json:"subjectRef"`

	// trigger restricts which variants decide. Absent means all of the Subject's.
	// +optional
	Trigger *Trigger `json:"trigger,omitempty"`

	// chart is the Helm chart to render.
	// +optional
	Chart *ChartReference `json:"chart,omitempty"`

	// values of the chart or templates, in any shape that these take. The key iter8 is reserved: there the
	// operator puts the state of the variants.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`

	// templates are Go templates to render in place of a chart. .Values holds the policy's values, and the
	// state of the variants as .Values.iter8; .Weights, .Versions, .Name, .Namespace and .Labels are what they
	// were in Iter8's routemaps.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Templates []InlineTemplate `json:"templates,omitempty"`

	// serviceAccountName is the ServiceAccount, in the policy's namespace, as which the operator writes the
	// policy's objects. Absent means as itself.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// interval between two resolutions of a chart that comes from a repository. Charts that are built into
	// the operator don't change while it runs.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="interval must be 10s or more"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// deletionPolicy says what becomes of what was applied when the policy is deleted. Delete: it goes with the policy. Orphan: its mirrors
	// are taken out, and all else stays as it stands, also when the Subject is deleted; another policy gets it by the annotation
	// iter8.tools/adopt: "true" on it. A change counts once it is acted on, which is when observedGeneration is that of the policy.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops the operator from changing anything for this policy. What is applied stays, mirrors to a variant that
	// goes meanwhile too; withdrawn takes these out all the same. The condition Suspended says which changes wait.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// withdrawn takes every mirror out of the policy's routes and keeps it out, whether or not the policy is suspended.
	// Everything else goes on.
	// +optional
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// DeletionPolicy says what becomes of an object that was applied for a policy, when that is gone.
// +kubebuilder:validation:Enum=Delete;Orphan
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionDelete: it is deleted.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionOrphan: its mirrors are taken out, and all else stays as it stands.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// SubjectReference names a Subject.
type SubjectReference struct {
	// name of the Subject.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// namespace of the Subject. Absent means the policy's own; another one is only read where the operator
	// was started with cross-namespace references allowed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// Trigger says which variants decide about the routing resources.
type Trigger struct {
	// variants, by name, whose availability the chart gets to see. Every other variant counts as available.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	Variants []string `json:"variants"`
}

// ChartReference names a Helm chart.
//
// +kubebuilder:validation:XValidation:rule="has(self.repository) || !(has(self.secretRef) || has(self.caSecretRef) || has(self.insecure) && self.insecure || has(self.verify))",message="secretRef, caSecretRef, insecure and verify are about a repository; a chart that is built into the operator takes none of them"
// +kubebuilder:validation:XValidation:rule="!self.name.contains('@') || has(self.repository) && self.repository.startsWith('oci://') && !has(self.version) && self.name.matches('^[^@]+@sha256:[0-9a-f]{64}$')",message="a name with a digest is name@sha256:…, for a chart in an oci:// registry, and takes no version beside it"
type ChartReference struct {
	// repository that serves the chart: the address of a folder with an index.yaml, https://…, or of a folder of a
	// registry, oci://…. Absent means the charts that are built into the operator. http:// works where the operator's
	// configuration allows it.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|oci)://.+')",message="a repository's address starts with https://, http:// or oci://; leave it out for the charts that are built into the operator"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[@?#]')",message="a repository's address has no user, query or fragment; credentials belong in the Secret that secretRef names"
	Repository string `json:"repository,omitempty"`

	// name of the chart. Built in are: mirror, mirror-istio. In an oci:// registry it may carry the digest of the chart's manifest,
	// name@sha256:…, which stands in place of a version.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// version is a semver range, such as 0.14.x or >=1.2.0 <2.0.0. The newest version in it is taken; absent
	// means the newest stable one. Pre-releases are only taken by a range that names one, such as >=1.2.0-0.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Version string `json:"version,omitempty"`

	// secretRef names a Secret with credentials for the repository: username and password; or token, which is sent as
	// a bearer token; or .dockerconfigjson. They are sent to the repository's host only, and in the case of an
	// oci:// registry to the host of the same domain that gives out its tokens.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// caSecretRef names a Secret whose ca.crt holds certificates, in PEM, of authorities that are trusted beside the
	// well-known ones.
	// +optional
	CASecretRef *SecretReference `json:"caSecretRef,omitempty"`

	// insecure takes whatever certificate the repository has, and an oci:// registry that doesn't speak TLS. It only
	// works where the operator's configuration allows it.
	// +optional
	Insecure bool `json:"insecure,omitempty"`

	// verify asks for a chart that is signed: with the provenance file that helm package --sign makes, beside the
	// archive or in the same manifest. A chart without one is not used.
	// +optional
	Verify *ChartVerification `json:"verify,omitempty"`
}

// SecretReference names a Secret in the policy's namespace. It is read with the rights of the policy's
// ServiceAccount, where the policy names one.
type SecretReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ChartVerification says who may have signed a chart.
type ChartVerification struct {
	// keyringSecretRef names a Secret whose pubring.gpg holds the public keys that are trusted, as gpg --export
	// writes them, with --armor or without.
	KeyringSecretRef SecretReference `json:"keyringSecretRef"`
}

// InlineTemplate is a Go template that renders a manifest, or nothing.
type InlineTemplate struct {
	// name of the template, unique in the policy; errors mention it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9]([-a-zA-Z0-9_.]*[a-zA-Z0-9])?$')",message="a template's name consists of letters, digits, '-', '_' and '.', and starts and ends with a letter or digit"
	Name string `json:"name"`

	// template in Go's text/template language, with Sprig's functions, toYaml, fromYaml, toJson and fromJson.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Template string `json:"template"`
}

// RoutingPolicy keeps routing resources in step with the availability of a Subject's variants: whenever a
// triggering variant becomes available or goes away, a Helm chart or inline templates are rendered with that
// state, and the result is applied.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=routingpolicies,shortName=rp,categories=iter8
// +kubebuilder:printcolumn:name="Subject",type=string,JSONPath=`.spec.subjectRef.name`
// +kubebuilder:printcolumn:name="Mirrors",type=string,JSONPath=`.status.mirrorTargets`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RoutingPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what to render, and when.
	Spec RoutingPolicySpec `json:"spec"`

	// status is what came of it.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status RoutingPolicyStatus `json:"status,omitempty"`
}

// RoutingPolicyList is a list of RoutingPolicies.
//
// +kubebuilder:object:root=true
type RoutingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RoutingPolicy `json:"items"`
}
