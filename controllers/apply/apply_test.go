package apply

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// log is an inventory's record: what was recorded, and what had been written by then.
type log struct {
	w        *world
	err      error
	recorded [][]string
	writes   []string
}

func (l *log) record(_ context.Context, inventory []iter8v1alpha1.AppliedObject) error {
	l.recorded = append(l.recorded, listed(inventory))
	l.writes = append(l.writes, l.w.writes()...)
	return l.err
}

// listed are the names of what an inventory lists.
func listed(inventory []iter8v1alpha1.AppliedObject) []string {
	names := []string{}
	for _, entry := range inventory {
		names = append(names, entry.Name)
	}
	return names
}

// writes returns everything but reads and dry runs that the cluster was asked for, as "verb resource".
func (w *world) writes() []string {
	writes := []string{}
	for _, action := range w.client.Actions() {
		if patch, ok := action.(clienttesting.PatchActionImpl); ok && len(patch.PatchOptions.DryRun) > 0 {
			continue
		}
		switch action.GetVerb() {
		case "get", "list", "watch":
		default:
			writes = append(writes, action.GetVerb()+" "+action.GetResource().Resource)
		}
	}
	return writes
}

// request is one as the operator itself, for a policy that mirrors the ConfigMap routemap.
func (w *world) request(manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject) Request {
	return Request{Owner: converted, Manifests: manifests, Inventory: inventory, Account: &Account{Client: w.client}}
}

// apply has the interests of a request followed, and applies it.
func (w *world) apply(t *testing.T, request Request, record *log) Result {
	t.Helper()
	interests, keys := Interests(request.Manifests, request.Inventory)
	w.Eventually(func() bool {
		w.cache.Follow(policy, w.cache.Versions(interests, "test"), keys)
		// Of a version that turned out not to be served meanwhile, others are to be followed too.
		return slices.ContainsFunc(w.cache.Versions(interests, "test"), func(kind schema.GroupVersionKind) bool { return w.cache.State(kind, "test").Pending() })
	}).Should(BeFalse())
	record.w = w
	return w.executor.Apply(t.Context(), request, record.record)
}

// named is a route of ours in the cluster, as an older template rendered it.
func named(name string) *unstructured.Unstructured {
	u := withOwner(owner, routeNamed(name))
	u.SetUID(entryOf(name).UID)
	u.SetGeneration(1)
	u.SetResourceVersion("7")
	return u
}

func TestWhatIsNewIsRecordedBeforeTheFirstWrite(t *testing.T) {
	for name, test := range map[string]struct {
		rendered, listed []string
		recorded         [][]string
		calls            []string
	}{
		"one object":                                      {[]string{"a"}, nil, [][]string{{"a"}}, []string{"patch a"}},
		"several, in one record":                          {[]string{"b", "a"}, nil, [][]string{{"b", "a"}}, []string{"patch b", "patch a"}},
		"one, before others change too":                   {[]string{"a", "new"}, []string{"old", "a"}, [][]string{{"old", "a", "new"}}, []string{"patch a", "patch new", "delete old"}},
		"nothing, where what is listed is updated":        {[]string{"a"}, []string{"a"}, nil, []string{"patch a"}},
		"nothing, where objects are deleted":              {nil, []string{"a", "b"}, nil, []string{"delete b", "delete a"}},
		"nothing, where nothing is rendered and recorded": {nil, nil, nil, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			inventory, _ := listedAs(test.listed...)
			for _, name := range test.listed {
				w.create(named(name))
			}
			record := &log{}
			result := w.apply(t, w.request(routesNamed(test.rendered...), inventory), record)
			w.Expect(record.recorded).To(Equal(test.recorded))
			w.Expect(record.writes).To(BeEmpty(), "before anything was recorded")
			w.Expect(w.calls()).To(Equal(test.calls))
			w.Expect(result.Aborted).To(BeNil())
			w.Expect(result.Failures).To(BeEmpty())
			w.Expect(listed(result.Inventory)).To(ConsistOf(test.rendered))
		})
	}
}

