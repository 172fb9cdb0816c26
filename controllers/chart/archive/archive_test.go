package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	helmchart "helm.sh/helm/v3/pkg/chart"

	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/test/repository"
)

var limits = Limits{Expanded: 100 << 20, Entries: 10_000, Held: 8 << 20}

const chartYAML = "apiVersion: v2\nname: mirror\nversion: 0.14.2\n"

// file is an entry with content.
func file(name, content string) func(*tar.Writer) error {
	return entry(tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content)
}

func entry(h tar.Header, content string) func(*tar.Writer) error {
	return func(w *tar.Writer) error {
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := io.WriteString(w, content)
		return err
	}
}

// pack packs a chart and what else is given.
func pack(t testing.TB, entries ...func(*tar.Writer) error) []byte {
	return repository.Archive(t, func(w *tar.Writer) error {
		for _, e := range append([]func(*tar.Writer) error{file("mirror/Chart.yaml", chartYAML)}, entries...) {
			if err := e(w); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestLoad(t *testing.T) {
	g := NewWithT(t)
	sub := repository.Chart(t, "sub", "1.0.0", map[string]string{"values.yaml": "a: 1\n", "templates/b.yaml": "kind: B\n"})
	c, size, err := Load(bytes.NewReader(pack(t,
		entry(tar.Header{Name: "mirror/templates/", Typeflag: tar.TypeDir, Mode: 0o755}, ""),
		file("mirror/values.yaml", "\xEF\xBB\xBFport: 80\n"),
		file(`mirror\templates\route.yaml`, "kind: A\n"),
		file("mirror/files/a.txt", "text"),
		file("mirror/charts/sub-1.0.0.tgz", string(sub)),
		file("mirror/charts/unpacked/Chart.yaml", "apiVersion: v2\nname: unpacked\nversion: 2.0.0\n"),
		file("mirror/charts/_not.tgz", "this is no archive"),
	)), limits)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(size).To(BeNumerically("~", 5_500, 500))
	g.Expect(c.Metadata).To(And(HaveField("Name", "mirror"), HaveField("Version", "0.14.2")))
	g.Expect(c.Values).To(HaveKeyWithValue("port", BeEquivalentTo(80)))
	g.Expect(c.Templates).To(ConsistOf(&helmchart.File{Name: "templates/route.yaml", Data: []byte("kind: A\n")}))
	g.Expect(c.Files).To(ConsistOf(&helmchart.File{Name: "files/a.txt", Data: []byte("text")}))
	g.Expect(c.Dependencies()).To(ConsistOf(
		And(HaveField("Name()", "sub"), HaveField("Values", HaveKey("a")), HaveField("Templates", HaveLen(1))),
		HaveField("Name()", "unpacked"),
	))
}

func TestArchivesThatAreRefused(t *testing.T) {
	nest := func(inner []byte, times int) []byte {
		for range times {
			inner = pack(t, file("mirror/charts/sub.tgz", string(inner)))
		}
		return inner
	}
	for name, test := range map[string]struct {
		archive []byte
		kind    error
		message types.GomegaMatcher
	}{
		"a symbolic link": {pack(t, entry(tar.Header{Name: "mirror/templates/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "")),
			fault.ErrInvalidArchive, Equal(`invalid chart: it holds a link, "mirror/templates/a"`)},
		"a hard link":                 {pack(t, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, "")), fault.ErrInvalidArchive, ContainSubstring("it holds a link")},
		"a device":                    {pack(t, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeBlock}, "")), fault.ErrInvalidArchive, ContainSubstring("neither a file nor a folder")},
		"a pipe":                      {pack(t, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeFifo}, "")), fault.ErrInvalidArchive, ContainSubstring("neither a file nor a folder")},
		"an absolute path":            {pack(t, file("/etc/passwd", "")), fault.ErrInvalidArchive, Equal(`invalid chart: it holds a file with an absolute path, "/etc/passwd"`)},
		"an absolute path of Windows": {pack(t, file(`C:\windows\a`, "")), fault.ErrInvalidArchive, ContainSubstring("absolute path")},
		"a drive further in":          {pack(t, file("mirror/c:/a", "")), fault.ErrInvalidArchive, ContainSubstring("the name of a drive")},
		"a path that leads out":       {pack(t, file("mirror/../../etc/passwd", "")), fault.ErrInvalidArchive, Equal(`invalid chart: it holds a file with a path that leads out of it, "mirror/../../etc/passwd"`)},
		"one that leads back in":      {pack(t, file("mirror/templates/../a", "")), fault.ErrInvalidArchive, ContainSubstring("leads out of it")},
		"one with backslashes":        {pack(t, file(`mirror\..\..\a`, "")), fault.ErrInvalidArchive, ContainSubstring("leads out of it")},
		"a folder that leads out":     {pack(t, entry(tar.Header{Name: "../", Typeflag: tar.TypeDir}, "")), fault.ErrInvalidArchive, ContainSubstring("leads out of it")},
		"a file beside the chart":     {pack(t, file("a", "")), fault.ErrInvalidArchive, Equal(`invalid chart: "a" is outside of the chart's folder`)},
		"a long name":                 {pack(t, file("mirror/"+strings.Repeat("a", 300), "")), fault.ErrInvalidArchive, ContainSubstring("longer than 256 bytes")},
		"one file twice":              {pack(t, file("mirror/Chart.yaml", chartYAML)), fault.ErrInvalidArchive, Equal(`invalid chart: it holds "Chart.yaml" twice`)},
		"one file under two names":    {pack(t, file("mirror/./Chart.yaml", chartYAML)), fault.ErrInvalidArchive, ContainSubstring("twice")},
		"a link in a chart in it": {pack(t, file("mirror/charts/sub.tgz", string(pack(t, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeSymlink, Linkname: "b"}, ""))))),
			fault.ErrInvalidArchive, ContainSubstring("it holds a link")},
		"charts in charts in charts":                 {nest(pack(t), 5), fault.ErrInvalidArchive, ContainSubstring("packed in charts more than 4 times")},
		"no archive":                                 {[]byte("<html>"), fault.ErrInvalidArchive, ContainSubstring("not an archive that helm package makes")},
		"half an archive":                            {pack(t)[:60], fault.ErrInvalidArchive, ContainSubstring("or it is damaged")},
		"nothing":                                    {nil, fault.ErrInvalidArchive, ContainSubstring("not an archive")},
		"no Chart.yaml":                              {repository.Archive(t, file("mirror/values.yaml", "")), fault.ErrInvalidArchive, ContainSubstring("Chart.yaml file is missing")},
		"a Chart.yaml of null":                       {repository.Archive(t, file("mirror/Chart.yaml", "null")), fault.ErrInvalidArchive, ContainSubstring("is required")},
		"a Chart.yaml of a list":                     {repository.Archive(t, file("mirror/Chart.yaml", "[]")), fault.ErrInvalidArchive, ContainSubstring("cannot load Chart.yaml")},
		"a dependency of null":                       {repository.Archive(t, file("mirror/Chart.yaml", chartYAML+"dependencies: [null]\nmaintainers: [null]\n")), fault.ErrInvalidArchive, ContainSubstring("must not contain empty or null")},
		"values that are none":                       {pack(t, file("mirror/values.yaml", "[]")), fault.ErrInvalidArchive, ContainSubstring("cannot load values.yaml")},
		"values that take much more than their text": {pack(t, file("mirror/values.yaml", "a: ["+strings.Repeat("{a},", 50_000)+"]")), fault.ErrTooLarge, ContainSubstring("what its values are decoded to")},
		"more files than allowed":                    {repository.Archive(t, many(10_001)), fault.ErrTooLarge, Equal("too large: the chart has more than 10000 files and folders, which is what charts.limits of the operator's configuration allows")},
		"more than can be held":                      {pack(t, file("mirror/a", strings.Repeat("x", 8<<20))), fault.ErrTooLarge, ContainSubstring("what its values are decoded to, take more memory than the 8Mi that a namespace may have")},
		"more in a chart in it": {pack(t, file("mirror/charts/sub.tgz", string(pack(t, file("mirror/a", strings.Repeat("x", 8<<20)))))),
			fault.ErrTooLarge, ContainSubstring("take more memory")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, _, err := Load(bytes.NewReader(test.archive), limits)
			g.Expect(err).To(MatchError(test.kind))
			g.Expect(err.Error()).To(test.message)
		})
	}
}

