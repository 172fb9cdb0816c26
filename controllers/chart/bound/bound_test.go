package bound

import (
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

func TestYAML(t *testing.T) {
	for name, text := range map[string]string{
		"a list of numbers":         "a: [" + strings.Repeat("0,", 30_000) + "0]\n",
		"a list of maps":            "a: [" + strings.Repeat("{a},", 30_000) + "0]\n",
		"a list of lists":           "a: [" + strings.Repeat("[],", 30_000) + "0]\n",
		"a list of lines":           "a:\n" + strings.Repeat("- x\n", 30_000),
		"a map of lines":            lines(30_000),
		"lists in lists":            "a:\n  " + strings.Repeat("- ", 1000) + "x\n",
		"keys that are not strings": "a: {" + questions(5_000) + "}\n",
		"aliases":                   "a: &a [" + strings.Repeat("x,", 1000) + "x]\nb: [" + strings.Repeat("*a,", 90) + "*a]\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var values map[string]any
			g.Expect(yaml.Unmarshal([]byte(text), &values)).To(Succeed())
			runtime.GC()
			runtime.ReadMemStats(&after)
			g.Expect(int64(after.HeapAlloc) - int64(before.HeapAlloc)).To(BeNumerically("<=", YAML([]byte(text))+64<<10))
			runtime.KeepAlive(values)
		})
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("key" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + string(rune('a'+i/17576)) + ": 0\n")
	}
	return b.String()
}

func questions(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("? " + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + " , ")
	}
	return b.String()
}

func TestWhatChartsHaveIsNotTakenForMore(t *testing.T) {
	g := NewWithT(t)
	comments := strings.Repeat("# a comment: [with, all, of, it]\n", 10_000)
	g.Expect(YAML([]byte(comments + "port: 80\n"))).To(BeNumerically("<", 1<<10))
	g.Expect(YAML([]byte("query: rate(x[5m]) * on (y) & z\nregex: .*foo\nrange: '*-1'\n"))).To(BeNumerically("<", 8<<10))
	g.Expect(YAML([]byte("a: &a {b: c}\n" + strings.Repeat("d: *a\n", 10)))).To(BeNumerically("<", 128<<10))
}
