// Package argocd tests what Argo CD is told about the health of this API's objects.
package argocd

import (
	"os"
	"testing"

	. "github.com/onsi/gomega"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// health runs a script as Argo CD does, without Lua's libraries but for the basic one, and returns status and message.
func health(t *testing.T, script, object string) []string {
	t.Helper()
	g := NewWithT(t)
	var obj map[string]any
	g.Expect(yaml.Unmarshal([]byte(object), &obj)).To(Succeed())
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	g.Expect(l.CallByParam(lua.P{Fn: l.NewFunction(lua.OpenBase), Protect: true}, lua.LString(lua.BaseLibName))).To(Succeed())
	l.SetGlobal("obj", toLua(l, obj))
	g.Expect(l.DoString(script)).To(Succeed())
	result, ok := l.Get(-1).(*lua.LTable)
	g.Expect(ok).To(BeTrue(), "a table")
	return []string{result.RawGetString("status").String(), result.RawGetString("message").String()}
}

func toLua(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, field := range v {
			table.RawSetString(key, toLua(l, field))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, item := range v {
			table.Append(toLua(l, item))
		}
		return table
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	default:
		return lua.LNil
	}
}

func TestTheHealthThatArgoCDShows(t *testing.T) {
	data, err := os.ReadFile("argocd-cm.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var configMap corev1.ConfigMap
	NewWithT(t).Expect(yaml.UnmarshalStrict(data, &configMap)).To(Succeed())
	const (
		policies = "resource.customizations.health.iter8.tools_RoutingPolicy"
		subjects = "resource.customizations.health.iter8.tools_Subject"
		unseen   = "waiting for the operator to look at it"
		ready    = "{type: Ready, status: 'True', message: 1 object applied}"
	)
	NewWithT(t).Expect(configMap.Data).To(And(HaveLen(2), HaveKey(policies), HaveKey(subjects)))
	for name, test := range map[string]struct {
		only, object    string
		health, message string
	}{
		"it has no status":              {"", "{metadata: {generation: 1}}", "Progressing", unseen},
		"it is new":                     {"", "{metadata: {generation: 1}, status: {observedGeneration: -1}}", "Progressing", unseen},
		"it was only announced":         {policies, "{metadata: {generation: 1}, status: {observedGeneration: -1, applied: [{name: web}]}}", "Progressing", unseen},
		"its spec is another by now":    {"", "{metadata: {generation: 2}, status: {observedGeneration: 1, conditions: [" + ready + "]}}", "Progressing", unseen},
		"it is ready":                   {"", "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [" + ready + "]}}", "Healthy", "1 object applied"},
		"it waits, or is tried again":   {"", "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Ready, status: 'False', message: no Subject}, {type: Reconciling, status: 'True'}]}}", "Progressing", "no Subject"},
		"it is not known whether it is": {"", "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Ready, status: Unknown, message: fetching}]}}", "Progressing", "fetching"},
		"it is stalled":                 {"", "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Ready, status: 'False', message: no v9}, {type: Stalled, status: 'True'}]}}", "Degraded", "no v9"},
		"it is suspended":               {policies, "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [" + ready + ", {type: Suspended, status: 'True', message: hands off}]}}", "Suspended", "hands off"},
		"it was stalled, and suspended": {policies, "{metadata: {generation: 2}, status: {observedGeneration: 2, conditions: [{type: Suspended, status: 'True', message: hands off}, {type: Ready, status: 'False', message: no v9}, {type: Stalled, status: 'True'}]}}", "Degraded", "no v9"},
	} {
		for _, kind := range []string{policies, subjects} {
			if test.only != "" && test.only != kind {
				continue
			}
			t.Run(kind+" "+name, func(t *testing.T) {
				NewWithT(t).Expect(health(t, configMap.Data[kind], test.object)).To(Equal([]string{test.health, test.message}))
			})
		}
	}
}
