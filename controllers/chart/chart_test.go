package chart

import (
	"io/fs"
	"maps"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
)

// files are two charts, the folder of one of which has another name than the chart, and a file beside them.
func files() fstest.MapFS {
	return fstest.MapFS{
		"embed.go":                    {Data: []byte("package charts")},
		"mirror/Chart.yaml":           {Data: []byte("apiVersion: v2\nname: mirror\nversion: 0.14.2\n")},
		"mirror/values.yaml":          {Data: []byte("port: 80\n")},
		"mirror/templates/route.yaml": {Data: []byte("kind: A\n")},
		"mirror/templates/_more.tpl":  {Data: []byte("")},
		"folder/Chart.yaml":           {Data: []byte("apiVersion: v2\nname: canary\nversion: 2.0.0-rc.1\n")},
		"folder/templates/a.yaml":     {Data: []byte("kind: B\n")},
	}
}

func TestResolve(t *testing.T) {
	for name, test := range map[string]struct {
		ref     iter8v1alpha1.ChartReference
		version string
		err     error
		message string
	}{
		"a chart by its name":             {ref: iter8v1alpha1.ChartReference{Name: "mirror"}, version: "0.14.2"},
		"a chart that is a pre-release":   {ref: iter8v1alpha1.ChartReference{Name: "canary"}, version: "2.0.0-rc.1"},
		"a range that holds the version":  {ref: iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"}, version: "0.14.2"},
		"a range of two conditions":       {ref: iter8v1alpha1.ChartReference{Name: "mirror", Version: ">=0.1.0 <1.0.0"}, version: "0.14.2"},
		"the version itself":              {ref: iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.2"}, version: "0.14.2"},
		"a range that asks for the later": {ref: iter8v1alpha1.ChartReference{Name: "canary", Version: ">=2.0.0-0"}, version: "2.0.0-rc.1"},
		"a range above the version": {
			ref: iter8v1alpha1.ChartReference{Name: "mirror", Version: ">=0.15.0"}, err: ErrVersionNotFound,
			message: "version not found: the built-in chart mirror is version 0.14.2, which is not in >=0.15.0",
		},
		"a range of releases, and the chart is a pre-release": {
			ref: iter8v1alpha1.ChartReference{Name: "canary", Version: "2.x"}, err: ErrVersionNotFound,
			message: "version not found: the built-in chart canary is version 2.0.0-rc.1, which is not in 2.x",
		},
		"a range that is none": {
			ref: iter8v1alpha1.ChartReference{Name: "mirror", Version: "latest"}, err: ErrInvalidVersion,
			message: `invalid version range: spec.chart.version "latest": improper constraint: "latest"`,
		},
		"a chart that nobody knows": {
			ref: iter8v1alpha1.ChartReference{Name: "folder"}, err: ErrChartNotFound,
			message: `chart not found: no chart "folder" is built into the operator; there are: canary, mirror`,
		},
		"a repository, even for the name of a built-in chart": {
			ref: iter8v1alpha1.ChartReference{Repository: "https://charts.example.com", Name: "mirror"}, err: ErrRepositoryNotAllowed,
			message: "repository not allowed: https://charts.example.com: this operator renders its built-in charts only (canary, mirror); leave spec.chart.repository out to use one",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			builtIn, err := LoadBuiltIn(files())
			g.Expect(err).NotTo(HaveOccurred())
			resolved, err := builtIn.Resolve(test.ref)
			if test.err != nil {
				g.Expect(err).To(MatchError(test.err))
				g.Expect(err).To(MatchError(test.message))
				g.Expect(resolved).To(BeNil())
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(resolved.Resolved).To(And(HaveField("Name", test.ref.Name), HaveField("Version", test.version), HaveField("Repository", "")))
			g.Expect(resolved.Helm.Name()).To(Equal(test.ref.Name))
		})
	}
}

func TestAChartIsReadWithAllItsFiles(t *testing.T) {
	g := NewWithT(t)
	c := resolve(t, files(), "mirror")
	g.Expect(c.Helm.Values).To(HaveKeyWithValue("port", BeEquivalentTo(80)))
	var names []string
	for _, f := range c.Helm.Templates {
		names = append(names, f.Name)
	}
	g.Expect(names).To(ConsistOf("templates/route.yaml", "templates/_more.tpl"))
}

func TestTheDigestStandsForTheContent(t *testing.T) {
	digest := func(t *testing.T, change func(fstest.MapFS)) string {
		t.Helper()
		f := files()
		change(f)
		return resolve(t, f, "mirror").Resolved.Digest
	}
	data := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, test := range map[string]struct {
		change func(fstest.MapFS)
		same   bool
	}{
		"nothing":       {func(fstest.MapFS) {}, true},
		"another chart": {func(f fstest.MapFS) { f["folder/templates/b.yaml"] = data("kind: C") }, true},
		"a file's time and mode": {func(f fstest.MapFS) {
			f["mirror/values.yaml"].ModTime, f["mirror/values.yaml"].Mode = time.Unix(1, 0), 0o600
		}, true},
		"the folder's name":      {func(f fstest.MapFS) { rename(f, "mirror/", "other/") }, true},
		"a letter of a template": {func(f fstest.MapFS) { f["mirror/templates/route.yaml"] = data("kind: a\n") }, false},
		"the version":            {func(f fstest.MapFS) { f["mirror/Chart.yaml"] = data("apiVersion: v2\nname: mirror\nversion: 0.14.3\n") }, false},
		"the default values":     {func(f fstest.MapFS) { f["mirror/values.yaml"] = data("port: 81\n") }, false},
		"a schema that is new":   {func(f fstest.MapFS) { f["mirror/values.schema.json"] = data("{}") }, false},
		"a file that is gone":    {func(f fstest.MapFS) { delete(f, "mirror/templates/_more.tpl") }, false},
		"a file of another name": {func(f fstest.MapFS) { rename(f, "mirror/templates/route", "mirror/templates/roads") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			want := Equal(digest(t, func(fstest.MapFS) {}))
			if !test.same {
				want = Not(want)
			}
			g.Expect(digest(t, test.change)).To(And(want, MatchRegexp(`^sha256:[0-9a-f]{64}$`)))
		})
	}
}

func TestAFilesEndDoesNotCountAsTheNextOnesBeginning(t *testing.T) {
	g := NewWithT(t)
	one, two := files(), files()
	one["mirror/templates/a"] = &fstest.MapFile{Data: []byte("1templates/b\n2")}
	two["mirror/templates/a"] = &fstest.MapFile{Data: []byte("1")}
	two["mirror/templates/b"] = &fstest.MapFile{Data: []byte("2")}
	g.Expect(resolve(t, one, "mirror").Resolved.Digest).NotTo(Equal(resolve(t, two, "mirror").Resolved.Digest))
}

func TestACorruptChartIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil   func(fstest.MapFS)
		message string
	}{
		"no Chart.yaml":               {func(f fstest.MapFS) { delete(f, "mirror/Chart.yaml") }, "Chart.yaml file is missing"},
		"a Chart.yaml that is no map": {func(f fstest.MapFS) { f["mirror/Chart.yaml"].Data = []byte("[") }, "cannot load Chart.yaml"},
		"no version":                  {func(f fstest.MapFS) { f["mirror/Chart.yaml"].Data = []byte("apiVersion: v2\nname: mirror\n") }, "version is required"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := files()
			test.spoil(f)
			_, err := LoadBuiltIn(f)
			g.Expect(err).To(MatchError(And(HavePrefix("loading the built-in chart mirror: "), ContainSubstring(test.message))))
		})
	}
}

func TestTheOperatorsOwnChartsLoad(t *testing.T) {
	c := resolve(t, charts.FS, "mirror")
	NewWithT(t).Expect(c.Helm.Schema).NotTo(BeEmpty())
}

func resolve(t *testing.T, f fs.FS, name string) *Chart {
	t.Helper()
	g := NewWithT(t)
	builtIn, err := LoadBuiltIn(f)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := builtIn.Resolve(iter8v1alpha1.ChartReference{Name: name})
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

// rename gives every file that begins with a name another beginning.
func rename(f fstest.MapFS, from, to string) {
	for name, file := range maps.Clone(f) {
		if len(name) > len(from) && name[:len(from)] == from {
			delete(f, name)
			f[to+name[len(from):]] = file
		}
	}
}