func TestNothingIsWrittenWhereTheInventoryCanNotBeRecorded(t *testing.T) {
	resource := schema.GroupResource{Group: "iter8.tools", Resource: "routingpolicies"}
	for name, test := range map[string]struct {
		answer             error
		conflict, notFound bool
	}{
		"it was written meanwhile":       {apierrors.NewConflict(resource, "policy", errors.New("modified")), true, false},
		"the policy has gone":            {apierrors.NewNotFound(resource, "policy"), false, true},
		"the apiserver is unwell":        {apierrors.NewInternalError(errors.New("etcd")), false, false},
		"the apiserver can't be reached": {errors.New("connection refused"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			inventory, _ := listedAs("changed", "old")
			w.create(named("changed"))
			w.create(named("old"))
			record := &log{err: test.answer}
			result := w.apply(t, w.request(routesNamed("changed", "new"), inventory), record)
			w.Expect(record.recorded).To(Equal([][]string{{"changed", "old", "new"}}))
			w.Expect(w.writes()).To(BeEmpty())
			w.Expect(result.Aborted).To(HaveValue(And(HaveField("Reason", iter8v1alpha1.ReasonApplyFailed),
				HaveField("Message", "recording what is about to be applied: "+test.answer.Error()))))
			w.Expect(result.Aborted.Err).To(MatchError(test.answer))
			w.Expect(apierrors.IsConflict(result.Aborted.Err)).To(Equal(test.conflict))
			w.Expect(apierrors.IsNotFound(result.Aborted.Err)).To(Equal(test.notFound))
			result.Aborted = nil
			w.Expect(result).To(Equal(Result{Inventory: inventory}), "nothing was tried")
		})
	}
}

// router is an account of a ServiceAccount, whose rights are asked for.
func (w *world) router(r *reviewer) *Account {
	w.client.PrependReactor("create", "selfsubjectaccessreviews", r.review)
	return &Account{Client: w.client, ServiceAccount: types.NamespacedName{Namespace: "test", Name: "router"}, allowed: map[right]struct{}{}}
}

func TestNothingIsRecordedAndWrittenWhereARightIsMissing(t *testing.T) {
	w := newWorld(t)
	inventory, _ := listedAs("old")
	w.create(named("old"))
	request := w.request(routesNamed("new"), inventory)
	request.Account = w.router(&reviewer{allowed: []string{"create", "delete"}})
	record := &log{}
	result := w.apply(t, request, record)
	w.Expect(record.recorded).To(BeEmpty())
	w.Expect(w.writes()).To(HaveEach("create selfsubjectaccessreviews"))
	w.Expect(result.Aborted).To(HaveValue(And(HaveField("Reason", iter8v1alpha1.ReasonForbidden), HaveField("Err", HaveOccurred()), HaveField("Message",
		"ServiceAccount test/router may not patch httproutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"))))
	result.Aborted = nil
	w.Expect(result).To(Equal(Result{Inventory: inventory}), "nothing was tried")
}

func TestNothingIsRecordedAndWrittenForAManifestThatCanNotBeEncoded(t *testing.T) {
	w := newWorld(t)
	manifests := routesNamed("web", "new")
	manifests[0].Object["spec"] = map[string]any{"f": float64(1) / func() float64 { return 0 }()}
	record := &log{}
	result := w.apply(t, w.request(manifests, nil), record)
	w.Expect(record.recorded).To(BeEmpty())
	w.Expect(w.writes()).To(BeEmpty())
	w.Expect(result.Aborted).To(HaveValue(And(HaveField("Reason", iter8v1alpha1.ReasonApplyFailed), HaveField("Err", BeNil()),
		HaveField("Message", HavePrefix("HTTPRoute web: encoding the manifest: ")))))
}

func TestNothingNewIsRecordedWhileRoomIsMade(t *testing.T) {
	w := newWorld(t)
	names := numbered("older", 1, 128)
	inventory, _ := listedAs(names...)
	for _, name := range names {
		w.create(named(name))
	}
	record := &log{}
	result := w.apply(t, w.request(routesNamed("older-1", "next"), inventory), record)
	w.Expect(record.recorded).To(BeEmpty())
	w.Expect(w.calls()).To(Equal([]string{"patch older-1", "delete older-128"}))
	w.Expect(result.Aborted).To(BeNil())
	const full = "the inventory, status.applied, lists 128 objects and can list 128, so that none of the 1 new ones is applied until 1 that left the render are gone"
	w.Expect(result.Failures).To(HaveExactElements(And(
		HaveField("Reason", iter8v1alpha1.ReasonPruneFailed), HaveField("Message", full), HaveField("Err", MatchError(full)))))
	w.Expect(result.Retry()).To(BeTrue(), "there is room from now on")
	w.Expect(listed(result.Inventory)).To(Equal(names[:127]))
	w.Expect(result.Applied).To(Equal(map[Key]bool{keyOf("older-1"): true}))
}

