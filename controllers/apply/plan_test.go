package apply

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var (
	owner    = Owner{Namespace: "test", Name: "policy", UID: "policy-uid"}
	routeKey = Key{GroupKind: schema.GroupKind{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}, Name: "web"}
)

// route is what a chart renders.
func route() *unstructured.Unstructured { return routeNamed("web") }

func routeNamed(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
		"metadata": map[string]any{
			"name": name, "labels": map[string]any{"app": "web"}, "annotations": map[string]any{"note": "kept"},
		},
		"spec": map[string]any{"hostnames": []any{"example.com"}, "port": int64(80)},
	}}
}

// controlledBy is the owner reference of a policy that controls an object.
func controlledBy(uid types.UID) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{APIVersion: "iter8.tools/v1alpha1", Kind: "RoutingPolicy", Name: "some-policy", UID: uid, Controller: &yes}
}

// standing is what the cluster holds of the route once it is applied, and recorded the line of it.
func standing() *Existing {
	m := withOwner(owner, route())
	return &Existing{
		UID: "route-uid", Generation: 3, Controller: controlledBy(owner.UID),
		Labels:      map[string]string{"app": "web", iter8v1alpha1.ManagedByLabel: "iter8-operator", "theirs": "x"},
		Annotations: map[string]string{"note": m.GetAnnotations()["note"], "theirs": "x"},
	}
}

func recorded(t *testing.T) iter8v1alpha1.AppliedObject {
	t.Helper()
	digest, err := digestOf(withOwner(owner, route()))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return iter8v1alpha1.AppliedObject{
		APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: "web", UID: "route-uid", Generation: 3, Digest: digest,
	}
}

// holding is a cluster that holds one object under the route's key.
func holding(e *Existing) func(Key) *Existing {
	return func(key Key) *Existing {
		if key == routeKey {
			return e
		}
		return nil
	}
}

// emptyLabel has a manifest carry a label that is all in its name; entryOfEmptyLabel is what is recorded of it.
func emptyLabel(m *unstructured.Unstructured) {
	m.SetLabels(map[string]string{"app": "web", "canary": ""})
}

func entryOfEmptyLabel(e *iter8v1alpha1.AppliedObject) {
	m := route()
	emptyLabel(m)
	e.Digest, _ = digestOf(withOwner(owner, m))
}

