package observe

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// TestWhatReadyMeansForAKind is the table of the documentation, row by row. What is judged by EndpointSlices
// is in TestAServiceIsReadyByItsEndpoints.
func TestWhatReadyMeansForAKind(t *testing.T) {
	deployment := func(rest string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, generation: 2}, spec: {replicas: 1}, status: {availableReplicas: 1, " + rest + "}}"
	}
	custom := func(rest string) string {
		return "{apiVersion: example.com/v1, kind: Model, metadata: {name: a, generation: 2}, status: {" + rest + "}}"
	}
	for name, test := range map[string]struct {
		object  string
		state   ResourceState
		message string
	}{
		"a Deployment that is Available": {deployment("observedGeneration: 2, conditions: [{type: Available, status: 'True'}]"), Ready, ""},
		"a Deployment in the middle of a rolling update": {
			deployment("observedGeneration: 2, replicas: 2, updatedReplicas: 1, unavailableReplicas: 1, conditions: [{type: Progressing, status: 'True'}, {type: Available, status: 'True'}]"), Ready, ""},
		"a Deployment whose update has failed, and whose old Pods serve": {
			deployment("conditions: [{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}, {type: Available, status: 'True'}]"), Ready, ""},
		"a Deployment with a new spec that nobody has looked at yet is judged by what stands": {
			deployment("observedGeneration: 1, conditions: [{type: Available, status: 'True'}]"), Ready, ""},
		"a Deployment that was not Available before its new spec": {
			deployment("observedGeneration: 1, conditions: [{type: Available, status: 'False', reason: MinimumReplicasUnavailable, message: no minimum}]"),
			NotReady, "has condition Available False: MinimumReplicasUnavailable: no minimum"},
		"a Deployment whose Available is Unknown": {
			deployment("conditions: [{type: Available, status: Unknown, reason: Lost}]"), NotReady, "has condition Available Unknown: Lost"},
		"a Deployment that is new":                 {deployment(""), NotReady, "has no condition Available yet"},
		"a Deployment with another condition only": {deployment("conditions: [{type: Progressing, status: 'True'}]"), NotReady, "has no condition Available yet"},
		"a Deployment at 0 replicas, which is Available": {
			"{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 0}, status: {observedGeneration: 1, conditions: [{type: Available, status: 'True', reason: MinimumReplicasAvailable}]}}",
			NotReady, "has no available Pod"},
		"a StatefulSet at 0 replicas": {
			"{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 0}, status: {observedGeneration: 1, replicas: 0, availableReplicas: 0}}", NotReady, "has no available Pod"},
		"a Deployment without status": {"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}", NotReady, "has no condition Available yet"},

		"a StatefulSet with an available Pod":                             {"{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 3}, status: {replicas: 3, availableReplicas: 1, readyReplicas: 1}}", Ready, ""},
		"a StatefulSet without one":                                       {"{apiVersion: apps/v1, kind: StatefulSet, status: {replicas: 3, readyReplicas: 3, availableReplicas: 0}}", NotReady, "has no available Pod"},
		"a StatefulSet without status":                                    {"{apiVersion: apps/v1, kind: StatefulSet}", NotReady, "has no available Pod"},
		"a ReplicaSet with an available Pod":                              {"{apiVersion: apps/v1, kind: ReplicaSet, status: {availableReplicas: 2}}", Ready, ""},
		"a ReplicaSet without one":                                        {"{apiVersion: apps/v1, kind: ReplicaSet, status: {replicas: 2}}", NotReady, "has no available Pod"},
		"a DaemonSet with an available Pod":                               {"{apiVersion: apps/v1, kind: DaemonSet, status: {desiredNumberScheduled: 3, numberAvailable: 1}}", Ready, ""},
		"a DaemonSet without one":                                         {"{apiVersion: apps/v1, kind: DaemonSet, status: {desiredNumberScheduled: 3, numberReady: 3, availableReplicas: 3}}", NotReady, "has no available Pod"},
		"a Service without a selector":                                    {"{apiVersion: v1, kind: Service, spec: {type: ExternalName, externalName: example.com}}", Ready, ""},
		"an ExternalName Service with the selector that it was left with": {"{apiVersion: v1, kind: Service, spec: {type: ExternalName, externalName: example.com, selector: {app: a}}}", Ready, ""},
		"an EndpointSlice with a ready endpoint":                          {"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]}", Ready, ""},
		"an EndpointSlice without one":                                    {"{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, endpoints: [{addresses: [10.0.0.1], conditions: {ready: false}}]}", NotReady, "has no ready endpoint"},
		"a Service with an empty selector":                                {"{apiVersion: v1, kind: Service, spec: {selector: {}}}", Ready, ""},
		"a Service without a selector that awaits a load balancer":        {"{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {}}}", Ready, ""},
		"a ConfigMap with a status of its own":                            {"{apiVersion: v1, kind: ConfigMap, status: {conditions: [{type: Ready, status: 'False'}]}}", Ready, ""},
		"a ConfigMap":                                                     {"{apiVersion: v1, kind: ConfigMap}", Ready, ""},
		"a Secret":                                                        {"{apiVersion: v1, kind: Secret, type: Opaque}", Ready, ""},
		"an InferenceService that is Ready":                               {"{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, status: {conditions: [{type: PredictorReady, status: 'True'}, {type: Ready, status: 'True'}]}}", Ready, ""},
		"an InferenceService that isn't":                                  {"{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, status: {conditions: [{type: Ready, status: 'False', reason: Loading, message: wait}]}}", NotReady, "has condition Ready False: Loading: wait"},
		"an InferenceService that is new":                                 {"{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService}", NotReady, "has no condition Ready yet"},
		"a Service of Knative that is Ready":                              {"{apiVersion: serving.knative.dev/v1, kind: Service, spec: {selector: {a: b}}, status: {conditions: [{type: Ready, status: 'True'}]}}", Ready, ""},
		"a Service of Knative that is new":                                {"{apiVersion: serving.knative.dev/v1, kind: Service}", NotReady, "has no condition Ready yet"},
		"a custom resource that is Ready":                                 {custom("conditions: [{type: Ready, status: 'True'}]"), Ready, ""},
		"a custom resource that isn't":                                    {custom("conditions: [{type: Ready, status: 'False', reason: Loading, message: 'step 1: download'}]"), NotReady, "has condition Ready False: Loading: step 1: download"},
		"a custom resource whose Ready is Unknown":                        {custom("conditions: [{type: Ready, status: Unknown, reason: Lost}]"), NotReady, "has condition Ready Unknown: Lost"},
		"a custom resource with a new spec is judged by what stands": {
			custom("observedGeneration: 1, conditions: [{type: Ready, status: 'True', observedGeneration: 1}]"), Ready, ""},
		"a custom resource without conditions is Current to kstatus": {custom("phase: Loaded"), Ready, ""},
		"a custom resource that was just made":                       {"{apiVersion: example.com/v1, kind: Model, metadata: {name: a, generation: 1}, spec: {size: 3}}", NotReady, "has no status yet"},
		"a custom resource with an empty status":                     {custom(""), NotReady, "has no status yet"},
		"a custom resource that is Available":                        {custom("conditions: [{type: Available, status: 'True'}]"), Ready, ""},
		"a Rollout that is Degraded": {
			"{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: a, generation: 2}, status: {observedGeneration: '2', phase: Degraded, conditions: [" +
				"{type: Progressing, status: 'False', reason: ProgressDeadlineExceeded}, {type: Available, status: 'False', reason: AvailableReason, message: not available}]}}",
			NotReady, "has condition Available False: AvailableReason: not available"},
		"Ready counts more than Available": {custom("conditions: [{type: Available, status: 'True'}, {type: Ready, status: 'False', reason: R, message: M}]"), NotReady, "has condition Ready False: R: M"},
		"a custom resource that kstatus takes for reconciling": {
			custom("conditions: [{type: Reconciling, status: 'True', reason: Loading, message: loading the model}]"), NotReady, "is InProgress: loading the model"},
		"a custom resource that kstatus takes for stalled": {
			custom("conditions: [{type: Stalled, status: 'True', reason: Broken, message: no such model}]"), NotReady, "is Failed: no such model"},
		"a Job is left to kstatus": {
			"{apiVersion: batch/v1, kind: Job, metadata: {name: a}, status: {ready: 0}}", NotReady, "is InProgress: Job not started"},
		"conditions of which one is no object": {custom("conditions: [oops, {type: Ready, status: 'True'}]"), Ready, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := manifest(g, test.object)
			before := u.DeepCopy()
			kept := newWorld(t).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind()}, u)
			g.Expect(kept.verdict).To(Equal(verdict{test.state, test.message}))
			g.Expect(kept.byEndpoints).To(BeFalse())
			g.Expect(kept.terminating).To(BeFalse())
			g.Expect(kept.full).To(BeNil(), "the whole object is only kept where somebody looks into it")
			g.Expect(u).To(Equal(before), "the object is changed")
		})
	}
}

