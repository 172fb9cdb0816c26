package observe

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

func TestWhatIsKnownOfAVariant(t *testing.T) {
	for state, want := range map[ResourceState]struct{ known, available bool }{
		Ready: {true, true}, Missing: {true, false}, Unlabelled: {true, false}, Terminating: {true, false}, NotReady: {true, false},
		Unknown: {false, false}, Invalid: {false, false}, Pending: {false, false},
	} {
		v := Variant{State: state}
		NewWithT(t).Expect([]bool{v.Known(), v.Available()}).To(Equal([]bool{want.known, want.available}), "state %d", state)
	}
}

func TestAnObservationIsPendingWithAnyOfItsVariants(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Observation{}.Pending()).To(BeFalse())
	g.Expect(Observation{Variants: []Variant{{State: Ready}, {State: Unknown}}}.Pending()).To(BeFalse())
	g.Expect(Observation{Variants: []Variant{{State: Ready}, {State: Pending}}}.Pending()).To(BeTrue())
}

// cluster is what the tests of a variant's state find.
func cluster(w *world) {
	w.create(deployments, aDeployment("good", "True"))
	w.create(deployments, aDeployment("bad", "False"))
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: going, deletionTimestamp: '2026-01-01T00:00:00Z'}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: good, namespace: elsewhere}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	w.create(services, aService("served", "app: a"))
	w.create(services, aService("unserved", "app: b"))
	w.create(services, "{apiVersion: v1, kind: Service, metadata: {name: external}, spec: {externalName: example.com}}")
	w.create(sliceResource, aSlice("served-1", "served", "true"))
	w.create(sliceResource, aSlice("unserved-1", "unserved", "false"))
	w.create(models, "{apiVersion: example.com/v1, kind: Model, metadata: {name: good}, status: {phase: Loaded, conditions: [{type: Blessed, status: 'True'}, {type: Ready, status: 'False', reason: R}]}}")
}

