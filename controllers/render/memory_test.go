package render

import (
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// once is the input of a template that never renders the same twice.
func once() Input { return inline(map[string]any{"port": int64(8000)}, echo("uuidv4")) }

// remembered gives the field out of what a Memory renders.
func remembered(t *testing.T, m *Memory, chartDigest string, in Input) any {
	t.Helper()
	g := NewWithT(t)
	manifests, err := manifestsOf(m, chartDigest, in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests).To(HaveLen(1))
	return manifests[0].Object["out"]
}

func manifestsOf(m *Memory, chartDigest string, in Input) ([]*unstructured.Unstructured, error) {
	request, err := NewRequest(chartDigest, in)
	if err != nil {
		return nil, err
	}
	return m.Manifests(request)
}

func TestWhatWasRenderedIsRemembered(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	first := remembered(t, m, "", once())
	g.Expect(remembered(t, m, "", once())).To(Equal(first))
	g.Expect(remembered(t, NewMemory(NewRenderer()), "", once())).NotTo(Equal(first), "the template is one that tells")
}

func TestWhateverARenderDependsOnHasItRenderedAnew(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"the values":            func(in *Input) { in.Values["port"] = int64(8001) },
		"the policy":            func(in *Input) { in.Policy = "other" },
		"the namespace":         func(in *Input) { in.Namespace = "other" },
		"the labels":            func(in *Input) { in.Labels["app"] = "other" },
		"the Subject":           func(in *Input) { in.Subject = types.NamespacedName{Namespace: "apps", Name: "other"} },
		"a variant":             func(in *Input) { in.Variants[1].Available = true },
		"a weight":              func(in *Input) { in.Variants[1].Weight = 51 },
		"a variant's resource":  func(in *Input) { in.Variants[1].Resources[0].Name = "other" },
		"one variant fewer":     func(in *Input) { in.Variants = in.Variants[:1] },
		"what the cluster has":  func(in *Input) { in.APIVersions = in.APIVersions[:1] },
		"the template":          func(in *Input) { in.Templates[0].Template += "\n" },
		"the template's name":   func(in *Input) { in.Templates[0].Name = "other" },
		"one more template":     func(in *Input) { in.Templates = append(in.Templates, iter8v1alpha1.InlineTemplate{Name: "z"}) },
		"a number that is text": func(in *Input) { in.Values["port"] = "8000" },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := NewMemory(NewRenderer())
			before := remembered(t, m, "", once())
			changed := once()
			change(&changed)
			g.Expect(remembered(t, m, "", changed)).NotTo(Equal(before))
			g.Expect(remembered(t, m, "", once())).To(Equal(before), "and what was rendered before is remembered too")
		})
	}
}

func TestAChartIsKnownByItsDigest(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	c := func() Input { return input(chartOf(t, map[string]string{"templates/a.yaml": echo("uuidv4")}), nil) }
	before := remembered(t, m, "sha256:1", c())
	g.Expect(remembered(t, m, "sha256:1", c())).To(Equal(before), "wherever it is in memory")
	g.Expect(remembered(t, m, "sha256:2", c())).NotTo(Equal(before))
}

func TestWhatIsRememberedIsAsItWasRendered(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	in := inline(values(t, "{million: 1000000, fraction: 0.5}"), "apiVersion: v1\nkind: A\nspec: {port: 8000, million: {{ .Values.million }}, half: {{ .Values.fraction }}, none: null, list: [1, a]}\n")
	first, err := manifestsOf(m, "", in)
	g.Expect(err).NotTo(HaveOccurred())
	want := first[0].DeepCopy()
	first[0].SetName("changed by who got it")
	for range 2 {
		again, err := manifestsOf(m, "", in)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again).To(Equal([]*unstructured.Unstructured{want}), "integers are integers")
		again[0].SetName("changed by who got it")
	}
}

func TestWhatIsNotWorthRememberingIsRenderedEveryTime(t *testing.T) {
	for name, test := range map[string]struct {
		in  Input
		err bool
	}{
		"what fails":    {inline(nil, `{{ fail uuidv4 }}`), true},
		"what is large": {inline(nil, "apiVersion: v1\nkind: A\nout: {{ uuidv4 }}\nfiller: "+strings.Repeat("x", largestRemembered)), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := NewMemory(NewRenderer())
			first, firstErr := manifestsOf(m, "", test.in)
			second, secondErr := manifestsOf(m, "", test.in)
			if test.err {
				g.Expect(firstErr).To(HaveOccurred())
				g.Expect(secondErr).NotTo(MatchError(firstErr.Error()))
			} else {
				g.Expect(second[0].Object["out"]).NotTo(Equal(first[0].Object["out"]))
			}
			g.Expect(m.renders.Len()).To(BeZero())
		})
	}
}

func TestNothingRenderedIsRememberedToo(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	for range 2 {
		g.Expect(manifestsOf(m, "", inline(nil, "{{/* nothing */}}"))).To(BeEmpty())
	}
	g.Expect(m.renders.Len()).To(Equal(1))
}

// TestAMemoryIsForSeveralGoroutines is for the race detector.
func TestAMemoryIsForSeveralGoroutines(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				manifests, err := manifestsOf(m, "", once())
				if err == nil {
					manifests[0].SetName("mine")
				}
			}
		})
	}
	all.Wait()
	g.Expect(m.renders.Len()).To(Equal(1))
}
