package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RoutingPolicyStatus is what the operator did for a RoutingPolicy.
type RoutingPolicyStatus struct {
	// observedGeneration is the generation of the spec that was acted on last; -1 before the first was.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// chart that was rendered last.
	// +optional
	Chart *ResolvedChart `json:"chart,omitempty"`

	// subject that the variants are those of. What is known of the variants of another one, or of one that was made again,
	// counts for nothing.
	// +optional
	Subject *ObservedSubject `json:"subject,omitempty"`

	// appliedSpec is the spec of which all objects were applied last.
	// +optional
	AppliedSpec *AppliedSpec `json:"appliedSpec,omitempty"`

	// checked is a digest of the spec, the chart and the Subject's generation for which the objects with every mirror in
	// them were accepted by the apiserver.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Checked string `json:"checked,omitempty"`

	// inputs are digests of all that the applied objects were made of, and of what mirrors and applied list; absent while not all
	// objects are applied. As long as it stays the same, nothing is rendered anew.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Inputs string `json:"inputs,omitempty"`

	// variants are the states that the policy went by, in the Subject's order.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	Variants []KnownVariant `json:"variants,omitempty"`

	// mirrors that the policy's routes ask for, those that are withheld included.
	// +optional
	// +kubebuilder:validation:MaxItems=1024
	// +listType=atomic
	Mirrors []Mirror `json:"mirrors,omitempty"`

	// mirrorTargets are the backends that get mirrored requests, of the mirrors that aren't withheld, joined by commas, with the percentage where
	// it isn't 100.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	MirrorTargets string `json:"mirrorTargets,omitempty"`

	// applied is the inventory: every object that the policy applied, or was about to.
	// +optional
	// +kubebuilder:validation:MaxItems=128
	// +listType=atomic
	Applied []AppliedObject `json:"applied,omitempty"`

	// warnings are about what may hurt clients and isn't the operator's to change. A policy with warnings is Ready all the same.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Warnings []Warning `json:"warnings,omitempty"`

	// conditions of the policy: ChartResolved, Rendered, Applied and Accepted, and Ready, which sums them up; Suspended while it is
	// suspended, and Stalled or Reconciling while it isn't Ready.
	// +optional
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Warning is about an object that may hurt clients.
type Warning struct {
	// reason, such as ParentSelectsVariant.
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason"`

	// object that the warning is about, as kind/name, or kind/namespace/name where it is of another namespace than the policy.
	// +kubebuilder:validation:MaxLength=317
	Object string `json:"object"`

	// variant that the warning is about.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Variant string `json:"variant,omitempty"`

	// message that explains it, and says what helps.
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// AppliedSpec identifies a policy's spec.
type AppliedSpec struct {
	// generation of the policy with this spec.
	Generation int64 `json:"generation"`

	// digest of the spec without suspend and withdrawn: sha256:….
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest"`
}

// ResolvedChart is one exact version of a chart.
type ResolvedChart struct {
	// repository that served the chart; absent for a chart that is built into the operator.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Repository string `json:"repository,omitempty"`

	// name of the chart.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// version of the chart, exactly.
	// +kubebuilder:validation:MaxLength=253
	Version string `json:"version"`

	// digest of the chart's content: sha256:…. It is that of the archive, or of the manifest where an oci://
	// registry served the chart, as name@sha256:… takes it.
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest"`
}

// ObservedSubject identifies a Subject.
type ObservedSubject struct {
	// name of the Subject.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// namespace of the Subject.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// uid of the Subject.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid"`
}

// KnownVariant is the state of a variant as a policy went by it.
type KnownVariant struct {
	// name of the variant.
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// available reports whether the variant is available, or was when that was last known.
	Available bool `json:"available"`

	// unknownSince is when the state of the variant became unknown; absent while it is known. Mirrors to an available variant
	// stand for the time that the operator's configuration allows (mirrors.unknownGrace), and not longer.
	// +optional
	UnknownSince *metav1.Time `json:"unknownSince,omitempty"`
}

// MirrorState is what became of a mirror.
// +kubebuilder:validation:Enum=Active;Unconfirmed;Withheld
type MirrorState string

// The states of a mirror.
const (
	// MirrorActive: it stands in the route, and every parent of the route has accepted that.
	MirrorActive MirrorState = "Active"
	// MirrorUnconfirmed: it stands in the route, and no gateway or mesh has said so far that it serves the route as it is.
	MirrorUnconfirmed MirrorState = "Unconfirmed"
	// MirrorWithheld: it is kept out of the route, for the reason that is given.
	MirrorWithheld MirrorState = "Withheld"
)

// Mirror is a mirror that a route of the policy asks for.
type Mirror struct {
	// route that asks for the mirror, as kind/name.
	// +kubebuilder:validation:MaxLength=317
	Route string `json:"route"`

	// rule that asks for it: the rule's name, else its position in the route, from 0.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Rule string `json:"rule,omitempty"`

	// match is what a request must match to be mirrored: the matches of the route's rule. Absent means every
	// request that the rule gets.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Match string `json:"match,omitempty"`

	// from are the backends that answer the requests.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	From string `json:"from,omitempty"`

	// to is the backend that gets the copies.
	// +kubebuilder:validation:MaxLength=512
	To string `json:"to"`

	// variant that must be available for the mirror; several, joined by commas, where several list the backend. For one that none
	// lists, these are those that trigger the policy where its chart is built in, and none elsewhere.
	// +optional
	// +kubebuilder:validation:MaxLength=1086
	Variant string `json:"variant,omitempty"`

	// unknownSince is when the variants for which the mirror was applied were found not to be observed any more, as those of
	// another Subject aren't; absent otherwise. The mirror stands for the time of mirrors.unknownGrace then, and not longer.
	// +optional
	UnknownSince *metav1.Time `json:"unknownSince,omitempty"`

	// percent of the requests that are copied, as a decimal number: 100, 0.1; 0 where the mirror is withheld.
	// +kubebuilder:validation:MaxLength=32
	Percent string `json:"percent"`

	// state of the mirror.
	// +optional
	State MirrorState `json:"state,omitempty"`

	// reason why the mirror has less than it asks for; absent where it has all.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`

	// message that explains the reason.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// since when the state and reason are what they are.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// onTrial: the gateways accepted the route before the mirror became what it is, and haven't said so far that they still do. If they refuse it now,
	// the mirror is taken back.
	// +optional
	OnTrial bool `json:"onTrial,omitempty"`

	// refusal is how the gateways refused the mirror; absent where they didn't.
	// +optional
	Refusal *Refusal `json:"refusal,omitempty"`
}

// Refusal is what is remembered of a mirror with which the gateways refused the route.
type Refusal struct {
	// time of the last refusal.
	Time metav1.Time `json:"time"`

	// times that the mirror was tried and refused: each time it is tried again later, after an hour at most.
	Times int32 `json:"times"`

	// inputs is a digest of the spec, the chart and the Subject's generation; with others the mirror is tried anew.
	// +kubebuilder:validation:MaxLength=128
	Inputs string `json:"inputs"`

	// message says what the gateway said.
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message"`

	// confirmed: without the mirror, and those that were refused together with it, the route was accepted again.
	// +optional
	Confirmed bool `json:"confirmed,omitempty"`
}

// AppliedObject is an entry of the inventory.
type AppliedObject struct {
	// apiVersion of the object.
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`

	// kind of the object.
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// name of the object, in the policy's namespace.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// uid of the object; absent while it is about to be applied for the first time.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid,omitempty"`

	// generation of the object after it was applied.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// digest of the manifest that was applied: sha256:….
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`

	// adopted: the object was there before the policy, and was handed over to it. When it leaves the policy, or the policy goes, it stays,
	// without mirrors.
	// +optional
	Adopted bool `json:"adopted,omitempty"`

	// metadata is a digest of the labels and annotations that the object had after it was applied: sha256:….
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Metadata string `json:"metadata,omitempty"`

	// accepted: the gateways accepted the object when they last reported on it.
	// +optional
	Accepted bool `json:"accepted,omitempty"`
}