func TestTheStateOfAVariantsResource(t *testing.T) {
	when := func(ref iter8v1alpha1.ResourceReference, when iter8v1alpha1.ReadyWhen) iter8v1alpha1.ResourceReference {
		ref.ReadyWhen = &when
		return ref
	}
	in := func(namespace string, ref iter8v1alpha1.ResourceReference) iter8v1alpha1.ResourceReference {
		ref.Namespace = namespace
		return ref
	}
	exists := true
	w := newWorld(t)
	w.mapper.AddSpecific(deployments.GroupVersion().WithKind("Node"), deployments, deployments, meta.RESTScopeRoot)
	cluster(w)
	for name, test := range map[string]struct {
		resource iter8v1alpha1.ResourceReference
		state    ResourceState
		message  string
	}{
		"a Deployment that is ready":                   {deployment("good"), Ready, ""},
		"a Deployment that isn't":                      {deployment("bad"), NotReady, "Deployment bad has condition Available False: Why: because"},
		"a Deployment that is being deleted":           {deployment("going"), Terminating, "Deployment going is being deleted"},
		"a Deployment that nobody made":                {deployment("none"), Missing, "Deployment none does not exist"},
		"a Deployment in the Subject's own namespace":  {in("test", deployment("good")), Ready, ""},
		"a Deployment in another namespace":            {in("elsewhere", deployment("good")), Invalid, "Deployment good is in namespace elsewhere, and this operator does not allow references to other namespaces"},
		"a Service with an endpoint":                   {service("served"), Ready, ""},
		"a Service whose only endpoint isn't ready":    {service("unserved"), NotReady, "Service unserved has no ready endpoint"},
		"a Service without a selector":                 {service("external"), Ready, ""},
		"a Service that nobody made":                   {service("none"), Missing, "Service none does not exist"},
		"a Service that only has to exist":             {when(service("unserved"), iter8v1alpha1.ReadyWhen{Exists: &exists}), Ready, ""},
		"one that only has to exist, and doesn't":      {when(service("none"), iter8v1alpha1.ReadyWhen{Exists: &exists}), Missing, "Service none does not exist"},
		"one that only has to exist, and goes":         {when(deployment("going"), iter8v1alpha1.ReadyWhen{Exists: &exists}), Terminating, "Deployment going is being deleted"},
		"a custom resource that isn't Ready":           {model("good"), NotReady, "Model good has condition Ready False: R"},
		"a condition of one's own":                     {when(model("good"), iter8v1alpha1.ReadyWhen{Conditions: []string{"Blessed"}}), Ready, ""},
		"conditions of one's own of which one is not":  {when(model("good"), iter8v1alpha1.ReadyWhen{Conditions: []string{"Blessed", "Ready"}}), NotReady, "Model good has condition Ready False: R"},
		"a condition of one's own, of a Service":       {when(service("served"), iter8v1alpha1.ReadyWhen{Conditions: []string{"Blessed"}}), NotReady, "Service served has no condition Blessed yet"},
		"an expression that is true":                   {withCEL(model("good"), "object.status.phase == 'Loaded'"), Ready, ""},
		"an expression that is false":                  {withCEL(model("good"), "object.status.phase == 'Lost'"), NotReady, "Model good does not fulfil its readyWhen.cel"},
		"an expression that fails":                     {withCEL(model("good"), "object.status.size > 1"), NotReady, "Model good has a readyWhen.cel that fails on it: it has no field size (for a field that may be absent, write .?size.orValue(…))"},
		"an expression over what nobody made":          {withCEL(model("none"), "true"), Missing, "Model none does not exist"},
		"an expression over what is being deleted":     {withCEL(deployment("going"), "true"), Terminating, "Deployment going is being deleted"},
		"an expression that does not compile":          {withCEL(model("good"), "object."), Invalid, "Model good has a readyWhen.cel that does not compile: ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'\n | object.\n | .......^"},
		"a kind that is cluster-scoped":                {iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Node", Name: "n"}, Invalid, "Node n can't be watched: apps/v1 Node is cluster-scoped"},
		"a kind that isn't served":                     {iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Thing", Name: "n"}, Unknown, "Thing n can't be read (example.com/v1 Thing): the cluster does not serve this kind"},
		"a kind that isn't served in that version":     {iter8v1alpha1.ResourceReference{APIVersion: "apps/v2", Kind: "Deployment", Name: "n"}, Unknown, "Deployment n can't be read (apps/v2 Deployment): the cluster does not serve this kind"},
		"a kind of the same name and of another group": {iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Deployment", Name: "good"}, Unknown, "Deployment good can't be read (example.com/v1 Deployment): the cluster does not serve this kind"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject("web", test.resource)
			w.follow(s)
			defer w.forget(nameOf(s))
			unread := strings.Contains(test.message, "can't be read") || test.state == Invalid
			want := Variant{Name: "v1", State: test.state, WeightUnread: unread}
			if test.message != "" {
				want.Problems = []Problem{{test.state, test.message}}
			}
			before := s.DeepCopy()
			g.Eventually(w.judged(s)).Should(Equal(want))
			g.Expect(s).To(Equal(before), "the Subject is changed")
		})
	}
}

func TestReferencesToOtherNamespacesWhereTheyAreAllowed(t *testing.T) {
	w := newWorld(t, func(c *configv1alpha1.OperatorConfiguration) { c.AllowCrossNamespaceReferences = true })
	cluster(w)
	elsewhere := deployment("good")
	elsewhere.Namespace = "elsewhere"
	missing := deployment("bad")
	missing.Namespace = "elsewhere"
	s := subject("web", elsewhere, missing)
	w.follow(s)
	w.Eventually(w.state(s)).Should(Equal(Variant{Name: "v1", State: Missing, Problems: []Problem{{Missing, "Deployment bad does not exist"}}}))
	told := w.times(s)()
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bad, namespace: elsewhere}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	w.Eventually(w.state(s)).Should(Equal(Variant{Name: "v1", State: Ready}))
	w.Eventually(w.times(s)).Should(BeNumerically(">", told))
}

