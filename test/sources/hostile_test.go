package sources

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// maxRise is how much more memory the operator may take for all that is hostile together.
const maxRise = 64 << 20

// arena is a scene where hostile policies come one after the other, beside a good one.
type arena struct {
	*scene
	server *repository.Server
	decoy  *repository.Decoy
	pid    int
}

// survives checks that nobody but the hostile policy noticed anything: the operator is the same process, and the good
// policies follow the variant at once.
func (a *arena) survives() {
	a.Helper()
	a.follows("good", "good-of-a-repository")
	a.Expect(operator.Done()).NotTo(BeClosed(), "the operator ended")
	a.Expect(operator.PID()).To(Equal(a.pid))
	a.Expect(a.decoy.Hits()).To(BeZero())
}

// within is the arena in a test within its test.
func (a *arena) within(t *testing.T) *arena {
	inner := *a
	inner.scene = a.in(t)
	return &inner
}

// end deletes a hostile policy.
func (a *arena) end(name string) {
	a.Helper()
	a.Expect(k8s.Delete(a.Context(), a.get(name))).To(Succeed())
}

func TestNothingHostileHurtsTheOperatorOrAnybodyElse(t *testing.T) {
	s := newScene(t)
	a := &arena{scene: s, server: serve(t), decoy: repository.ServeDecoy(t, "127.0.0.1:0"), pid: operator.PID()}
	s.trust(a.server.CA)
	a.server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	s.app("good", builtIn())
	s.app("good-of-a-repository", from(a.server.URL, "mirror", ""))
	s.follows("good", "good-of-a-repository")
	memory := watchMemory(t)
	for name, part := range map[string]func(*arena){
		"templates": (*arena).templates,
		"inline":    (*arena).inline,
		"archives":  (*arena).archives,
		"indexes":   (*arena).indexes,
		"addresses": (*arena).addresses,
	} {
		t.Run(name, func(t *testing.T) {
			part(a.within(t))
		})
	}
	memory.report(t)
}