// many writes empty files.
func many(n int) func(*tar.Writer) error {
	return func(w *tar.Writer) error {
		for i := range n {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("mirror/%d", i), Typeflag: tar.TypeReg}); err != nil {
				return err
			}
		}
		return nil
	}
}

// bomb is an archive that begins with a header, and goes on with a piece so many times. Each is compressed once: a
// file in gzip's format may have any number of members.
func bomb(t *testing.T, header, piece []byte, times int) []byte {
	t.Helper()
	compress := func(data []byte) []byte {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, err := zip.Write(data)
		NewWithT(t).Expect(errors.Join(err, zip.Close())).To(Succeed())
		return packed.Bytes()
	}
	return append(compress(header), bytes.Repeat(compress(piece), times)...)
}

// header is the beginning of an entry.
func header(t *testing.T, h tar.Header) []byte {
	t.Helper()
	var written bytes.Buffer
	NewWithT(t).Expect(tar.NewWriter(&written).WriteHeader(&h)).To(Succeed())
	return written.Bytes()
}

func TestBombsTakeNoMemory(t *testing.T) {
	large := tar.Header{Name: "mirror/a", Typeflag: tar.TypeReg, Size: 200 << 20}
	folder := header(t, tar.Header{Name: "mirror/a/", Typeflag: tar.TypeDir})
	// It says more of a file that never comes.
	more := header(t, tar.Header{Name: "mirror/a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"ITER8.a": strings.Repeat("a", 1<<19)}})
	more = more[:len(more)-512]
	for name, archive := range map[string][]byte{
		"a large file":            bomb(t, header(t, large), make([]byte, 1<<20), 200),
		"a bomb in a chart in it": pack(t, file("mirror/charts/a.tgz", string(bomb(t, header(t, large), make([]byte, 1<<20), 200)))),
		"headers without an end":  bomb(t, nil, more, 300),
		"a million empty folders": bomb(t, nil, bytes.Repeat(folder, 1000), 1000),
		"many empty files":        repository.Archive(t, many(20_000)),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := Load(bytes.NewReader(archive), limits)
			runtime.ReadMemStats(&after)
			g.Expect(err).To(Or(MatchError(fault.ErrTooLarge), MatchError(fault.ErrInvalidArchive)))
			most := 32 << 20
			if name == "headers without an end" {
				most = 1 << 30 // Go's reader makes garbage of each, until the limit of what is expanded, and holds one
			}
			g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", most), "bytes allocated, garbage and all")
		})
	}
}