func TestNothingIsToldOfResourcesInOtherNamespaces(t *testing.T) {
	w := newWorld(t)
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: theirs, namespace: elsewhere, annotations: {iter8.tools/weight: '20'}}, "+
		"spec: {template: {metadata: {labels: {secret: plan}}}}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	theirs := subject("theirs", deployment("theirs"))
	theirs.Namespace = "elsewhere"
	w.follow(theirs)
	w.Eventually(w.state(theirs)).Should(HaveField("State", Ready))
	across := deployment("theirs")
	across.Namespace = "elsewhere"
	w.Expect(w.state(subject("web", across))()).To(Equal(Variant{Name: "v1", State: Invalid, Problems: []Problem{
		{Invalid, "Deployment theirs is in namespace elsewhere, and this operator does not allow references to other namespaces"}}}))
}

func TestTheLabelsOfAVariantsPods(t *testing.T) {
	w := newWorld(t)
	cluster(w)
	s := subject("web", service("served"), deployment("labelled"))
	w.follow(s)
	w.Eventually(w.state(s)).Should(HaveField("State", Missing))
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: labelled}, "+
		"spec: {template: {metadata: {labels: {version: v1}}}}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	w.Eventually(w.state(s)).Should(Equal(Variant{Name: "v1", State: Ready, PodLabels: []map[string]string{nil, {"version": "v1"}}}))
	told := w.times(s)()
	w.update(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: labelled}, "+
		"spec: {template: {metadata: {labels: {version: v2}}}}, status: {availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}")
	w.Eventually(w.state(s)).Should(HaveField("PodLabels", Equal([]map[string]string{nil, {"version": "v2"}})))
	w.Eventually(w.times(s)).Should(BeNumerically(">", told))
	w.create(deployments, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: other}, spec: {template: {metadata: {labels: {version: v3}}}}}")
	several := subject("web", deployment("labelled"), service("served"), deployment("other"))
	w.Eventually(w.state(several)).Should(HaveField("PodLabels", Equal([]map[string]string{{"version": "v2"}, nil, {"version": "v3"}})))
}

func TestAVariantWithoutResourcesIsAlwaysAvailable(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.Observe(subject("web"))).To(Equal(Observation{Variants: []Variant{{Name: "v1", State: Ready}}}))
	w.Expect(w.Observe(&iter8v1alpha1.Subject{}).Variants).To(BeEmpty())
}

func TestNothingIsKnownBeforeItIsRead(t *testing.T) {
	w := newWorld(t)
	cluster(w)
	s := subject("web", deployment("good"), deployment("none"))
	observation := w.Observe(s)
	w.Expect(observation.Pending()).To(BeTrue())
	w.Expect(observation.Variants).To(Equal([]Variant{{Name: "v1", State: Pending, Problems: []Problem{
		{Pending, "Deployment good is being read"}, {Pending, "Deployment none is being read"}}}}))
}

