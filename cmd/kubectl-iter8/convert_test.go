package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/conversion"
)

// outcome of a run of the command.
type outcome struct {
	code     int
	out, err string
}

func runCommand(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return outcome{code, out.String(), errOut.String()}
}

func TestConvertAFolder(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none")) // there is no cluster
	result := runCommand(t, "", "convert", "-v", "-R", "-f", filepath.Join("testdata", "legacy"))
	g.Expect(result.code).To(Equal(1), "a routing policy is no YAML, and a routemap has an unknown kind")
	for golden, got := range map[string]string{"legacy.out.yaml": result.out, "legacy.err.txt": filepath.ToSlash(result.err)} {
		golden = filepath.Join("testdata", golden)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			g.Expect(os.WriteFile(golden, []byte(got), 0o600)).To(Succeed())
		}
		want, err := os.ReadFile(golden)
		g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
		g.Expect(got).To(Equal(string(want)), "make golden rewrites it, if this is meant")
	}
}

func TestConvertReadsFoldersAndFiles(t *testing.T) {
	g := NewWithT(t)
	folder := filepath.Join("testdata", "legacy", "below")
	for _, args := range [][]string{{"-f", folder}, {"-f", filepath.Join(folder, "subject.yaml")}, {"--filename=" + folder}} {
		result := runCommand(t, "", append([]string{"convert"}, args...)...)
		g.Expect(result.code).To(Equal(0))
		g.Expect(result.err).To(BeEmpty())
		g.Expect(result.out).To(HavePrefix("apiVersion: iter8.tools/v1alpha1\nkind: Subject\nmetadata:\n  name: below\nspec:\n"))
	}
	result := runCommand(t, "", "convert", "-f", filepath.Join("testdata", "legacy"))
	g.Expect(result.out).NotTo(ContainSubstring("below"), "without -R folders in folders are left alone")

	both := runCommand(t, "", "convert", "-f", folder, "-f", folder)
	g.Expect(strings.Count(both.out, "\n---\n")).To(Equal(1))
}

const subject = `apiVersion: v1
kind: ConfigMap
metadata:
  name: httpbin
  labels: {app.kubernetes.io/managed-by: iter8}
data:
  spec: |
    gvrs: [svc]
    variants: [[httpbin]]
`

func TestConvertReadsStdin(t *testing.T) {
	list := `{"apiVersion": "v1", "kind": "ConfigMapList", "items": [{"metadata": {"name": "httpbin", "labels": {"app.kubernetes.io/managed-by": "iter8"}},
  "data": {"spec": "{gvrs: [svc], variants: [[httpbin]]}"}}]}`
	for name, stdin := range map[string]string{
		"one document":                 subject,
		"a byte order mark":            "\ufeff" + subject,
		"lines that end as on Windows": strings.ReplaceAll(subject, "\n", "\r\n"),
		"a document's beginning":       "---\n" + subject,
		"documents with nothing in":    "---\n# nothing\n--- # nothing\n" + subject + "---\n",
		"a ConfigMapList":              list,
		"several JSON objects":         `{"kind": "Service", "metadata": {}}` + "\n" + list,
		"YAML that begins as JSON":     "{kind: Service}\n---\n" + subject,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result := runCommand(t, stdin, "convert", "-f", "-")
			g.Expect(result.err).To(BeEmpty())
			g.Expect(result.code).To(Equal(0))
			g.Expect(result.out).To(Equal(`apiVersion: iter8.tools/v1alpha1
kind: Subject
metadata:
  name: httpbin
spec:
  variants:
  - name: v1
    resources:
    - apiVersion: v1
      kind: Service
      name: httpbin
      readyWhen:
        exists: true
`))
		})
	}
}

func TestConvertTellsWhereAndWhat(t *testing.T) {
	for name, test := range map[string]struct{ stdin, err string }{
		"a block, by the line of what is wrong": {
			strings.Replace(subject, "[svc]", "[svc, secret]", 1),
			"stdin:8: error: data.spec, gvrs[1]: \"secret\" is not a short name"},
		"a block in a later document": {
			subject + "---\n" + strings.Replace(subject, "variants: [[httpbin]]", "variants:\n    - [httpbin]\n    - httpbin", 1),
			"stdin:21: error: data.spec, variants[1]: is the string \"httpbin\", and must be a list"},
		"a string in quotes, by the line of its key": {
			strings.Replace(subject, "|\n    gvrs: [svc]\n    variants: [[httpbin]]", `"gvrs: [svc]\nvariants: 2"`, 1),
			"stdin:7: error: data.spec line 2, variants: is 2, and must be a list"},
		"what the ConfigMap itself lacks": {
			strings.Replace(subject, "  spec:", "  specification:", 1),
			"stdin:6: error: data: has neither spec nor strSpec"},
		"a name that no object has": {
			strings.Replace(subject, "name: httpbin", "name: Httpbin", 1),
			"stdin:4: error: metadata.name: \"Httpbin\" is not a name that an object can have"},
		"a label that no apiserver takes": {
			strings.Replace(subject, "{app.kubernetes.io/managed-by: iter8}", "\n    app.kubernetes.io/managed-by: iter8\n    a: b/c", 1),
			"stdin:7: warning: metadata.labels.a: \"b/c\" is left out"},
		"a label that is no string": {
			strings.Replace(subject, "iter8}", "iter8, \"iter8.tools/detect\": true}", 1),
			"stdin:1: error: is not a ConfigMap that an apiserver accepts: metadata.labels is a bool and must be a string; put it in quotes"},
		"a comment of another language": {
			"# one\n" + strings.Replace(subject, "  name:", "  // name of the subject\n  name:", 1),
			"stdin:5: error: the document is not YAML: a comment begins with #, not with //; write # in its place"},
		"no YAML": {
			subject + "---\na: 1\nb: [\n",
			"stdin:12: error: the document is not YAML: "},
		"no object": {"- a\n- b\n", "stdin:1: error: is not a Kubernetes object"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result := runCommand(t, test.stdin, "convert", "-f", "-")
			g.Expect(result.err).To(ContainSubstring(test.err))
			code := 0
			if strings.Contains(test.err, "error") {
				code = 1
			}
			g.Expect(result.code).To(Equal(code))
		})
	}
}

