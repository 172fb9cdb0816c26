package apply

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// checkPlan checks a request of which nothing comes later, and reports whether it is asked about.
func (w *world) checkPlan(t *testing.T, request Request) (bool, *Failure) {
	t.Helper()
	check, failure := w.executor.Check(request, request.Manifests)
	w.Expect(failure).To(BeNil())
	w.Expect(w.calls()).To(BeEmpty(), "it doesn't ask yet")
	check.others = nil
	_, failure = check.Run(t.Context())
	return check.Asks(), failure
}

func TestAPlanIsCheckedWhereItChangesSeveralObjects(t *testing.T) {
	for name, test := range map[string]struct {
		manifests []*unstructured.Unstructured
		inventory []iter8v1alpha1.AppliedObject
		refused   string
		asked     []string
		message   string
	}{
		"one object":              {routesNamed("web"), nil, "", []string{}, ""},
		"one, and one that goes":  {routesNamed("web"), []iter8v1alpha1.AppliedObject{entryOf("old")}, "", []string{}, ""},
		"two":                     {routesNamed("web", "api"), nil, "", []string{"patch web", "patch api"}, ""},
		"the first is refused":    {routesNamed("web", "api"), nil, "web", []string{"patch web"}, "nothing is applied, since a dry run of all failed: applying HTTPRoute web: not today"},
		"the second is refused":   {routesNamed("web", "api"), nil, "api", []string{"patch web", "patch api"}, "nothing is applied, since a dry run of all failed: applying HTTPRoute api: not today"},
		"another's isn't written": {routesNamed("web", "theirs"), nil, "", []string{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			theirs := routeNamed("theirs")
			theirs.SetNamespace("test")
			theirs.SetUID("u")
			w.Expect(w.client.Tracker().Create(httpRoutes, theirs, "test")).To(Succeed())
			w.cache.Follow(policy, []schema.GroupVersionKind{routeKind}, []Key{keyOf("theirs")})
			w.Eventually(func() *Existing {
				return w.cache.Get(routeKind, types.NamespacedName{Namespace: "test", Name: "theirs"})
			}).ShouldNot(BeNil())
			w.Eventually(func() bool { return w.cache.State(routeKind, "test").Synced }).Should(BeTrue())
			w.refuse(test.refused, errors.New("not today"))
			asks, failure := w.checkPlan(t, Request{Owner: owner, Manifests: test.manifests, Inventory: test.inventory, Account: &Account{Client: w.client}})
			w.Expect(w.calls()).To(Equal(test.asked))
			w.Expect(asks).To(Equal(len(test.asked) > 0))
			for _, patch := range w.patches() {
				w.Expect(patch.PatchOptions).To(Equal(metav1.PatchOptions{
					FieldManager: "iter8-operator", Force: new(bool), FieldValidation: metav1.FieldValidationStrict, DryRun: []string{"All"},
				}))
			}
			if test.message == "" {
				w.Expect(failure).To(BeNil())
			} else {
				w.Expect(failure).To(HaveField("Message", test.message))
			}
		})
	}
}

func TestAPlanThatAnAccountLacksRightsForIsNotChecked(t *testing.T) {
	w := newWorld(t)
	r := &reviewer{}
	w.client.PrependReactor("create", "selfsubjectaccessreviews", r.review)
	account := &Account{Client: w.client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
	_, failure := w.checkPlan(t, Request{Owner: owner, Manifests: routesNamed("web", "api"), Account: account})
	w.Expect(failure).To(BeNil(), "Apply names every right, and writes nothing")
	w.Expect(w.calls()).To(BeEmpty())
}

func TestBothStepsOnAnObjectAreOneChange(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1"))
	steps := m.plan(objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2")}, m.inventory, m.cluster)
	m.Expect(namesOf(steps)).To(Equal([]string{"rule", "web", "rule"}))
	m.Expect(namesOf(changes(steps))).To(Equal([]string{"web", "rule"}))
}