func TestTheStateThatDecidesAboutAVariant(t *testing.T) {
	cross := deployment("good")
	cross.Namespace = "elsewhere"
	var (
		ready       = deployment("good")
		notReady    = deployment("bad")
		terminating = deployment("going")
		missing     = deployment("none")
		unlabelled  = deployment("unlabelled")
		unknown     = iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Thing", Name: "n"}
		invalid     = cross
		pending     = model("nobody-follows-this-kind")
	)
	w := newWorld(t)
	cluster(w)
	followed := subject("web", ready, unknown, unlabelled)
	w.follow(followed)
	w.unlabelled.found[watch.Name{Target: watch.Target{GroupVersionKind: deployments.GroupVersion().WithKind("Deployment")}, Object: nameOf(subject("unlabelled"))}] = struct{}{}
	w.Eventually(w.state(subject("other", unknown))).Should(HaveField("State", Unknown))
	w.Eventually(w.state(subject("other", ready))).Should(HaveField("State", Ready))

	for name, test := range map[string]struct {
		resources []iter8v1alpha1.ResourceReference
		want      ResourceState
	}{
		"all are ready":                              {[]iter8v1alpha1.ResourceReference{ready, ready}, Ready},
		"one is still being read":                    {[]iter8v1alpha1.ResourceReference{ready, pending}, Pending},
		"one can't be read, another is being read":   {[]iter8v1alpha1.ResourceReference{unknown, pending}, Unknown},
		"one can't work, another can't be read":      {[]iter8v1alpha1.ResourceReference{unknown, invalid, unknown}, Invalid},
		"one certainly isn't ready, another unknown": {[]iter8v1alpha1.ResourceReference{unknown, notReady, pending}, NotReady},
		"one certainly isn't ready, another invalid": {[]iter8v1alpha1.ResourceReference{notReady, invalid}, NotReady},
		"one is being deleted, another not ready":    {[]iter8v1alpha1.ResourceReference{notReady, terminating, ready}, Terminating},
		"one is missing, another being deleted":      {[]iter8v1alpha1.ResourceReference{terminating, missing, notReady}, Missing},
		"one has no label, another is missing":       {[]iter8v1alpha1.ResourceReference{missing, unlabelled, missing}, Unlabelled},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject("other", test.resources...)
			got := w.Observe(s).Variants[0]
			g.Expect(got.State).To(Equal(test.want))
			var states []ResourceState
			for _, ref := range test.resources {
				if state := w.Observe(subject("other", ref)).Variants[0].State; state != Ready {
					states = append(states, state)
				}
			}
			var problems []ResourceState
			for _, p := range got.Problems {
				problems = append(problems, p.State)
			}
			g.Expect(problems).To(Equal(states), "every resource that isn't ready is a problem, in the order of the spec")
		})
	}
}

func TestAResourceWithoutTheLabelIsNamed(t *testing.T) {
	w := newWorld(t)
	cluster(w)
	s := subject("web", deployment("none"))
	w.follow(s)
	w.unlabelled.found[watch.Name{Target: watch.Target{GroupVersionKind: deployments.GroupVersion().WithKind("Deployment")}, Object: nameOf(subject("none"))}] = struct{}{}
	w.Eventually(w.state(s)).Should(Equal(Variant{Name: "v1", State: Unlabelled, Problems: []Problem{
		{Unlabelled, `Deployment none exists without the label iter8.tools/detect: "true", so it is not watched`}}}))
}

func TestTheWeightIsThatOfAVariantsFirstResource(t *testing.T) {
	w := newWorld(t)
	w.create(models, "{apiVersion: example.com/v1, kind: Model, metadata: {name: heavy, annotations: {iter8.tools/weight: '20'}}}")
	w.create(models, "{apiVersion: example.com/v1, kind: Model, metadata: {name: plain}}")
	weight := int32(20)
	for name, test := range map[string]struct {
		resources []iter8v1alpha1.ResourceReference
		want      *int32
	}{
		"the first has one":              {[]iter8v1alpha1.ResourceReference{model("heavy"), model("plain")}, &weight},
		"another has one":                {[]iter8v1alpha1.ResourceReference{model("plain"), model("heavy")}, nil},
		"the first isn't there":          {[]iter8v1alpha1.ResourceReference{model("none"), model("heavy")}, nil},
		"the first is kept in full":      {[]iter8v1alpha1.ResourceReference{withCEL(model("heavy"), "true")}, &weight},
		"there are no resources at all":  {nil, nil},
		"it is there before it is ready": {[]iter8v1alpha1.ResourceReference{withCEL(model("heavy"), "false")}, &weight},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject("web", test.resources...)
			w.follow(s)
			defer w.forget(nameOf(s))
			g.Eventually(w.state(s)).ShouldNot(HaveField("State", Pending))
			g.Expect(w.state(s)().Weight).To(Equal(test.want))
		})
	}
}
