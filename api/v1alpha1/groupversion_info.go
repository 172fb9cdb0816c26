// Package v1alpha1 is the API of the operator: Subject, an application and its variants, and
// RoutingPolicy, what is routed while they are available.
//
// +kubebuilder:object:generate=true
// +groupName=iter8.tools
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the API.
var GroupVersion = schema.GroupVersion{Group: "iter8.tools", Version: "v1alpha1"}

var (
	// SchemeBuilder collects what adds the API to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme adds the API to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Subject{}, &SubjectList{},
		&RoutingPolicy{}, &RoutingPolicyList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

const (
	// DetectLabel, with the value "true", makes the operator watch an object that a Subject names.
	// Objects without it are never watched.
	DetectLabel = "iter8.tools/detect"
	// AdoptAnnotation, with the value "true", on an object that exists hands it over to the
	// RoutingPolicy that renders an object of its name. It is adopted where that changes nothing but mirrors.
	AdoptAnnotation = "iter8.tools/adopt"
	// PolicyUIDLabel on an object that the operator applied and that no owner reference leads to its RoutingPolicy from is the uid of that
	// policy. It is a label, and no annotation, for what policies that are gone have left to be found by it.
	PolicyUIDLabel = "iter8.tools/policy-uid"
	// PolicyAnnotation on such an object is the name of the policy, in the object's namespace.
	PolicyAnnotation = "iter8.tools/policy"
	// DeletionPolicyAnnotation on such an object says what becomes of it when the policy is gone, as a DeletionPolicy. It is taken off what
	// was orphaned.
	DeletionPolicyAnnotation = "iter8.tools/deletion-policy"
	// ReconcileAnnotation on a RoutingPolicy, with any value that it hasn't had, has its chart resolved anew at once.
	ReconcileAnnotation = "iter8.tools/reconcile"
	// WeightAnnotation on the first resource of a variant is the variant's weight, in place of the Subject's.
	WeightAnnotation = "iter8.tools/weight"
	// MaxWeight is the largest weight of a variant.
	MaxWeight = 1_000_000
	// MaxVersion is how many characters a chart's version may have: a status can hold no more.
	MaxVersion = 253
	// MaxApplied is how many objects the inventory of a policy, status.applied, can list.
	MaxApplied = 128
	// ConvertedFromAnnotation names the ConfigMap of Iter8 that a Subject or RoutingPolicy mirrors.
	ConvertedFromAnnotation = "iter8.tools/converted-from"
	// ConvertedFromUIDAnnotation tells which ConfigMap of that name it was, by its uid.
	ConvertedFromUIDAnnotation = "iter8.tools/converted-from-uid"
	// LegacyFieldManager is the name under which Iter8's controller owned fields.
	LegacyFieldManager = "iter8-controller"
	// LegacyFinalizer is what Iter8's controller left on the resources that it watched.
	LegacyFinalizer = "iter8.tools/finalizer"
	// LegacyWatchLabel, with the value "true", marked the resources that later versions of Iter8 watched.
	LegacyWatchLabel = "iter8.tools/watch"
	// ManagedByLabel is set, to FieldManager, on every object that the operator applies.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// FieldManager is the name under which the operator owns fields (server-side apply).
	FieldManager = "iter8-operator"
	// StatelessAnnotation in a chart's Chart.yaml, with the value "true", says that its templates don't read the state of the variants
	// (.Values.iter8.variants, which is empty then): one render serves all states, and mirrors come and go without another.
	StatelessAnnotation = "iter8.tools/stateless"
	// ReservedValuesKey is the key of a chart's values that the operator fills; users can't set it.
	ReservedValuesKey = "iter8"
)
