package routes

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func refusal(reason, message string) Verdict {
	return Verdict{Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func awaiting(message string) Verdict {
	return Verdict{Status: metav1.ConditionUnknown, Reason: iter8v1alpha1.ReasonAwaitingReport, Message: message}
}

func TestWhatAGatewaySaysOfARoute(t *testing.T) {
	const (
		gateway  = "{name: edge}"
		service  = "{group: '', kind: Service, name: web, port: 80}"
		accepted = "{type: Accepted, status: 'True', reason: Accepted, observedGeneration: 3}"
		resolved = "{type: ResolvedRefs, status: 'True', reason: ResolvedRefs, observedGeneration: 3}"
		fine     = accepted + ", " + resolved
		byEdge   = "HTTPRoute web accepted by Gateway test/edge"
		silent   = "HTTPRoute web: Gateway test/edge has not reported on it as it is now"
	)
	report := func(parent, conditions string) string {
		return "{parentRef: " + parent + ", controllerName: example.com/c, conditions: [" + conditions + "]}"
	}
	for name, test := range map[string]struct {
		parents, reports string
		want             Verdict
	}{
		"all is accepted": {gateway, report(gateway, fine), Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, byEdge}},
		"the report fills in the defaults": {gateway, report("{group: gateway.networking.k8s.io, kind: Gateway, namespace: test, name: edge}", fine),
			Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, byEdge}},
		"by several parents": {gateway + ", " + service, report(service, fine) + ", " + report(gateway, fine),
			Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, byEdge + "; HTTPRoute web accepted by Service test/web port 80"}},
		"nobody has reported":           {gateway, "", awaiting(silent)},
		"another parent has":            {gateway, report(service, fine), awaiting(silent)},
		"another section of the parent": {"{name: edge, sectionName: http}", report("{name: edge, sectionName: https}", fine), awaiting("HTTPRoute web: Gateway test/edge section http has not reported on it as it is now")},
		"one parent of two has":         {gateway + ", " + service, report(gateway, fine), awaiting("HTTPRoute web: Service test/web port 80 has not reported on it as it is now")},
		"only a half of the report":     {gateway, report(gateway, accepted), awaiting(silent)},
		"a report on an older state":    {gateway, report(gateway, accepted+", "+strings.Replace(resolved, "3", "2", 1)), awaiting(silent)},
		"it doesn't know":               {gateway, report(gateway, accepted+", {type: ResolvedRefs, status: Unknown, reason: Pending, observedGeneration: 3}"), awaiting(silent)},
		"it refuses": {gateway, report(gateway, "{type: Accepted, status: 'False', reason: NoMatchingListenerHostname, message: no listener takes it, observedGeneration: 3}, "+resolved),
			refusal("NoMatchingListenerHostname", "HTTPRoute web: Gateway test/edge says Accepted False: NoMatchingListenerHostname: no listener takes it")},
		"a backend isn't there": {gateway, report(gateway, accepted+", {type: ResolvedRefs, status: 'False', reason: BackendNotFound, message: web-v2 not found, observedGeneration: 3}"),
			refusal("BackendNotFound", "HTTPRoute web: Gateway test/edge says ResolvedRefs False: BackendNotFound: web-v2 not found")},
		"a part is left out": {gateway, report(gateway, fine+", {type: PartiallyInvalid, status: 'True', reason: UnsupportedValue, message: dropped rule 0, observedGeneration: 3}"),
			refusal("UnsupportedValue", "HTTPRoute web: Gateway test/edge says PartiallyInvalid True: UnsupportedValue: dropped rule 0")},
		"one refuses, one waits": {gateway + ", " + service, report(service, "{type: Accepted, status: 'False', reason: NotAllowed, observedGeneration: 3}"),
			refusal("NotAllowed", "HTTPRoute web: Service test/web port 80 says Accepted False: NotAllowed")},
		"two controllers of one parent, one of which refuses": {gateway, report(gateway, fine) + ", " + report(gateway, "{type: Accepted, status: 'False', reason: NotAllowed, observedGeneration: 3}"),
			refusal("NotAllowed", "HTTPRoute web: Gateway test/edge says Accepted False: NotAllowed")},
		"no parents": {"", "", Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonNotReported, "HTTPRoute web names no parentRefs, so no gateway reports on it"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: test, generation: 3}, "+
				"spec: {parentRefs: ["+test.parents+"]}, status: {parents: ["+test.reports+"]}}")
			before := u.DeepCopy()
			g := NewWithT(t)
			g.Expect(Acceptance(u)).To(Equal(test.want))
			g.Expect(u).To(Equal(before), "the object is changed")
		})
	}
}