func TestWhatIsDoneAboutAManifest(t *testing.T) {
	for name, test := range map[string]struct {
		existing func(*Existing)
		entry    func(*iter8v1alpha1.AppliedObject)
		manifest func(*unstructured.Unstructured)
		gone     bool
		unlisted bool
		want     Action
	}{
		"it stands as it was applied":                          {want: Keep},
		"it stands, and others have added labels of their own": {existing: func(e *Existing) { e.Labels["more"] = "y" }, want: Keep},

		"it isn't there, and was never applied": {gone: true, unlisted: true, want: Create},
		"it isn't there any more":               {gone: true, want: Create},
		"it was planned, and a crash came":      {gone: true, entry: func(e *iter8v1alpha1.AppliedObject) { e.UID, e.Generation, e.Digest = "", 0, "" }, want: Create},

		"it is rendered with another spec":              {manifest: func(m *unstructured.Unstructured) { m.Object["spec"] = map[string]any{} }, want: Update},
		"it is rendered with another label":             {manifest: func(m *unstructured.Unstructured) { m.SetLabels(map[string]string{"app": "other"}) }, want: Update},
		"it is rendered with fewer labels":              {manifest: func(m *unstructured.Unstructured) { m.SetLabels(nil) }, want: Update},
		"it is rendered in another version":             {manifest: func(m *unstructured.Unstructured) { m.SetAPIVersion("gateway.networking.k8s.io/v1beta1") }, want: Update},
		"another manager changed its spec":              {existing: func(e *Existing) { e.Generation = 4 }, want: Update},
		"it was made again, and is ours":                {existing: func(e *Existing) { e.UID = "other-uid" }, want: Update},
		"it was made again, and is being deleted":       {existing: func(e *Existing) { e.UID, e.Terminating = "other-uid", true }, want: Wait},
		"another manager changed a label of ours":       {existing: func(e *Existing) { e.Labels["app"] = "theirs" }, want: Update},
		"another manager removed a label of ours":       {existing: func(e *Existing) { delete(e.Labels, "app") }, want: Update},
		"another manager removed the operator's label":  {existing: func(e *Existing) { delete(e.Labels, iter8v1alpha1.ManagedByLabel) }, want: Update},
		"another manager removed all labels":            {existing: func(e *Existing) { e.Labels, e.Annotations = nil, nil }, want: Update},
		"another manager changed an annotation of ours": {existing: func(e *Existing) { e.Annotations["note"] = "theirs" }, want: Update},
		"another manager removed an annotation of ours": {existing: func(e *Existing) { delete(e.Annotations, "note") }, want: Update},
		"another manager emptied an annotation of ours": {existing: func(e *Existing) { e.Annotations["note"] = "" }, want: Update},
		"a label of ours has an empty value":            {existing: func(e *Existing) { e.Labels["canary"] = "" }, manifest: emptyLabel, entry: entryOfEmptyLabel, want: Keep},
		"a label of ours without a value was removed":   {manifest: emptyLabel, entry: entryOfEmptyLabel, want: Update},
		"its owner reference was removed":               {existing: func(e *Existing) { e.Controller = nil }, want: Update},
		"it is ours, and the inventory was lost":        {unlisted: true, want: Update},
		"it is ours, and was only planned":              {entry: func(e *iter8v1alpha1.AppliedObject) { e.UID, e.Generation, e.Digest = "", 0, "" }, want: Update},
		"its kind has no generations to compare":        {existing: func(e *Existing) { e.Generation = 0 }, entry: func(e *iter8v1alpha1.AppliedObject) { e.Generation = 0 }, want: Update},
		"it is ours, and carries the annotation":        {existing: func(e *Existing) { e.Adopt = true }, want: Keep},
		"the recorded digest is of something else":      {entry: func(e *iter8v1alpha1.AppliedObject) { e.Digest = "sha256:0" }, want: Update},

		"another policy controls it":                                    {existing: func(e *Existing) { e.Controller = controlledBy("other") }, want: Conflict},
		"another controller took it, which is recorded as ours":         {existing: func(e *Existing) { e.Controller = controlledBy("other"); e.Labels = nil }, want: Conflict},
		"no controller owns it, and it was never ours":                  {existing: func(e *Existing) { e.Controller = nil }, unlisted: true, want: Conflict},
		"no controller owns it, and only its name was planned":          {existing: func(e *Existing) { e.Controller = nil }, entry: func(e *iter8v1alpha1.AppliedObject) { e.UID = "" }, want: Conflict},
		"no controller owns what took the place of what was ours":       {existing: func(e *Existing) { e.Controller, e.UID = nil, "other-uid" }, want: Conflict},
		"somebody else's is being deleted":                              {existing: func(e *Existing) { e.Controller, e.Terminating = controlledBy("other"), true }, want: Conflict},
		"what is handed over is being deleted":                          {existing: func(e *Existing) { e.Controller, e.Adopt, e.Terminating = nil, true, true }, unlisted: true, want: Conflict},
		"another controls what is handed over":                          {existing: func(e *Existing) { e.Controller, e.Adopt = controlledBy("other"), true }, want: Conflict},
		"no controller owns it, and it is handed over":                  {existing: func(e *Existing) { e.Controller, e.Adopt = nil, true }, unlisted: true, want: Adopt},
		"no controller owns what took its place, and it is handed over": {existing: func(e *Existing) { e.Controller, e.UID, e.Adopt = nil, "other-uid", true }, want: Adopt},

		"it is ours, and being deleted":                    {existing: func(e *Existing) { e.Terminating = true }, want: Wait},
		"it is ours, being deleted, and rendered anew":     {existing: func(e *Existing) { e.Terminating = true }, manifest: func(m *unstructured.Unstructured) { m.SetLabels(nil) }, want: Wait},
		"it lost its owner reference and is being deleted": {existing: func(e *Existing) { e.Controller, e.Terminating = nil, true }, want: Wait},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			existing, entry, manifest := standing(), recorded(t), route()
			if test.existing != nil {
				test.existing(existing)
			}
			if test.entry != nil {
				test.entry(&entry)
			}
			if test.manifest != nil {
				test.manifest(manifest)
			}
			if test.gone {
				existing = nil
			}
			inventory := []iter8v1alpha1.AppliedObject{entry}
			if test.unlisted {
				inventory = nil
			}
			steps, err := plan(owner, []*unstructured.Unstructured{manifest}, inventory, holding(existing))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(steps).To(HaveLen(1))
			step := steps[0]
			g.Expect(step.Action).To(Equal(test.want))
			g.Expect(step.Key).To(Equal(routeKey))
			g.Expect(step.Existing).To(BeIdenticalTo(existing))
			g.Expect(step.Entry.APIVersion).To(Equal(manifest.GetAPIVersion()), "the version that is rendered now")
			if test.unlisted {
				g.Expect(step.Entry).To(Equal(iter8v1alpha1.AppliedObject{APIVersion: manifest.GetAPIVersion(), Kind: "HTTPRoute", Name: "web", Adopted: test.want == Adopt}))
			} else {
				g.Expect([]any{step.Entry.UID, step.Entry.Generation, step.Entry.Digest}).To(Equal([]any{entry.UID, entry.Generation, entry.Digest}), "what was recorded stays until something is applied")
			}
		})
	}
}

