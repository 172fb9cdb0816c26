package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// Each testdata/render/NAME.in.yaml has the flags in its first line, where these begin with --, and beside it what goes to
// stdout, and to stderr where that is anything.
func TestRender(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // there is no cluster
	inputs, err := filepath.Glob(filepath.Join("testdata", "render", "*.in.yaml"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(inputs).NotTo(BeEmpty())
	for _, input := range inputs {
		name := strings.TrimSuffix(input, ".in.yaml")
		t.Run(filepath.Base(name), func(t *testing.T) {
			g := NewWithT(t)
			data, err := os.ReadFile(input) //nolint:gosec // a file of the test's
			g.Expect(err).NotTo(HaveOccurred())
			args := []string{"render", "-f", filepath.ToSlash(input)}
			if line, _, _ := strings.Cut(string(data), "\n"); strings.HasPrefix(line, "# --") {
				args = append(args, strings.Fields(line)[1:]...)
			}
			result := runCommand(t, "", args...)
			expectGolden(t, name+".out.txt", result.out)
			expectGolden(t, name+".err.txt", result.err)
			code := 0
			if strings.Contains(result.err, ": error: ") {
				code = 1
			}
			g.Expect(result.code).To(Equal(code))
		})
	}
}

// expectGolden compares a text with a file, which isn't there where the text is empty.
func expectGolden(t *testing.T, file, got string) {
	t.Helper()
	g := NewWithT(t)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		g.Expect(os.RemoveAll(file)).To(Succeed())
		if got != "" {
			g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
		}
	}
	want, err := os.ReadFile(file) //nolint:gosec // a file of the test's
	if err != nil {
		g.Expect(err).To(MatchError(os.ErrNotExist))
	}
	g.Expect(got).To(Equal(string(want)), "make golden rewrites it, if this is meant")
}

const (
	webSubject = `apiVersion: iter8.tools/v1alpha1
kind: Subject
metadata: {name: web}
spec:
  variants:
  - name: v1
  - name: v2
    resources: [{apiVersion: v1, kind: Service, name: web-v2}]
`
	webPolicy = `---
apiVersion: iter8.tools/v1alpha1
kind: RoutingPolicy
metadata: {name: web}
spec:
  subjectRef: {name: web}
  templates: [{name: one, template: "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}}"}]
`
	webRoute = `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
  namespace: default
`
)

func TestRenderTellsWhereAndWhat(t *testing.T) {
	const templates = `  templates: [{name: one, template: "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}}"}]`
	replaced := func(old, changed string) string { return strings.Replace(webSubject+webPolicy, old, changed, 1) }
	for name, test := range map[string]struct {
		stdin string
		flags []string
		err   string
	}{
		"a field of a Subject that there isn't": {
			stdin: replaced("  - name: v2", "  - name: v2\n    wieght: 5"),
			err:   `stdin:8: error: Subject web: unknown field "spec.variants[1].wieght"; correct or remove it`,
		},
		"a field of a policy that there isn't": {
			stdin: replaced("templates:", "triggers: {}\n  templates:"),
			err:   `stdin:15: error: RoutingPolicy web: unknown field "spec.triggers"; correct or remove it`,
		},
		"a field of the wrong type": {
			stdin: replaced("subjectRef: {name: web}", "subjectRef: {name: 5}"),
			err:   "stdin:10: error: RoutingPolicy web is not one that an apiserver accepts: spec.subjectRef.name is a number and must be a string; put it in quotes if that is what is meant",
		},
		"a key that stands twice": {
			stdin: replaced("spec:\n", "kind: Subject\nspec:\n"),
			err:   `stdin:4: error: the document is not YAML: key "kind" already set in map; correct it there, or just above`,
		},
		"a key that stands twice in JSON": {
			stdin: `{"apiVersion": "iter8.tools/v1alpha1", "kind": "RoutingPolicy", "metadata": {"name": "web"}, "spec": {"spec": {}, "spec": {}}}`,
			err:   `stdin:1: error: RoutingPolicy web: unknown field "spec.spec"; correct or remove it`,
		},
		"a version that there isn't": {
			stdin: replaced("v1alpha1", "v1"),
			err:   "stdin:1: error: apiVersion iter8.tools/v1 is not known; use iter8.tools/v1alpha1",
		},
		"a policy without a name": {
			stdin: replaced("kind: RoutingPolicy\nmetadata: {name: web}", "kind: RoutingPolicy\nmetadata: {}"),
			err:   "stdin:12: error: the RoutingPolicy has no metadata.name; give it one",
		},
		"a Subject that is there twice": {
			stdin: webSubject + "---\n" + webSubject + webPolicy,
			err:   "stdin:10: error: Subject default/web is there twice; remove one of them",
		},
		"a policy that is there twice": {
			stdin: webSubject + webPolicy + webPolicy,
			err:   "stdin:17: error: RoutingPolicy default/web is there twice; remove one of them",
		},
		"a policy with a chart and templates": {
			stdin: replaced("  templates:", "  chart: {name: mirror}\n  templates:"),
			err:   "stdin:16: error: spec takes exactly one of chart and templates, and has both; remove one of them",
		},
		"a policy with neither chart nor templates": {
			stdin: replaced(templates, ""),
			err:   "stdin:13: error: spec takes exactly one of chart and templates, and has neither; add one of them",
		},
		"a Subject that isn't in the files": {
			stdin: replaced("subjectRef: {name: web}", "subjectRef: {name: shop}"),
			err:   "stdin:14: error: RoutingPolicy default/web: its Subject default/shop is not in the files; name the file that it is in with -f, too",
		},
		"a Subject of another namespace": {
			stdin: replaced("subjectRef: {name: web}", "subjectRef: {name: web, namespace: shop}"),
			err:   "stdin:14: error: RoutingPolicy default/web: CrossNamespaceReference: spec.subjectRef is in namespace shop, and the operator's configuration does not allow references to other namespaces; name one that does with --config",
		},
		"a trigger that the Subject doesn't have": {
			stdin: replaced("  templates:", "  trigger: {variants: [v3]}\n  templates:"),
			err:   `stdin:15: error: RoutingPolicy default/web: VariantNotFound: spec.trigger names variant "v3", and Subject web has v1, v2`,
		},
		"an available variant that the Subject doesn't have": {
			stdin: webSubject + webPolicy,
			flags: []string{"--available", "v2,v3"},
			err:   `stdin:10: error: RoutingPolicy default/web: --available names variant "v3", and Subject web has v1, v2`,
		},
		"values that are not an object": {
			stdin: replaced("  templates:", "  values: [1]\n  templates:"),
			err:   "stdin:10: error: RoutingPolicy default/web, with v1 available, v2 available: InvalidValues: spec.values: invalid values: json: cannot unmarshal array into Go value of type map[string]interface {}",
		},
		"a built-in chart that there isn't": {
			stdin: replaced(templates, "  chart: {name: mirrors}"),
			err:   `stdin:15: error: RoutingPolicy default/web: ChartNotFound: chart not found: no chart "mirrors" is built into the operator; there are: mirror, mirror-istio`,
		},
		"a chart from a repository": {
			stdin: replaced(templates, "  chart: {repository: oci://example.com/charts, name: canary}"),
			err:   "stdin:15: error: RoutingPolicy default/web: its chart canary comes from oci://example.com/charts, and nothing is fetched: get it with helm pull --untar, and name its folder with --chart-dir",
		},
		"a chart that the folder doesn't have": {
			stdin: replaced(templates, "  chart: {repository: oci://example.com/charts, name: other}"),
			flags: []string{"--chart-dir", "testdata/render/charts"},
			err:   "stdin:15: error: RoutingPolicy default/web: --chart-dir testdata/render/charts is neither the folder of chart other nor has one of that name: there is no " + filepath.Join("testdata", "render", "charts", "other", "Chart.yaml"),
		},
		"a folder of another chart": {
			stdin: replaced(templates, "  chart: {repository: oci://example.com/charts, name: renamed}"),
			flags: []string{"--chart-dir", "testdata/render/charts"},
			err:   "stdin:15: error: RoutingPolicy default/web: the chart in " + filepath.Join("testdata", "render", "charts", "renamed") + " is original, and the policy's is renamed",
		},
		"a range of versions that is not valid": {
			stdin: replaced(templates, "  chart: {repository: oci://example.com/charts, name: canary, version: newest}"),
			flags: []string{"--chart-dir", "testdata/render/charts/canary"},
			err:   `stdin:15: error: RoutingPolicy default/web: InvalidVersion: spec.chart.version "newest": improper constraint: "newest"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result := runCommand(t, test.stdin, append([]string{"render", "-f", "-"}, test.flags...)...)
			g.Expect(result.code).To(Equal(1))
			g.Expect(result.err).To(Equal(test.err + "\n"))
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	const kinds = "--api-versions takes GROUP/VERSION/KIND, such as gateway.networking.k8s.io/v1/HTTPRoute, not \"apps/v1\"\n"
	for name, test := range map[string]struct {
		stdin string
		args  []string
		err   string
	}{
		"no files":                        {args: nil, err: "error: name the files with the RoutingPolicies and their Subjects: -f FILE, -f FOLDER, or -f - for stdin\n"},
		"files without policies":          {stdin: webSubject, args: []string{"-f", "-"}, err: "error: there is no RoutingPolicy in the files\n"},
		"one state and all":               {args: []string{"-f", "-", "--available", "v1", "--all"}, err: "error: if any flags in the group [available all] are set none of the others can be; [all available] were all set\n"},
		"an unknown output":               {args: []string{"-f", "-", "-o", "wide"}, err: "error: --output takes yaml or json, not \"wide\"\n"},
		"a version that is none":          {args: []string{"-f", "-", "--kube-version", "new"}, err: "error: --kube-version takes a version such as v1.37.0, not \"new\"\n"},
		"an API version without kind":     {args: []string{"-f", "-", "--api-versions", "apps/v1"}, err: "error: " + kinds},
		"a folder of charts that is gone": {args: []string{"-f", "-", "--chart-dir", "gone"}, err: "error: --chart-dir: stat gone: no such file or directory\n"},
		"an archive of a chart":           {args: []string{"-f", "-", "--chart-dir", "main.go"}, err: "error: --chart-dir takes a folder, and main.go is a file; helm pull --untar makes one\n"},
	} {
		t.Run(name, func(t *testing.T) {
			result := runCommand(t, test.stdin, append([]string{"render"}, test.args...)...)
			NewWithT(t).Expect(result).To(Equal(outcome{code: 1, err: test.err}))
		})
	}
}

func TestWhichStatesAreRendered(t *testing.T) {
	variants := func(names ...string) string {
		text := "apiVersion: iter8.tools/v1alpha1\nkind: Subject\nmetadata: {name: web}\nspec:\n  variants:\n  - name: fixed\n"
		for _, name := range names {
			text += "  - {name: " + name + ", resources: [{apiVersion: v1, kind: Service, name: " + name + "}]}\n"
		}
		return text
	}
	for name, test := range map[string]struct {
		stdin string
		flags []string
		want  []string
	}{
		"all variants are available, where nothing else is said": {
			stdin: variants("a", "b") + webPolicy,
			want:  []string{"fixed available, a available, b available"},
		},
		"just those that are named": {
			stdin: variants("a", "b") + webPolicy,
			flags: []string{"--available=b,fixed"},
			want:  []string{"fixed available, a not available, b available"},
		},
		"none, but for those without resources": {
			stdin: variants("a", "b") + webPolicy,
			flags: []string{"--available="},
			want:  []string{"fixed available, a not available, b not available"},
		},
		"each set of those that may come and go": {
			stdin: variants("a", "b") + webPolicy,
			flags: []string{"--all"},
			want: []string{
				"fixed available, a not available, b not available",
				"fixed available, a available, b not available",
				"fixed available, a not available, b available",
				"fixed available, a available, b available",
			},
		},
		"each set of those that trigger": {
			stdin: variants("a", "b") + strings.Replace(webPolicy, "  templates:", "  trigger: {variants: [b]}\n  templates:", 1),
			flags: []string{"--all"},
			want: []string{
				"fixed available, a available, b not available",
				"fixed available, a available, b available",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := ""
			for _, state := range test.want {
				want += "---\n# RoutingPolicy default/web, Subject default/web: " + state + "\n" + webRoute
			}
			result := runCommand(t, test.stdin, append([]string{"render", "-f", "-"}, test.flags...)...)
			NewWithT(t).Expect(result).To(Equal(outcome{out: want}))
		})
	}

	g := NewWithT(t)
	six := runCommand(t, variants("a", "b", "c", "d", "e", "f")+webPolicy, "render", "-f", "-", "--all")
	g.Expect(six.code).To(BeZero())
	g.Expect(strings.Count(six.out, "# RoutingPolicy")).To(Equal(64))
	seven := runCommand(t, variants("a", "b", "c", "d", "e", "f", "g")+webPolicy, "render", "-f", "-", "--all")
	g.Expect(seven).To(Equal(outcome{code: 1, err: "stdin:15: error: RoutingPolicy default/web: " +
		"7 variants trigger it, which makes 128 states, and --all takes 6 variants at most; name the available ones with --available\n"}))
}

func TestRenderGoesOnAfterWhatFails(t *testing.T) {
	g := NewWithT(t)
	lost := strings.NewReplacer("metadata: {name: web}\nspec", "metadata: {name: lost}\nspec", "subjectRef: {name: web}", "subjectRef: {name: gone}").Replace(webPolicy)
	result := runCommand(t, "kind: Service\nmetadata: {name: web-v2}\n---\n"+webSubject+lost+webPolicy, "render", "-v", "-f", "-")
	g.Expect(result).To(Equal(outcome{
		code: 1,
		out:  "---\n# RoutingPolicy default/web, Subject default/web: v1 available, v2 available\n" + webRoute,
		err: "stdin:1: note: Service web-v2 is left out: it is neither a Subject nor a RoutingPolicy\n" +
			"stdin:17: error: RoutingPolicy default/lost: its Subject default/gone is not in the files; name the file that it is in with -f, too\n",
	}))
}

func TestRenderTakesTheOperatorsConfiguration(t *testing.T) {
	g := NewWithT(t)
	config := filepath.Join(t.TempDir(), "operator.yaml")
	g.Expect(os.WriteFile(config, []byte(`apiVersion: config.iter8.tools/v1alpha1
kind: OperatorConfiguration
allowCrossNamespaceReferences: true
routeKinds: [{group: example.com, kind: Route}]
`), 0o600)).To(Succeed())
	stdin := strings.Replace(webSubject, "{name: web}", "{name: web, namespace: shop}", 1) +
		strings.NewReplacer("subjectRef: {name: web}", "subjectRef: {name: web, namespace: shop}",
			"gateway.networking.k8s.io/v1, kind: HTTPRoute", "example.com/v1, kind: Route").Replace(webPolicy)
	result := runCommand(t, stdin, "render", "-f", "-", "--config", config)
	g.Expect(result).To(Equal(outcome{out: `---
# RoutingPolicy default/web, Subject shop/web: v1 available, v2 available
apiVersion: example.com/v1
kind: Route
metadata:
  name: web
  namespace: default
`}))
}

func TestThePageOfThePluginShowsWhatRenderWrites(t *testing.T) {
	g := NewWithT(t)
	t.Chdir(filepath.Join("..", ".."))
	page := filepath.Join("docs", "plugin.md")
	data, err := os.ReadFile(page)
	g.Expect(err).NotTo(HaveOccurred())
	const prompt = "```console\n$ kubectl iter8 "
	begin := bytes.Index(data, []byte(prompt))
	g.Expect(begin).To(BeNumerically(">", 0))
	before, rest := string(data[:begin+len(prompt)]), string(data[begin+len(prompt):])
	line, rest, _ := strings.Cut(rest, "\n")
	_, after, _ := strings.Cut(rest, "```")

	result := runCommand(t, "", strings.Fields(line)...)
	g.Expect(result.code).To(BeZero())
	g.Expect(result.err).To(BeEmpty())
	want := before + line + "\n" + result.out + "```" + after
	if os.Getenv("UPDATE_GOLDEN") != "" {
		g.Expect(os.WriteFile(page, []byte(want), 0o600)).To(Succeed())
		return
	}
	g.Expect(string(data)).To(Equal(want), "make golden rewrites it, if this is meant")
}
