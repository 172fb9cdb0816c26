package conversion

import (
	"testing"

	"github.com/google/cel-go/cel"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
)

func TestTheExpressionForConditionsJudgesAsIter8Did(t *testing.T) {
	g := NewWithT(t)
	when := readyWhen([]configv1alpha1.ResourceCondition{{Name: "Complete"}, {Name: "Failed", Status: metav1.ConditionFalse}})
	env, err := cel.NewEnv(cel.Variable("object", cel.DynType))
	g.Expect(err).NotTo(HaveOccurred())
	expression, issues := env.Compile(when.CEL)
	g.Expect(issues.Err()).NotTo(HaveOccurred())
	program, err := env.Program(expression)
	g.Expect(err).NotTo(HaveOccurred())

	condition := func(name, status string) any { return map[string]any{"type": name, "status": status} }
	both := []any{condition("Complete", "True"), condition("Failed", "False")}
	for name, test := range map[string]struct {
		metadata, status map[string]any
		ready            bool
	}{
		"no status":              {map[string]any{}, nil, false},
		"no conditions":          {map[string]any{}, map[string]any{}, false},
		"both conditions":        {map[string]any{}, map[string]any{"conditions": both}, true},
		"only one of them":       {map[string]any{}, map[string]any{"conditions": both[:1]}, false},
		"the other status":       {map[string]any{}, map[string]any{"conditions": []any{condition("Complete", "True"), condition("Failed", "True")}}, false},
		"seen at its generation": {map[string]any{"generation": int64(2)}, map[string]any{"observedGeneration": int64(2), "conditions": both}, true},
		"seen before its change": {map[string]any{"generation": int64(3)}, map[string]any{"observedGeneration": int64(2), "conditions": both}, false},
		"without a generation":   {map[string]any{}, map[string]any{"observedGeneration": int64(2), "conditions": both}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			object := map[string]any{"metadata": test.metadata}
			if test.status != nil {
				object["status"] = test.status
			}
			ready, _, err := program.Eval(map[string]any{"object": object})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(ready.Value()).To(Equal(test.ready))
		})
	}
}