func TestWhatIsDoneAboutAnObjectThatLeftTheRender(t *testing.T) {
	for name, test := range map[string]struct {
		existing func(*Existing)
		entry    func(*iter8v1alpha1.AppliedObject)
		gone     bool
		want     Action
	}{
		"it is ours":              {want: Delete},
		"it is ours, and drifted": {existing: func(e *Existing) { e.Generation, e.Labels = 9, nil }, want: Delete},
		"it is ours, and a crash came before it was noted":     {entry: func(e *iter8v1alpha1.AppliedObject) { e.UID, e.Generation, e.Digest = "", 0, "" }, want: Delete},
		"it was made again, and is ours":                       {existing: func(e *Existing) { e.UID = "other-uid" }, want: Delete},
		"it was adopted":                                       {entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, existing: adoptedAs("Orphan"), want: Orphan},
		"it was adopted, and a crash came before it was noted": {entry: func(e *iter8v1alpha1.AppliedObject) { e.UID, e.Generation, e.Digest = "", 0, "" }, existing: adoptedAs("Orphan"), want: Orphan},
		"it was adopted, and the mark was taken off":           {entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, existing: func(e *Existing) { e.Controller, e.Spec = nil, []byte(mirroringSpec) }, want: Orphan},
		"it was adopted, and is left already":                  {entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, existing: func(e *Existing) { e.Controller, e.Spec = nil, []byte(`{"rules": []}`) }, want: Release},
		"it was adopted, and another took its place":           {entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, existing: func(e *Existing) { e.Controller, e.UID = nil, "other-uid" }, want: Release},
		"it was made again, and is another policy's":           {existing: func(e *Existing) { e.UID, e.Controller = "other-uid", controlledBy("other") }, want: Release},
		"its owner reference was removed":                      {existing: func(e *Existing) { e.Controller = nil }, want: Delete},
		"it is recorded in an older version of its kind":       {entry: func(e *iter8v1alpha1.AppliedObject) { e.APIVersion = "gateway.networking.k8s.io/v1beta1" }, want: Delete},
		"it is gone":                                        {gone: true, want: Release},
		"it was planned, and never made":                    {gone: true, entry: func(e *iter8v1alpha1.AppliedObject) { e.UID = "" }, want: Release},
		"another policy controls it":                        {existing: func(e *Existing) { e.Controller = controlledBy("other") }, want: Release},
		"no controller owns what took its place":            {existing: func(e *Existing) { e.Controller, e.UID = nil, "other-uid" }, want: Release},
		"no controller owns it, and only its name is noted": {existing: func(e *Existing) { e.Controller = nil }, entry: func(e *iter8v1alpha1.AppliedObject) { e.UID = "" }, want: Release},
		"somebody's, though it is handed over":              {existing: func(e *Existing) { e.Controller, e.UID, e.Adopt = nil, "other-uid", true }, want: Release},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			existing, entry := standing(), recorded(t)
			if test.existing != nil {
				test.existing(existing)
			}
			if test.entry != nil {
				test.entry(&entry)
			}
			if test.gone {
				existing = nil
			}
			steps, err := plan(owner, nil, []iter8v1alpha1.AppliedObject{entry}, holding(existing))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(steps).To(Equal([]Step{{Action: test.want, Key: routeKey, Entry: entry, Existing: existing}}))
		})
	}
}

func TestTheStepsAreInTheManifestsOrderAndThenTheInventorysBackwards(t *testing.T) {
	g := NewWithT(t)
	entry := func(name string) iter8v1alpha1.AppliedObject {
		return iter8v1alpha1.AppliedObject{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: name, UID: "u"}
	}
	manifests := []*unstructured.Unstructured{routeNamed("c"), routeNamed("a"), routeNamed("b")}
	inventory := []iter8v1alpha1.AppliedObject{entry("z"), entry("b"), entry("y")}
	steps, err := plan(owner, manifests, inventory, func(Key) *Existing { return nil })
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, s := range steps {
		names = append(names, s.Key.Name)
	}
	g.Expect(names).To(Equal([]string{"c", "a", "b", "y", "z"}))
}

func TestAnObjectInAnotherVersionOfItsKindIsTheSame(t *testing.T) {
	g := NewWithT(t)
	before := recorded(t)
	before.APIVersion = "gateway.networking.k8s.io/v1beta1"
	steps, err := plan(owner, []*unstructured.Unstructured{route()}, []iter8v1alpha1.AppliedObject{before}, holding(standing()))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(steps).To(HaveExactElements(And(
		HaveField("Key", KeyOf(before)), HaveField("Entry.APIVersion", "gateway.networking.k8s.io/v1"), HaveField("Entry.UID", before.UID))),
		"nothing of it is deleted")
}

