package worker

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

func TestNamespacesHaveTheirTurns(t *testing.T) {
	anyone := func(string) bool { return true }
	for name, test := range map[string]struct {
		waiting, removed, want string
		may                    func(string) bool
	}{
		"nobody waits":                           {"", "", "", anyone},
		"in the order of their asking":           {"a/1 a/2 a/3", "", "a/1 a/2 a/3", anyone},
		"one after the other":                    {"a/1 a/2 a/3 b/1 c/1 b/2", "", "a/1 b/1 c/1 a/2 b/2 a/3", anyone},
		"whoever may not is passed over":         {"a/1 a/2 b/1", "", "b/1", func(namespace string) bool { return namespace != "a" }},
		"what is no longer wanted is left out":   {"a/1 a/2 b/1", "a/1", "a/2 b/1", anyone},
		"a namespace with nothing has no turn":   {"a/1 b/1", "a/1", "b/1", anyone},
		"what isn't there can't be left out too": {"a/1", "b/1", "a/1", anyone},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var q queue
			jobs := map[string]*job{}
			of := func(name string) *job {
				if jobs[name] == nil {
					namespace, policy, _ := strings.Cut(name, "/")
					jobs[name] = &job{policy: types.NamespacedName{Namespace: namespace, Name: policy}}
				}
				return jobs[name]
			}
			for _, name := range strings.Fields(test.waiting) {
				q.add(of(name))
			}
			if test.removed != "" {
				q.remove(of(test.removed))
			}
			var got []string
			for j := q.next(test.may); j != nil; j = q.next(test.may) {
				got = append(got, j.policy.String())
			}
			g.Expect(strings.Join(got, " ")).To(Equal(test.want))
		})
	}
}
