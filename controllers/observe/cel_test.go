package observe

import (
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
)

func TestExpressions(t *testing.T) {
	content := map[string]any{
		"metadata": map[string]any{"name": "web", "labels": map[string]any{"a": "b"}},
		"spec":     map[string]any{"replicas": int64(2)},
		"status":   map[string]any{"ready": true, "replicas": int64(2), "phase": "Running", "load": 0.5, "words": []any{"a", "b"}},
	}
	for name, test := range map[string]struct {
		expression string
		state      ResourceState
		message    string
	}{
		"true":                                  {"object.status.replicas >= 2", Ready, ""},
		"false":                                 {"object.status.replicas > 2", NotReady, "does not fulfil its readyWhen.cel"},
		"a field that is a bool":                {"object.status.ready", Ready, ""},
		"a field that is missing":               {"object.status.missing > 1", NotReady, "has a readyWhen.cel that fails on it: it has no field missing (for a field that may be absent, write .?missing.orValue(…))"},
		"a guard for a missing field":           {"has(object.status.missing) && object.status.missing > 1", NotReady, "does not fulfil its readyWhen.cel"},
		"an optional field":                     {"object.status.?missing.orValue(3) == 3", Ready, ""},
		"fields compared":                       {"object.status.replicas == object.spec.replicas", Ready, ""},
		"a list":                                {"object.status.words.exists(w, w == 'b')", Ready, ""},
		"the apiserver's own functions":         {"quantity('1Gi').isGreaterThan(quantity('1Mi')) && 'a1'.find('[0-9]') == '1'", Ready, ""},
		"a field that is no bool":               {"object.status.phase", NotReady, "has a readyWhen.cel that returns a string, not a bool"},
		"an object":                             {"object.status", NotReady, "has a readyWhen.cel that returns a map, not a bool"},
		"types that can't be compared":          {"object.status.phase > 1", NotReady, "has a readyWhen.cel that fails on it: no such overload"},
		"a text":                                {"'ready'", Unknown, "has a readyWhen.cel that does not compile: the expression returns string, and must return bool"},
		"a number":                              {"1 + 1", Unknown, "has a readyWhen.cel that does not compile: the expression returns int, and must return bool"},
		"what is no expression":                 {"object.status.", Unknown, "has a readyWhen.cel that does not compile: ERROR: <input>:1:15: Syntax error"},
		"a variable that there isn't":           {"self.status.ready", Unknown, "undeclared reference to 'self'"},
		"a value of the object is not repeated": {"int(object.metadata.name) > 1", NotReady, "has a readyWhen.cel that fails on it: a value is not one that the expression can take"},
		"nor where it is a missing key":         {"object.status[object.status.phase] == 1", NotReady, "has a readyWhen.cel that fails on it: a value is not one that the expression can take"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			e := newExpressions()
			got := e.evaluate(test.expression, content)
			g.Expect(got.state).To(Equal(test.state))
			if test.message == "" {
				g.Expect(got.message).To(BeEmpty())
			} else {
				g.Expect(got.message).To(ContainSubstring(test.message))
			}
			g.Expect(e.evaluate(test.expression, content).state).To(Equal(got.state), "compiled once, it gives the same again")
		})
	}
}

// TestAnExpressionThatCostsTooMuchEnds ends by its cost, or on a busy machine by its time.
func TestAnExpressionThatCostsTooMuchEnds(t *testing.T) {
	g := NewWithT(t)
	got := newExpressions().evaluate("object.all(a, object.all(b, object[a] + object[b] >= 0))", manyFields(2000))
	g.Expect(got).To(Or(
		Equal(verdict{NotReady, "has a readyWhen.cel that costs too much: more than 100000 of CEL's units"}),
		Equal(verdict{Unknown, "has a readyWhen.cel that took longer than 200ms"})))
}

func manyFields(n int) map[string]any {
	fields := make(map[string]any, n)
	for i := range n {
		fields[strconv.Itoa(i)] = int64(i)
	}
	return fields
}

func TestAnExpressionIsCompiledOnce(t *testing.T) {
	g := NewWithT(t)
	e := newExpressions()
	first, err := e.compile("object.a")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(e.compile("object.a")).To(BeIdenticalTo(first))
	_, err = e.compile("object.")
	g.Expect(err).To(HaveOccurred())
	_, again := e.compile("object.")
	g.Expect(again).To(BeIdenticalTo(err), "that it doesn't compile is remembered too")
	g.Expect(e.compiled.Len()).To(Equal(2))
}