func TestWhatIsAppliedIsTheManifestWithItsOwner(t *testing.T) {
	g := NewWithT(t)
	steps, err := plan(owner, []*unstructured.Unstructured{route()}, nil, holding(nil))
	g.Expect(err).NotTo(HaveOccurred())
	want := route()
	g.Expect(unstructured.SetNestedField(want.Object, "test", "metadata", "namespace")).To(Succeed())
	g.Expect(unstructured.SetNestedField(want.Object, "iter8-operator", "metadata", "labels", "app.kubernetes.io/managed-by")).To(Succeed())
	g.Expect(unstructured.SetNestedSlice(want.Object, []any{map[string]any{
		"apiVersion": "iter8.tools/v1alpha1", "kind": "RoutingPolicy", "name": "policy", "uid": "policy-uid", "controller": true,
	}}, "metadata", "ownerReferences")).To(Succeed())
	g.Expect(steps[0].Manifest.Object).To(Equal(want.Object))
}

func TestPlanningChangesNothingThatItIsGiven(t *testing.T) {
	g := NewWithT(t)
	manifests := []*unstructured.Unstructured{route(), routeNamed("new")}
	leaving := recorded(t)
	leaving.Name = "old"
	inventory := []iter8v1alpha1.AppliedObject{recorded(t), leaving}
	existing := standing()
	steps, err := plan(owner, manifests, inventory, holding(existing))
	g.Expect(err).NotTo(HaveOccurred())
	planned, _ := plannedInventory(inventory[:1:2], steps)
	planned[0].Name = "overwritten"

	g.Expect(manifests).To(Equal([]*unstructured.Unstructured{route(), routeNamed("new")}))
	g.Expect(inventory).To(Equal([]iter8v1alpha1.AppliedObject{recorded(t), leaving}))
	g.Expect(existing).To(Equal(standing()))
	again, err := plan(owner, manifests, inventory, holding(existing))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(steps), "and gives the same again")
}

func TestAManifestThatCanNotBeEncodedIsNamed(t *testing.T) {
	m := route()
	m.Object["spec"] = map[string]any{"f": float64(1) / func() float64 { return 0 }()}
	_, err := plan(owner, []*unstructured.Unstructured{m}, nil, holding(nil))
	NewWithT(t).Expect(err).To(MatchError(HavePrefix("HTTPRoute web: encoding the manifest: ")))
}

func TestThePlannedInventory(t *testing.T) {
	entry := func(name string) iter8v1alpha1.AppliedObject {
		return iter8v1alpha1.AppliedObject{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: name}
	}
	step := func(action Action, name string) Step {
		return Step{Action: action, Key: KeyOf(entry(name)), Entry: entry(name)}
	}
	listed := []iter8v1alpha1.AppliedObject{entry("a"), entry("b")}
	for name, test := range map[string]struct {
		steps []Step
		want  []string
	}{
		"nothing is new":                       {[]Step{step(Keep, "a"), step(Update, "b")}, nil},
		"something is made":                    {[]Step{step(Keep, "a"), step(Create, "new")}, []string{"new"}},
		"something is adopted":                 {[]Step{step(Adopt, "new")}, []string{"new"}},
		"what is listed is made again":         {[]Step{step(Create, "b")}, nil},
		"several are made":                     {[]Step{step(Create, "z"), step(Create, "y")}, []string{"z", "y"}},
		"something of another is left alone":   {[]Step{step(Conflict, "theirs")}, nil},
		"something goes, and stays until then": {[]Step{step(Delete, "a"), step(Release, "b"), step(Wait, "a")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			planned, differs := plannedInventory(listed, test.steps)
			names := []string{"a", "b"}
			var got []string
			for _, e := range planned {
				got = append(got, e.Name)
			}
			g.Expect(got).To(Equal(slices.Concat(names, test.want)))
			g.Expect(differs).To(Equal(len(test.want) > 0))
		})
	}
}

func TestTheDigestStandsForTheContentWhateverItsOrder(t *testing.T) {
	g := NewWithT(t)
	one, err := digestOf(route())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(one).To(MatchRegexp(`^sha256:[0-9a-f]{64}$`))
	for range 20 {
		g.Expect(digestOf(route())).To(Equal(one))
	}
	changed := route()
	g.Expect(unstructured.SetNestedField(changed.Object, int64(81), "spec", "port")).To(Succeed())
	g.Expect(digestOf(changed)).NotTo(Equal(one))
}
