package apply

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// reviewer answers access reviews, and notes what was asked. What it allows is a verb, or one on a resource.
type reviewer struct {
	allowed, asked []string
	err            error
}

func (r *reviewer) review(action clienttesting.Action) (bool, runtime.Object, error) {
	review := action.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured)
	verb, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", "verb")
	resource, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", "resource")
	namespace, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", "namespace")
	r.asked = append(r.asked, verb+" "+namespace+"/"+resource)
	answer := review.DeepCopy()
	allowed := slices.Contains(r.allowed, verb) || slices.Contains(r.allowed, verb+" "+resource)
	_ = unstructured.SetNestedField(answer.Object, allowed, "status", "allowed")
	return true, answer, r.err
}

func TestARightThatIsMissingIsNamedWithAllOthers(t *testing.T) {
	step := func(action Action) Step {
		return Step{Action: action, Key: routeKey, Entry: iter8v1alpha1.AppliedObject{APIVersion: routeKind.GroupVersion().String(), Kind: "HTTPRoute", Name: "web"}, Watched: routeKind}
	}
	ofKind := func(action Action, kind string) Step {
		s := step(action)
		s.Key.Kind, s.Entry.Kind = kind, kind
		return s
	}
	const may, end = "ServiceAccount test/router may not ", " httproutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"
	for name, test := range map[string]struct {
		allowed []string
		steps   []Step
		asked   []string
		message string
	}{
		"it has all": {verbs, []Step{step(Create)}, []string{"create test/httproutes", "patch test/httproutes"}, ""},
		"it has none": {nil, []Step{step(Update)}, []string{"patch test/httproutes", "create test/httproutes", "patch test/httproutes", "delete test/httproutes"},
			may + "create, patch, delete" + end},
		"it may not delete, and is to update": {[]string{"create", "patch"}, []Step{step(Update)}, []string{"patch test/httproutes"}, ""},
		"it may not delete, and is to": {[]string{"create", "patch"}, []Step{step(Keep), step(Delete)}, []string{"delete test/httproutes", "create test/httproutes", "patch test/httproutes", "delete test/httproutes"},
			may + "delete" + end},
		"it may not read, and is to take over":         {verbs, []Step{step(TakeOver)}, []string{"get test/httproutes", "get test/httproutes", "create test/httproutes", "patch test/httproutes", "delete test/httproutes"}, may + "get" + end},
		"it may not delete, and is to after an update": {[]string{"create", "patch"}, []Step{step(Update), step(Delete)}, []string{"patch test/httproutes"}, ""},
		"it has all on one kind, and none on another": {[]string{"create httproutes", "patch httproutes", "delete httproutes"}, []Step{step(Update), ofKind(Update, "GRPCRoute")},
			[]string{"patch test/httproutes", "patch test/grpcroutes", "create test/httproutes", "delete test/httproutes", "create test/grpcroutes", "patch test/grpcroutes", "delete test/grpcroutes"},
			may + "create, patch, delete grpcroutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"},
		"it has none on two kinds": {nil, []Step{step(Update), ofKind(Update, "GRPCRoute")},
			[]string{"patch test/httproutes", "create test/httproutes", "patch test/httproutes", "delete test/httproutes", "create test/grpcroutes", "patch test/grpcroutes", "delete test/grpcroutes"},
			may + "create, patch, delete httproutes.gateway.networking.k8s.io; create, patch, delete grpcroutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"},
		"a kind isn't served, which the step itself will say": {verbs, []Step{ofKind(Update, "UDPRoute"), step(Create)}, []string{"create test/httproutes", "patch test/httproutes"}, ""},
		"nothing is to be done":                               {nil, []Step{step(Keep), step(Release), step(Conflict), step(Wait)}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := &reviewer{allowed: test.allowed}
			w.client.PrependReactor("create", "selfsubjectaccessreviews", r.review)
			account := &Account{Client: w.client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
			failure := w.executor.preflight(t.Context(), account, test.steps)
			w.Expect(r.asked).To(Equal(test.asked))
			if test.message == "" {
				w.Expect(failure).To(BeNil())
			} else {
				w.Expect(failure).To(And(HaveField("Reason", iter8v1alpha1.ReasonForbidden), HaveField("Message", test.message), HaveField("Err", HaveOccurred())))
			}
		})
	}
}

func TestARightIsAskedForOnceUntilItIsDenied(t *testing.T) {
	w := newWorld(t)
	r := &reviewer{allowed: verbs}
	w.client.PrependReactor("create", "selfsubjectaccessreviews", r.review)
	account := &Account{Client: w.client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
	steps := []Step{{Action: Update, Entry: iter8v1alpha1.AppliedObject{APIVersion: routeKind.GroupVersion().String(), Kind: "HTTPRoute", Name: "web"}}}
	for range 3 {
		w.Expect(w.executor.preflight(t.Context(), account, steps)).To(BeNil())
	}
	w.Expect(r.asked).To(HaveLen(1))
	account.denied()
	w.Expect(w.executor.preflight(t.Context(), account, steps)).To(BeNil())
	w.Expect(r.asked).To(HaveLen(2))
}

func TestWhatTheClusterDoesNotSayIsTried(t *testing.T) {
	w := newWorld(t)
	r := &reviewer{err: errors.New("timeout")}
	w.client.PrependReactor("create", "selfsubjectaccessreviews", r.review)
	steps := []Step{{Action: Update, Entry: iter8v1alpha1.AppliedObject{APIVersion: routeKind.GroupVersion().String(), Kind: "HTTPRoute", Name: "web"}}}
	account := &Account{Client: w.client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
	w.Expect(w.executor.preflight(t.Context(), account, steps)).To(BeNil())
	w.Expect(w.executor.preflight(t.Context(), &Account{Client: w.client}, steps)).To(BeNil(), "the operator itself")
	w.Expect(r.asked).To(HaveLen(1))
}

// bounded is a client that notes how long its creations may take at most.
type bounded struct {
	dynamic.Interface
	dynamic.NamespaceableResourceInterface
	left []time.Duration
}

func (b *bounded) Resource(resource schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	b.NamespaceableResourceInterface = b.Interface.Resource(resource)
	return b
}

func (b *bounded) Create(ctx context.Context, o *unstructured.Unstructured, options metav1.CreateOptions, sub ...string) (*unstructured.Unstructured, error) {
	if end, ok := ctx.Deadline(); ok {
		b.left = append(b.left, time.Until(end))
	}
	return b.NamespaceableResourceInterface.Create(ctx, o, options, sub...)
}

func TestNothingWaitsForRightsWithoutEnd(t *testing.T) {
	w := newWorld(t)
	w.client.PrependReactor("create", "selfsubjectaccessreviews", (&reviewer{allowed: verbs}).review)
	client := &bounded{Interface: w.client}
	account := &Account{Client: client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
	_, failure := w.checkPlan(t, Request{Owner: owner, Manifests: routesNamed("web", "api"), Account: account})
	w.Expect(failure).To(BeNil())
	w.Expect(client.left).To(HaveExactElements(BeNumerically("<=", 10*time.Second), BeNumerically("<=", 10*time.Second)))
}
