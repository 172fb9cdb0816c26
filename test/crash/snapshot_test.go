package crash

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// snapshot returns the routing objects of a scene as "Kind/name", and the statuses of a policy and its Subject, without
// what differs from one scene to the next: the namespace, uids, times, versions, and digests, in which these are.
func (s *scene) snapshot(name string) map[string]any {
	s.Helper()
	policy := &iter8v1alpha1.RoutingPolicy{}
	s.Expect(k8s.Get(s.Context(), s.key(name), policy)).To(Succeed())
	uids := []string{s.namespace, "NAMESPACE", string(policy.UID), "UID of the policy"}
	if subject := policy.Status.Subject; subject != nil {
		uids = append(uids, string(subject.UID), "UID of the Subject")
	}
	all := map[string]any{"the policy's status": policy.Status}
	for object, o := range s.routingObjects() {
		all[object] = o.Object
		uids = append(uids, string(o.GetUID()), "UID of "+object)
	}
	subject := &iter8v1alpha1.Subject{}
	err := k8s.Get(s.Context(), s.key(name), subject)
	s.Expect(client.IgnoreNotFound(err)).To(Succeed())
	if err == nil {
		all["the Subject's status"] = subject.Status
	}
	data, err := json.Marshal(all)
	s.Expect(err).NotTo(HaveOccurred())
	snapshot := map[string]any{}
	s.Expect(json.Unmarshal([]byte(strings.NewReplacer(uids...).Replace(string(data))), &snapshot)).To(Succeed())
	strip(snapshot)
	return snapshot
}

// strip takes out what differs from one run to the next.
func strip(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range []string{"resourceVersion", "creationTimestamp", "lastTransitionTime", "since", "time", "digest", "checked", "inputs"} {
			delete(v, key)
		}
		if _, isDigest := v["metadata"].(string); isDigest { // of labels that have the policy's uid
			delete(v, "metadata")
		}
		for _, inner := range v {
			strip(inner)
		}
	case []any:
		for _, inner := range v {
			strip(inner)
		}
	}
}