func TestTheLimitOfWhatIsExpandedHoldsForAllArchivesTogether(t *testing.T) {
	g := NewWithT(t)
	// Half a MiB of what is neither read nor held, each in an archive of its own.
	part := string(pack(t, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"ITER8.a": strings.Repeat("a", 1<<19)}}, "")))
	three := pack(t, file("mirror/charts/a.tgz", part), file("mirror/charts/b.tgz", part), file("mirror/charts/c.tgz", part))
	l := limits
	l.Expanded = 2 << 20
	_, _, err := Load(bytes.NewReader(three), l)
	g.Expect(err).NotTo(HaveOccurred())
	l.Expanded = 1 << 20
	_, _, err = Load(bytes.NewReader(three), l)
	g.Expect(err).To(MatchError("too large: the chart expands to more than charts.limits of the operator's configuration allows"))
}

func FuzzArchive(f *testing.F) {
	f.Add(pack(f))
	f.Add(pack(f, file("mirror/charts/sub.tgz", string(pack(f))), file("mirror/values.yaml", "a: {b: [1, null]}")))
	f.Add(pack(f, entry(tar.Header{Name: "mirror/a", Typeflag: tar.TypeSymlink, Linkname: "b"}, "")))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		l := Limits{Expanded: 1 << 20, Entries: 100, Held: 1 << 18}
		c, size, err := Load(bytes.NewReader(data), l)
		if err == nil {
			if c.Metadata == nil || c.Validate() != nil || size > l.Held {
				t.Errorf("%d bytes were loaded as a chart that is none", size)
			}
			for _, file := range c.Raw {
				if strings.HasPrefix(file.Name, "/") || strings.HasPrefix(file.Name, "..") {
					t.Errorf("%q is outside of the chart", file.Name)
				}
			}
		}
	})
}