// bombs are templates that take all there is of something, and need nothing that only Helm has.
func bombs() map[string]struct {
	template string
	message  types.GomegaMatcher
} {
	limit := func(message string) types.GomegaMatcher {
		return HavePrefix("False RenderLimit: render limit: " + message)
	}
	return map[string]struct {
		template string
		message  types.GomegaMatcher
	}{
		"a template that calls itself":      {`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, limit("recursion: ")},
		"a list of two thousand million":    {`{{ range until 2000000000 }}x{{ end }}`, limit("memory: ")},
		"two thousand million letters":      {`{{ repeat 2000000000 "x" }}`, limit("memory: ")},
		"a text that doubles":               {`{{ $x := "x" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}`, limit("memory: ")},
		"more output than is allowed":       {`{{ repeat 5000000 "x" }}`, limit("the templates render 5000000 bytes, and at most 4194304 are allowed")},
		"a regular expression and its text": {`{{ $x := repeat 8000000 "x" }}{{ range until 100000 }}{{ regexMatch "(x+x+)+y" $x }}{{ end }}`, limit("time: ")},
		"a regular expression of itself":    {`{{ regexMatch (repeat 3000 "(x{1,999}){1}") "x" }}`, HavePrefix("False Render")},
		"the time":                          {route(`  labels: {at: t{{ (now).UnixNano }}}`), HavePrefix("False NonDeterministic: ")},
		"chance":                            {route(`  labels: {as: {{ randAlphaNum 8 }}}`), HavePrefix("False NonDeterministic: ")},
	}
}

// slug is a name that an object can have.
func slug(name string) string {
	return strings.NewReplacer(" ", "-", "'", "").Replace(strings.ToLower(name))
}

func (a *arena) templates() {
	type hostile struct {
		files   map[string]string
		values  map[string]any
		message types.GomegaMatcher
	}
	tests := map[string]hostile{
		"tpl of itself": {files: map[string]string{"templates/a.yaml": `{{ tpl .Values.x . }}`}, values: map[string]any{"x": "{{ tpl .Values.x . }}"},
			message: HavePrefix("False RenderLimit: ")},
		"includes without an end": {files: map[string]string{"templates/a.yaml": `{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`},
			message: Or(HavePrefix("False RenderLimit: "), ContainSubstring("nested reference name"))},
		"tpl of an include of tpl": {files: map[string]string{"templates/a.yaml": `{{ define "a" }}{{ tpl "{{ include \"a\" . }}" . }}{{ end }}{{ include "a" . }}`},
			message: HavePrefix("False RenderLimit: ")},
		"a schema of a file":    {files: schema("file:///etc/passwd"), message: refused("file:///etc/passwd")},
		"a schema of a server":  {files: schema("http://" + a.decoy.Host + "/s.json"), message: refused("http://" + a.decoy.Host + "/s.json")},
		"a schema of https":     {files: schema("https://" + a.decoy.Host + "/s.json"), message: refused("https://" + a.decoy.Host + "/s.json")},
		"a schema beside it":    {files: schema("other.json"), message: refused("chart:///other.json")},
		"a schema of itself":    {files: map[string]string{"values.schema.json": `{"$ref":"#"}`}, message: HavePrefix("False ")},
		"a schema in schemas":   {files: map[string]string{"values.schema.json": strings.Repeat(`{"properties":{"a":`, 3000) + "true" + strings.Repeat("}}", 3000)}, message: Not(BeEmpty())},
		"a schema of a circle":  {files: map[string]string{"values.schema.json": `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`}, message: HavePrefix("False ")},
		"a schema with a regex": {files: map[string]string{"values.schema.json": `{"properties":{"x":{"pattern":"` + strings.Repeat("(x{1,999}){1}", 3000) + `"}}}`}, values: map[string]any{"x": "x"}, message: HavePrefix("False ")},
	}
	for name, bomb := range bombs() {
		tests[name] = hostile{files: map[string]string{"templates/a.yaml": bomb.template}, message: bomb.message}
	}
	for name, test := range tests {
		if test.files["templates/a.yaml"] == "" {
			test.files["templates/a.yaml"] = route("")
		}
		a.server.Add(slug(name), "1.0.0", repository.Chart(a.T, slug(name), "1.0.0", test.files))
	}
	a.reconcile("good-of-a-repository") // the index has them now
	a.Eventually(func() int { return a.server.Hits("/index.yaml") }).Should(BeNumerically(">", 1))
	for name, test := range tests {
		a.Run(name, func(t *testing.T) {
			a := a.within(t)
			a.app(slug(name), from(a.server.URL, slug(name), ""), func(p *iter8v1alpha1.RoutingPolicy) {
				if test.values != nil {
					p.Spec.Values = values(test.values)
				}
			})
			a.Eventually(a.rendered(slug(name))).Should(And(test.message, Not(BeEmpty()), Not(HavePrefix("Unknown"))))
			t.Log(a.rendered(slug(name))())
			a.survives()
			a.end(slug(name))
		})
	}
}

func schema(reference string) map[string]string {
	return map[string]string{"values.schema.json": `{"properties":{"rules":{"$ref":"` + reference + `"}}}`}
}

// refused is what becomes of a schema that refers to something else.
func refused(reference string) types.GomegaMatcher {
	return And(HavePrefix("False RenderFailed: "), ContainSubstring("a schema may only refer to itself, not to "+reference))
}

func (a *arena) inline() {
	for name, bomb := range bombs() {
		a.Run(name, func(t *testing.T) {
			a := a.within(t)
			policy := "inline-" + slug(name)
			a.app(policy, nil, func(p *iter8v1alpha1.RoutingPolicy) {
				p.Spec.Templates = []iter8v1alpha1.InlineTemplate{{Name: "bomb", Template: bomb.template}}
			})
			a.Eventually(a.rendered(policy)).Should(And(bomb.message, Not(BeEmpty()), Not(HavePrefix("Unknown"))))
			a.survives()
			a.end(policy)
		})
	}
}

// inflated is an archive that begins with entries and goes on with the same bytes, times over, as gzip lets one write
// without compressing them all.
func inflated(t *testing.T, entries, again []byte, times int) []byte {
	t.Helper()
	zip := func(data []byte) []byte {
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, err := w.Write(data)
		NewWithT(t).Expect(errors.Join(err, w.Close())).To(Succeed())
		return zipped.Bytes()
	}
	return append(zip(entries), bytes.Repeat(zip(again), times)...)
}

// headers are the entries of an archive, without what ends it.
func headers(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var written bytes.Buffer
	w := tar.NewWriter(&written)
	for _, e := range entries {
		NewWithT(t).Expect(w.WriteHeader(&e)).To(Succeed())
	}
	return written.Bytes()
}

func (a *arena) archives() {
	entry := func(header tar.Header) []byte {
		return repository.Archive(a.T, func(w *tar.Writer) error { return w.WriteHeader(&header) })
	}
	file := func(name string, size int64) tar.Header {
		return tar.Header{Name: name, Mode: 0o644, Typeflag: tar.TypeReg, Size: size}
	}
	var many []tar.Header
	for i := range 20_000 {
		many = append(many, file(fmt.Sprintf("c/%d", i), 0))
	}
	empty := headers(a.T, many...)
	for name, test := range map[string]struct {
		archive []byte
		message string
	}{
		"a gzip bomb":                 {inflated(a.T, headers(a.T, file("c/a", 512<<20)), make([]byte, 1<<20), 512), "TooLarge: too large: "},
		"a million empty entries":     {inflated(a.T, empty, empty, 49), "TooLarge: too large: the chart has more than 10000 files and folders"},
		"a folder without a chart":    {entry(tar.Header{Name: "c/" + strings.Repeat("a/", 40), Typeflag: tar.TypeDir}), "InvalidChart: invalid chart: "},
		"a symbolic link":             {entry(tar.Header{Name: "c/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), `InvalidChart: invalid chart: it holds a link, "c/a"`},
		"a hard link":                 {entry(tar.Header{Name: "c/a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}), `InvalidChart: invalid chart: it holds a link, "c/a"`},
		"a device":                    {entry(tar.Header{Name: "c/a", Typeflag: tar.TypeChar}), "InvalidChart: invalid chart: it holds something that is neither a file nor a folder"},
		"a path that leads up":        {entry(tar.Header{Name: "c/../../../etc/passwd", Typeflag: tar.TypeReg}), "InvalidChart: invalid chart: it holds a file with a path that leads out of it"},
		"an absolute path":            {entry(tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}), "InvalidChart: invalid chart: it holds a file with an absolute path"},
		"what is no chart in a chart": {repository.Chart(a.T, "c", "1.0.0", map[string]string{"charts/c.tgz": "nothing"}), "InvalidChart: invalid chart: "},
	} {
		a.Run(name, func(t *testing.T) {
			a := a.within(t)
			a.server = serve(t)
			a.secret("ca-of-"+slug(name), map[string][]byte{"ca.crt": a.server.CA})
			a.server.Add("c", "1.0.0", test.archive)
			reference := from(a.server.URL, "c", "")
			reference.CASecretRef.Name = "ca-of-" + slug(name)
			a.app(slug(name), reference)
			a.Eventually(a.condition(slug(name), iter8v1alpha1.ConditionStalled)).Should(HavePrefix("True " + test.message))
			a.survives()
			a.end(slug(name))
		})
	}
}

func (a *arena) indexes() {
	archive := mirror(a.T, "0.14.2")
	entry := "  - version: 0.14.2\n    urls: [charts/mirror-0.14.2.tgz]\n    digest: " + repository.Digest(archive) + "\n"
	const head = "apiVersion: v1\nentries:\n"
	long := func(line string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, head+"  mirror:\n"+entry)
			lines := strings.Repeat(line, 1<<20/len(line))
			for range 200 {
				if _, err := io.WriteString(w, lines); err != nil {
					return
				}
			}
		}
	}
	for name, test := range map[string]struct {
		index   string
		answer  http.HandlerFunc
		message string
	}{
		"entries of null":        {index: head + "  mirror:\n  - null\n  - ~\n" + entry + "  - null\n  other: null\n", message: "True "},
		"duplicate entries":      {index: head + "  mirror:\n" + entry + entry + entry, message: "True "},
		"nothing but null":       {index: head + "  mirror: [null, null]\n", message: "False ChartNotFound: "},
		"a version of no string": {index: head + "  mirror:\n  - version: {a: b}\n    urls: 7\n" + entry, message: "True "},
		"no index":               {index: "internal-secret", message: "False InvalidIndex: "},
		"aliases of aliases":     {index: "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" + head + "  mirror: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n", message: "False "},
		"200 MiB of entries":     {answer: long("  - version: 0.14.3\n    urls: [a.tgz]\n"), message: "False TooLarge: "},
		"200 MiB of one line":    {answer: long("x"), message: "False TooLarge: "},
	} {
		a.Run(name, func(t *testing.T) {
			a := a.within(t)
			a.server = serve(t)
			a.secret("ca-of-"+slug(name), map[string][]byte{"ca.crt": a.server.CA})
			a.server.Put("/charts/mirror-0.14.2.tgz", archive)
			a.server.Put("/index.yaml", []byte(test.index))
			a.server.Answer(test.answer)
			reference := from(a.server.URL, "mirror", "")
			reference.CASecretRef.Name = "ca-of-" + slug(name)
			a.app(slug(name), reference)
			a.Eventually(a.resolved(slug(name))).Should(HavePrefix(test.message))
			t.Log(a.resolved(slug(name))())
			a.survives()
			a.end(slug(name))
		})
	}
}
