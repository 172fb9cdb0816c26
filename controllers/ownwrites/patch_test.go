package ownwrites

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestAPatchOfAStatusIsThatOfTheWholeObjects(t *testing.T) {
	g := NewWithT(t)
	before := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "route", ResourceVersion: "7", Labels: map[string]string{"team": "shop"}},
		Status: iter8v1alpha1.RoutingPolicyStatus{
			ObservedGeneration: 1, MirrorTargets: "v2:80", Checked: "sha256:1",
			Mirrors: []iter8v1alpha1.Mirror{{Route: "HTTPRoute/a", To: "v2:80"}},
		},
	}
	after := before.DeepCopy()
	after.Status = iter8v1alpha1.RoutingPolicyStatus{ObservedGeneration: 2, Checked: "sha256:1", Mirrors: []iter8v1alpha1.Mirror{{Route: "HTTPRoute/b", To: "v2:80"}}}

	want, err := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}).Data(after)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(StatusPatch{Before: before.Status, After: after.Status}.Data(after)).To(MatchJSON(want))
	g.Expect(string(want)).To(ContainSubstring(`"mirrorTargets":null`))
}