func TestTheConditionsThatAreKept(t *testing.T) {
	for name, test := range map[string]struct {
		status string
		want   map[string]condition
	}{
		"none, of no status":     {"{}", nil},
		"none, of an empty list": {"{conditions: []}", nil},
		"what is an object":      {"{conditions: [oops, {type: Ready, status: 'True', reason: R, message: M}, 7]}", map[string]condition{"Ready": {"True", "R", "M"}}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(conditionsOf(manifest(g, "{apiVersion: example.com/v1, kind: Model, status: "+test.status+"}"))).To(Equal(test.want))
		})
	}
}

func TestAStatusThatCanNotBeJudgedIsUnknown(t *testing.T) {
	g := NewWithT(t)
	u := manifest(g, "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {parallelism: many}, status: {conditions: words, startTime: 1}}")
	got := judgeStatus(u)
	g.Expect(got.state).To(Equal(Unknown))
	g.Expect(got.message).To(HavePrefix("has a status that can't be judged: "))
}

func TestConfiguredReadinessGoesBeforeTheKindsOwnRule(t *testing.T) {
	configure := func(c *configv1alpha1.OperatorConfiguration) {
		for _, kind := range []configv1alpha1.GroupKind{
			{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Kind: "ConfigMap"},
			{Group: "serving.kserve.io", Kind: "InferenceService"}, {Group: "example.com", Kind: "Model"},
		} {
			c.Readiness = append(c.Readiness, configv1alpha1.KindReadiness{GroupKind: kind, Conditions: []string{"Loaded", "Warm"}})
		}
	}
	for _, kind := range []string{
		"apiVersion: apps/v1, kind: Deployment", "apiVersion: apps/v1, kind: StatefulSet", "apiVersion: v1, kind: ConfigMap",
		"apiVersion: serving.kserve.io/v1beta1, kind: InferenceService", "apiVersion: example.com/v2, kind: Model",
	} {
		for name, test := range map[string]struct {
			conditions string
			want       verdict
		}{
			"all are True":     {"{type: Loaded, status: 'True'}, {type: Warm, status: 'True'}", verdict{state: Ready}},
			"the first isn't":  {"{type: Loaded, status: 'False', reason: R, message: M}, {type: Warm, status: 'True'}", verdict{NotReady, "has condition Loaded False: R: M"}},
			"the second isn't": {"{type: Loaded, status: 'True'}, {type: Warm, status: Unknown, reason: R}", verdict{NotReady, "has condition Warm Unknown: R"}},
			"one is missing":   {"{type: Loaded, status: 'True'}, {type: Ready, status: 'True'}, {type: Available, status: 'True'}", verdict{NotReady, "has no condition Warm yet"}},
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				g := NewWithT(t)
				u := manifest(g, "{"+kind+", status: {availableReplicas: 1, conditions: ["+test.conditions+"]}}")
				kept := newWorld(t, configure).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind()}, u)
				g.Expect(kept.verdict).To(Equal(test.want))
			})
		}
	}
}

