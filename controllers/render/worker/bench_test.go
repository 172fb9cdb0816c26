package worker

import (
	"io/fs"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v3/pkg/chart/loader"

	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/render"
)

// mirror is the input of a policy that mirrors, of the built-in chart.
func mirror(t testing.TB) render.Input {
	t.Helper()
	g := NewWithT(t)
	var files []*loader.BufferedFile
	g.Expect(fs.WalkDir(charts.FS, "mirror", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(charts.FS, name)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(name, "mirror/"), Data: data})
		return err
	})).To(Succeed())
	c, err := loader.LoadFiles(files)
	g.Expect(err).NotTo(HaveOccurred())
	in := input()
	in.Chart = c
	in.APIVersions = []string{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1/HTTPRoute"}
	backend := func(name string) map[string]any { return map[string]any{"name": name, "port": int64(80)} }
	in.Values = map[string]any{
		"parentRefs": []any{map[string]any{"name": "gateway"}},
		"hostnames":  []any{"httpbin.example.com"},
		"rules": []any{map[string]any{
			"backendRefs": []any{backend("httpbin-v1")},
			"filters":     []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": backend("httpbin-v2")}}},
		}},
	}
	return in
}

func BenchmarkInProcess(b *testing.B) {
	in := mirror(b)
	for b.Loop() {
		if _, err := render.NewRenderer().Manifests(in); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWorker has the same rendered through a worker that is warm, twice as workers do, and the answer read.
func BenchmarkWorker(b *testing.B) {
	in := mirror(b)
	p := poolOf(b, patient)
	for b.Loop() {
		request, err := render.NewRequest("sha256:mirror", in)
		if err != nil {
			b.Fatal(err)
		}
		data, err := p.Render(request)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := render.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkColdWorker has it rendered by a worker that must be started first.
func BenchmarkColdWorker(b *testing.B) {
	in := mirror(b)
	request, err := render.NewRequest("sha256:mirror", in)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p := New(patient)
		if _, err := p.Render(request); err != nil {
			b.Fatal(err)
		}
		_ = p.Start(canceled())
	}
}