func TestWhatApplyDoesAboutAnObject(t *testing.T) {
	handedOver, theirs, terminating := route(), route(), seen("route-uid", "7", 3)
	for _, u := range []*unstructured.Unstructured{handedOver, theirs} {
		u.SetNamespace("test")
		u.SetUID("their-uid")
	}
	handedOver.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "true"})
	terminating.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)})
	rendered, none := []string{"web"}, []string{}
	for name, test := range map[string]struct {
		existing *unstructured.Unstructured
		rendered []string
		unlisted bool
		action   Action
		calls    []string
		// inventory is what is listed in the end, by name.
		inventory []string
		failure   string
	}{
		"it stands as it was applied": {existing: seen("route-uid", "7", 3), rendered: rendered,
			action: Keep, calls: none, inventory: rendered},
		"it isn't there": {rendered: rendered, unlisted: true,
			action: Create, calls: []string{"patch web"}, inventory: rendered},
		"it was changed": {existing: seen("route-uid", "7", 4), rendered: rendered,
			action: Update, calls: []string{"patch web"}, inventory: rendered},
		"it was handed over": {existing: handedOver, rendered: rendered, unlisted: true,
			action: Adopt, calls: []string{"patch web", "patch web"}, inventory: rendered},
		"Iter8 applied it": {existing: iter8s(), rendered: rendered, unlisted: true,
			action: TakeOver, calls: []string{"patch web", "patch web"}, inventory: rendered},
		"it is another's": {existing: theirs, rendered: rendered, unlisted: true,
			action: Conflict, calls: none, inventory: none, failure: "HTTPRoute web exists and does not belong to this policy (no controller owns it)"},
		"it is being deleted": {existing: terminating, rendered: rendered,
			action: Wait, calls: none, inventory: rendered, failure: "HTTPRoute web is being deleted; it is applied again once it is gone"},
		"it left the render": {existing: seen("route-uid", "7", 3),
			action: Delete, calls: []string{"delete web"}, inventory: none},
		"it left the render, and is gone": {action: Release, calls: none, inventory: none},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.existing != nil {
				w.create(test.existing)
			}
			inventory := []iter8v1alpha1.AppliedObject{recorded(t)}
			if test.unlisted {
				inventory = nil
			}
			record := &log{}
			result := w.apply(t, w.request(routesNamed(test.rendered...), inventory), record)
			w.Expect(result.Aborted).To(BeNil())
			w.Expect(result.Steps).To(HaveExactElements(And(HaveField("Action", test.action), HaveField("Key", routeKey))))
			if test.unlisted && test.failure == "" {
				w.Expect(record.recorded).To(Equal([][]string{{"web"}}))
			} else {
				w.Expect(record.recorded).To(BeEmpty(), "nothing is new")
			}
			w.Expect(record.writes).To(BeEmpty())
			w.Expect(w.calls()).To(Equal(test.calls))
			w.Expect(listed(result.Inventory)).To(Equal(test.inventory))
			if test.failure == "" {
				w.Expect(result.Failures).To(BeEmpty())
				w.Expect(result.Applied).To(HaveLen(len(test.rendered)))
			} else {
				w.Expect(result.Failures).To(HaveExactElements(HaveField("Message", HavePrefix(test.failure))))
				w.Expect(result.Applied).To(BeEmpty())
			}
			w.Expect(result.Retry()).To(BeFalse(), "an event tells of its end")
		})
	}
}

func TestRightsAreAskedForAgainOnceTheClusterHasDeniedOne(t *testing.T) {
	denied := apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("not you"))
	terminating := apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for name, test := range map[string]struct {
		answer error
		asked  int
	}{
		"the account lost it":            {denied, 4},
		"the namespace is being deleted": {terminating, 2},
		"the apiserver is unwell":        {apierrors.NewInternalError(errors.New("etcd")), 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse("web", test.answer)
			r := &reviewer{allowed: verbs}
			request := w.request(routesNamed("web"), nil)
			request.Account = w.router(r)
			for range 2 {
				w.Expect(w.apply(t, request, &log{}).Failures).To(HaveLen(1))
			}
			w.Expect(r.asked).To(HaveLen(test.asked))
		})
	}
}