func TestConvertTakesTheNamespaceAndTheConfiguration(t *testing.T) {
	g := NewWithT(t)
	result := runCommand(t, subject, "convert", "-f", "-", "-n", "shop")
	g.Expect(result.out).To(ContainSubstring("\n  namespace: shop\n"))

	config := filepath.Join(t.TempDir(), "operator.yaml")
	g.Expect(os.WriteFile(config, []byte(`apiVersion: config.iter8.tools/v1alpha1
kind: OperatorConfiguration
legacy:
  resourceTypes:
    ksvc: {group: serving.knative.dev, version: v1, kind: Service, conditions: [Ready]}
`), 0o600)).To(Succeed())
	result = runCommand(t, strings.Replace(subject, "[svc]", "[ksvc]", 1), "convert", "-f", "-", "--config", config)
	g.Expect(result.err).To(BeEmpty())
	g.Expect(result.out).To(ContainSubstring("apiVersion: serving.knative.dev/v1\n"))
}

func TestConvertOfNothing(t *testing.T) {
	g := NewWithT(t)
	result := runCommand(t, "kind: Service\nmetadata: {name: a}\n", "convert", "-f", "-", "-v")
	g.Expect(result).To(Equal(outcome{0, "", "stdin:1: note: Service a is left out: it is not one of Iter8's\nNo ConfigMaps of Iter8's found.\n"}))
	experiment := strings.Replace(subject, "iter8}", "iter8, iter8.tools/kind: experiment}", 1)
	result = runCommand(t, experiment, "convert", "-f", "-", "-v")
	g.Expect(result.err).To(HavePrefix("stdin:1: note: ConfigMap httpbin is left out"))
}

func TestTheCommandRefuses(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUBECONFIG", none)
	for name, test := range map[string]struct {
		args []string
		err  string
	}{
		"a file that isn't there":          {[]string{"convert", "-f", none}, "error: stat " + none + ": no such file"},
		"a configuration that isn't there": {[]string{"convert", "-f", "-", "--config", none}, "error: --config: open " + none},
		"a configuration that is none":     {[]string{"convert", "-f", "-", "--config", "main.go"}, "error: --config main.go: reading the operator's configuration: "},
		"files and all namespaces":         {[]string{"convert", "-f", "-", "-A"}, "error: -A reads the cluster, and -f files"},
		"a cluster that isn't there":       {[]string{"convert"}, "error: finding the cluster (with -f FILE no cluster is needed): "},
		"a kubeconfig that isn't there":    {[]string{"convert", "--kubeconfig", none}, "error: finding the cluster"},
		"an argument that nobody expects":  {[]string{"convert", "a.yaml"}, `error: unknown command "a.yaml" for "kubectl iter8 convert"`},
		"a command that there isn't":       {[]string{"transform"}, `error: unknown command "transform" for "kubectl iter8"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result := runCommand(t, "", test.args...)
			g.Expect(result.code).To(Equal(1))
			g.Expect(result.out).To(BeEmpty())
			g.Expect(result.err).To(HavePrefix(test.err))
		})
	}
}

func FuzzDocuments(f *testing.F) {
	files, err := filesIn(filepath.Join("testdata", "legacy"), true)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var errOut bytes.Buffer
		r := &report{errOut: &errOut, verbose: true}
		readFile("stdin", []byte(text), r, func(o object) {
			source, ok := configMapOf(o, r)
			if !ok {
				return
			}
			documents, ok := convert(source, conversion.Options{}, r)
			if ok == (len(documents) == 0) {
				t.Errorf("converted: %t, to %q", ok, documents)
			}
		})
		if r.failed != strings.Contains(errOut.String(), ": error: ") {
			t.Errorf("failed: %t, with %q", r.failed, errOut.String())
		}
	})
}