func TestWhatIstioSaysOfItsOwn(t *testing.T) {
	const waits = "VirtualService web: Istio has not reported on it as it is now"
	for name, test := range map[string]struct {
		status string
		want   Verdict
	}{
		"nothing, as by default": {"", Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonNotReported, "VirtualService web: Istio reports nothing on it"}},
		"an empty status":        {"status: {}", Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonNotReported, "VirtualService web: Istio reports nothing on it"}},
		"that it has looked":     {"status: {observedGeneration: 3}", Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, "VirtualService web accepted by Istio"}},
		"that it has looked, in its JSON": {"status: {observedGeneration: '3', conditions: [{type: Reconciled, status: 'True'}]}",
			Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, "VirtualService web accepted by Istio"}},
		"something of an older state":                 {"status: {observedGeneration: '2', validationMessages: [{level: ERROR, type: {name: A, code: IST0101}}]}", awaiting(waits)},
		"something of an older state, in a condition": {"status: {conditions: [{type: Reconciled, status: 'True', observedGeneration: '2'}]}", awaiting(waits)},
		"that it doesn't know yet":                    {"status: {conditions: [{type: Reconciled, status: Unknown}]}", awaiting(waits)},
		"an error": {"status: {observedGeneration: 3, validationMessages: [{level: WARNING, type: {name: W, code: IST0001}}, {level: ERROR, type: {name: ReferencedResourceNotFound, code: IST0101}, documentationUrl: 'https://istio.io/ist0101'}]}",
			refusal("ReferencedResourceNotFound", "VirtualService web: Istio says IST0101: ReferencedResourceNotFound: https://istio.io/ist0101")},
		"an error whose level is a number": {"status: {validationMessages: [{level: 12, type: {name: I}}, {level: 3, type: {name: A, code: IST0101}}]}", refusal("A", "VirtualService web: Istio says IST0101: A")},
		"warnings only":                    {"status: {observedGeneration: 3, validationMessages: [{level: WARNING, type: {name: W, code: IST0001}}]}", Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, "VirtualService web accepted by Istio"}},
		"a condition that doesn't hold":    {"status: {conditions: [{type: Reconciled, status: 'False', reason: Stuck, message: 1/2 proxies}]}", refusal("Stuck", "VirtualService web: Istio says Reconciled False: Stuck: 1/2 proxies")},
		"a condition without a reason":     {"status: {conditions: [{type: Reconciled, status: 'False'}]}", refusal(iter8v1alpha1.ReasonNotAccepted, "VirtualService web: Istio says Reconciled False: NotAccepted")},
		"a reason that is none of ours":    {"status: {conditions: [{type: Reconciled, status: 'False', reason: 'not yet!'}]}", refusal(iter8v1alpha1.ReasonNotAccepted, "VirtualService web: Istio says Reconciled False: NotAccepted")},
		"what can't be read":               {"status: all", awaiting("VirtualService web has a status that can't be read: json: cannot unmarshal string into Go value of type routes.istioStatus")},
	} {
		t.Run(name, func(t *testing.T) {
			u := manifest(t, "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: test, generation: 3}, "+test.status+"}")
			NewWithT(t).Expect(Acceptance(u)).To(Equal(test.want))
		})
	}
}

func TestOfOtherKindsNobodySaysAnything(t *testing.T) {
	u := manifest(t, "{apiVersion: example.com/v1, kind: Route, metadata: {name: web}, status: {parents: []}}")
	NewWithT(t).Expect(Acceptance(u)).To(Equal(Verdict{}))
}

func TestTheWorstVerdictCounts(t *testing.T) {
	yes := func(message string) Verdict { return Verdict{metav1.ConditionTrue, "Accepted", message} }
	for name, test := range map[string]struct {
		verdicts []Verdict
		want     Verdict
	}{
		"none":                       {nil, Verdict{}},
		"nobody says anything":       {[]Verdict{{}, {}}, Verdict{}},
		"all are accepted":           {[]Verdict{yes("a"), {}, yes("b")}, yes("a; b")},
		"one waits":                  {[]Verdict{yes("a"), awaiting("b"), yes("c"), awaiting("d")}, awaiting("b; d")},
		"one is refused":             {[]Verdict{yes("a"), refusal("R", "b"), awaiting("c")}, refusal("R", "b")},
		"two are, the first decides": {[]Verdict{refusal("R", "a"), awaiting("b"), refusal("S", "c")}, refusal("R", "a; c")},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Worst(test.verdicts)).To(Equal(test.want))
		})
	}
}