func TestWhatIsKeptOfAnObjectIsWhatAvailabilityNeeds(t *testing.T) {
	g := NewWithT(t)
	u := manifest(g, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: test, uid: u, resourceVersion: "7",
		labels: {l: l}, annotations: {a: a}, deletionTimestamp: "2026-01-01T00:00:00Z", managedFields: [{manager: m}]},
		status: {conditions: [{type: Available, status: "True", reason: R, message: M, lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`)
	kept := newWorld(t).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind()}, u)
	g.Expect(kept.ObjectMeta).To(And(
		HaveField("Name", "a"), HaveField("Namespace", "test"), HaveField("UID", BeEquivalentTo("u")), HaveField("ResourceVersion", "7"),
		HaveField("Labels", BeEmpty()), HaveField("Annotations", BeEmpty()), HaveField("ManagedFields", BeEmpty())))
	g.Expect(kept.terminating).To(BeTrue())
	g.Expect(kept.conditions).To(Equal(map[string]condition{"Available": {"True", "R", "M"}}))
	g.Expect(kept.full).To(BeNil())

	full := newWorld(t).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind(), Full: true}, u)
	g.Expect(full.full).To(BeIdenticalTo(u))
	g.Expect(full.terminating).To(BeTrue())
}

func TestAnEndpointSliceIsKeptAsWhoseItIsAndWhetherItServes(t *testing.T) {
	g := NewWithT(t)
	u := manifest(g, aSlice("web-1", "web", "true"))
	kept := newWorld(t).summarize(endpointSlices, u)
	g.Expect(kept.facts).To(Equal(facts{service: nameOf(subject("web")), ready: true}))

	u = manifest(g, "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1}}")
	g.Expect(newWorld(t).summarize(endpointSlices, u).service).To(BeZero(), "a slice of no Service")
}

func TestTheWeightOfAnAnnotation(t *testing.T) {
	weight := func(n int32) *int32 { return &n }
	for name, test := range map[string]struct {
		annotation string
		want       *int32
	}{
		"a weight":                  {"20", weight(20)},
		"no weight at all":          {"0", weight(0)},
		"as much as the API allows": {"1000000", weight(1000000)},
		"more than that":            {"1000001", nil},
		"less than nothing":         {"-1", nil},
		"a fraction":                {"0.5", nil},
		"a percentage":              {"5%", nil},
		"a word":                    {"many", nil},
		"spaces around a weight":    {" 5 ", nil},
		"an empty text":             {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := manifest(g, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {iter8.tools/weight: '"+test.annotation+"'}}}")
			for _, full := range []bool{false, true} {
				kept := newWorld(t).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind(), Full: full}, u)
				g.Expect(kept.weight).To(Equal(test.want))
				g.Expect(kept.annotatedWeight).To(HaveValue(Equal(test.annotation)))
			}
		})
	}
	g := NewWithT(t)
	u := manifest(g, "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {a: b}}}")
	kept := newWorld(t).summarize(watch.Target{GroupVersionKind: u.GroupVersionKind()}, u)
	g.Expect(kept.weight).To(BeNil())
	g.Expect(kept.annotatedWeight).To(BeNil())
}

func TestHasReadyEndpoint(t *testing.T) {
	for name, test := range map[string]struct {
		endpoints string
		want      bool
	}{
		"no endpoints":      {"[]", false},
		"one that is ready": {"[{conditions: {ready: true}}]", true},
		"one that isn't":    {"[{conditions: {ready: false}}]", false},
		"one that isn't, and serves while it can": {"[{conditions: {ready: false, serving: true, terminating: true}}]", false},
		"one without conditions is ready":         {"[{addresses: [10.0.0.1]}]", true},
		"one whose ready isn't said is ready":     {"[{conditions: {serving: false}}]", true},
		"one of several is ready":                 {"[{conditions: {ready: false}}, {conditions: {ready: true}}]", true},
		"none of several is ready":                {"[{conditions: {ready: false}}, {conditions: {ready: false}}]", false},
		"something that is no endpoint":           {"[oops]", false},
		"conditions that are none":                {"[{conditions: oops}]", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(hasReadyEndpoint(manifest(g, "{endpoints: "+test.endpoints+"}"))).To(Equal(test.want))
		})
	}
	NewWithT(t).Expect(hasReadyEndpoint(&unstructured.Unstructured{Object: map[string]any{}})).To(BeFalse())
}
