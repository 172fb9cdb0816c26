package index

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/chart/fault"
)

// scan gives all that an index has of these charts, as name version url digest.
func scan(r io.Reader, names ...string) ([]string, error) {
	var found []string
	failed, err := Scan(r, func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}, func(name string, v Version) {
		found = append(found, strings.TrimSpace(strings.Join([]string{name, v.Version, v.URL, v.Digest}, " ")))
	})
	return found, errors.Join(err, failed["mirror"])
}

const digest = "0000000000000000000000000000000000000000000000000000000000000abc"

func TestScan(t *testing.T) {
	for name, test := range map[string]struct {
		index string
		want  []string
	}{
		"as Helm writes it": {`apiVersion: v1
entries:
  canary:
  - apiVersion: v2
    name: canary
    urls:
    - https://a.io/canary-1.0.0.tgz
    version: 1.0.0
  mirror:
  - annotations:
      entries: this is not the key
    apiVersion: v2
    created: "2024-01-01T00:00:00Z"
    description: |
      entries:
        - version: 9.9.9

      # no comment
    digest: ` + digest + `
    name: mirror
    urls:
    - mirror-0.14.2.tgz
    - https://mirror.a.io/mirror-0.14.2.tgz
    version: 0.14.2
  - name: mirror
    urls:
    - mirror-0.14.1.tgz
    version: 0.14.1
generated: "2024-01-01T00:00:00Z"
`, []string{"mirror 0.14.2 mirror-0.14.2.tgz " + digest, "mirror 0.14.1 mirror-0.14.1.tgz"}},
		"with further indentation, comments, empty lines and the ends of lines of Windows": {strings.ReplaceAll(`# an index
%YAML 1.1
---
"apiVersion": "v1"   # of the index
entries:   # of charts

    # the first one
    "mirror":   # a name

        - version: 1.0.0   # the newest
          # where it is
          urls: [a.tgz]

        -
          version: 0.9.0
          urls:
            - b.tgz
`, "\n", "\r\n"), []string{"mirror 1.0.0 a.tgz", "mirror 0.9.0 b.tgz"}},
		"without an end of its last line": {"apiVersion: v1\nentries:\n  mirror:\n  - version: 1.0.0\n    urls: [a.tgz]", []string{"mirror 1.0.0 a.tgz"}},
		"with entries before its version": {"entries:\n  mirror:\n  - {version: 1.0.0, urls: [a.tgz]}\napiVersion: v1\n", []string{"mirror 1.0.0 a.tgz"}},
		"with a list in one line":         {"apiVersion: v1\nentries:\n  mirror: [{version: 1.0.0, urls: [a.tgz]}]\n", []string{"mirror 1.0.0 a.tgz"}},
		"with a chart that stands twice":  {"apiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0, urls: [a.tgz]}\n  mirror:\n  - {version: 2.0.0, urls: [b.tgz]}\n", []string{"mirror 1.0.0 a.tgz", "mirror 2.0.0 b.tgz"}},
		"with a byte order mark":          {"\xEF\xBB\xBFapiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0, urls: [a.tgz]}\n", []string{"mirror 1.0.0 a.tgz"}},
		"with a second document":          {"apiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0, urls: [a.tgz]}\n---\nentries:\n  mirror:\n  - {version: 2.0.0, urls: [b.tgz]}\n", []string{"mirror 1.0.0 a.tgz"}},
		"in JSON":                         {`{"entries": {"mirror": [{"version": "1.0.0", "urls": ["a.tgz"], "digest": "sha256:` + digest + `"}, null, 7], "canary": 7}, "apiVersion": "v1"}`, []string{"mirror 1.0.0 a.tgz " + digest}},
		"without charts":                  {"apiVersion: v1\nentries: {}\n", nil},
		"without entries":                 {"apiVersion: v1\n", nil},
		"with entries of null":            {"apiVersion: v1\nentries: null\n", nil},
		"with charts without versions":    {"apiVersion: v1\nentries:\n  mirror:\n  canary: []\n", nil},
		"with entries that are none": {`apiVersion: v1
entries:
  mirror:
  - null
  -
  - ~
  - 7
  - [1, 2]
  - version: 3.0.0
  - urls: [a.tgz]
  - {version: 3.0.1, urls: []}
  - {version: 3.0.2, urls: [null]}
  - {version: 3.0.3, urls: a.tgz}
  - {version: 3.0.4, urls: [a.tgz], digest: md5}
  - {version: 3.0.5, urls: [a.tgz], name: canary}
  - {version: {a: b}, urls: [a.tgz]}
  - {version: 3.0.6, urls: [a.tgz], digest: ` + strings.ToUpper("abcd") + digest[4:] + `, maintainers: [null], dependencies: null}
  - &anchor {version: 3.0.7, urls: [b.tgz]}
  - *anchor
  - {version: 3.0.8, urls: [c.tgz]
  - version: "3.0.9
  - {version: 3.1.0, urls: [d.tgz]}
  ? [a, b]
  : - {version: 3.2.0, urls: [e.tgz]}
  - {version: 3.3.0, urls: [f.tgz]}
`, []string{"mirror 3.0.6 a.tgz abcd" + digest[4:], "mirror 3.0.7 b.tgz", "mirror 3.1.0 d.tgz"}},
		"with much that doesn't count": {"apiVersion: v1\nentries:\n  mirror:\n  - description: " + strings.Repeat("x", 200<<10) + "\n      more: of it\n    \"version\": 2.0.0\n    urls:\n    - a.tgz\n    keywords:\n" +
			strings.Repeat("    - keyword\n", 20_000) + "    'digest' : " + digest + "\n    icon: {\n  - {version: 1.0.0, urls: [a.tgz]}\n", []string{"mirror 2.0.0 a.tgz " + digest, "mirror 1.0.0 a.tgz"}},
		"with an entry that is too large": {"apiVersion: v1\nentries:\n  mirror:\n  - {version: 2.0.0, urls: [a.tgz], description: " + strings.Repeat("x", 200<<10) +
			"}\n  - {version: 1.0.0, urls: [a.tgz]}\n", []string{"mirror 1.0.0 a.tgz"}},
		"with versions that are just short enough, and too long": {"apiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0-" + strings.Repeat("x", 248) + ", urls: [a.tgz]}\n  - {version: 1.0.0-" +
			strings.Repeat("x", 247) + ", urls: [b.tgz]}\n", []string{"mirror 1.0.0-" + strings.Repeat("x", 247) + " b.tgz"}},
		"with one of many lines that is too large": {"apiVersion: v1\nentries:\n  mirror:\n  - version: 2.0.0\n    urls:\n" + strings.Repeat("    - a.tgz\n", 20_000) +
			"  - {version: 1.0.0, urls: [a.tgz]}\n", []string{"mirror 1.0.0 a.tgz"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			found, err := scan(strings.NewReader(test.index), "mirror")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(Equal(test.want))
		})
	}
}

func TestIndexesThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		index string
		kind  error
	}{
		"nothing":                             {"", fault.ErrInvalidIndex},
		"empty lines":                         {"\n \n\t\n", fault.ErrInvalidIndex},
		"a page":                              {"<!doctype html>\n<html><body>secret</body></html>\n", fault.ErrInvalidIndex},
		"a page of an internal service":       {`{"apiVersion": ["secret"]}`, fault.ErrInvalidIndex},
		"JSON that is none":                   {`{"apiVersion": "v1", "entries": {secret`, fault.ErrInvalidIndex},
		"no version":                          {"entries:\n  secret: []\n", fault.ErrInvalidIndex},
		"no version, in JSON":                 {`{"entries": {"secret": []}}`, fault.ErrInvalidIndex},
		"entries that aren't in block style":  {"apiVersion: v1\nentries: {secret: []}\n", fault.ErrInvalidIndex},
		"an indentation that isn't":           {"apiVersion: v1\nentries:\n    mirror:\n  secret:\n", fault.ErrInvalidIndex},
		"a large one in JSON":                 {`{"apiVersion": "v1", "entries": {"mirror": [` + strings.Repeat(`"secret",`, 1<<20), fault.ErrTooLarge},
		"entries that take long":              {"apiVersion: v1\nentries:\n  mirror:\n" + strings.Repeat("  - {version: 1.0.0, urls: [secret], a: ["+strings.Repeat("{a},", 5_000)+"]}\n", 1000), fault.ErrTooLarge},
		"more versions than anybody releases": {"apiVersion: v1\nentries:\n  mirror:\n" + strings.Repeat("  - {version: 1.0.0, urls: [secret]}\n", 20_001), fault.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := scan(strings.NewReader(test.index), "mirror")
			g.Expect(err).To(MatchError(test.kind))
			g.Expect(err).To(MatchError(Not(ContainSubstring("secret"))), "what a server answers is nobody's business but its own")
		})
	}
}

// generated is a text that is repeated up to any size, while it is read.
type generated struct {
	rest  int
	text  string
	piece string
}

func (s *generated) Read(p []byte) (int, error) {
	if s.piece == "" {
		if s.rest <= 0 {
			return 0, io.EOF
		}
		s.piece = s.text
		s.rest -= len(s.text)
	}
	n := copy(p, s.piece)
	s.piece = s.piece[n:]
	return n, nil
}

func TestALargeIndexTakesNoMemory(t *testing.T) {
	const size = 200 << 20
	long := strings.Repeat("x", 1<<20)
	block := "  other:\n" + strings.Repeat("  - version: 1.0.0\n    description: "+strings.Repeat("x", 500)+"\n", 1000)
	for name, piece := range map[string]string{
		"of many charts":          block,
		"of one line":             long,
		"of comments":             "  # " + long + "\n",
		"of one version":          "    description: " + long + "\n",
		"of a chart with no name": "  ? " + long + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			start := "apiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0, urls: [a.tgz]}\n"
			if name == "of one version" {
				start += "  - version: 2.0.0\n"
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			found, err := scan(io.MultiReader(strings.NewReader(start), &generated{rest: size, text: piece}), "mirror")
			runtime.ReadMemStats(&after)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found).To(HaveExactElements("mirror 1.0.0 a.tgz"))
			g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 64<<20), "bytes allocated, garbage and all")
		})
	}
}

func TestScanTellsOfAReaderThatFails(t *testing.T) {
	g := NewWithT(t)
	broken := errors.New("broken")
	for _, start := range []string{"apiVersion: v1\nentries:\n", `{"apiVersion":`} {
		_, err := scan(io.MultiReader(strings.NewReader(start), failing{broken}), "mirror")
		g.Expect(err).To(MatchError(broken))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func BenchmarkScan(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nentries:\n")
	for c := range 200 {
		fmt.Fprintf(&text, "  chart-%d:\n", c)
		for v := range 100 {
			fmt.Fprintf(&text, "  - version: 1.%d.0\n    name: chart-%d\n    description: %s\n    urls: [a.tgz]\n", v, c, strings.Repeat("x", 700))
		}
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if found, err := scan(strings.NewReader(text.String()), "chart-7"); err != nil || len(found) != 100 {
			b.Fatal(len(found), err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("apiVersion: v1\nentries:\n  mirror:\n  - version: 1.0.0\n    urls:\n    - a.tgz\n  - null\n  canary: []\ngenerated: x\n")
	f.Add(`{"apiVersion": "v1", "entries": {"mirror": [{"version": "1.0.0", "urls": ["a"]}, null]}}`)
	f.Add("apiVersion: v1\nentries:\n  mirror:\n  - &a {version: 1.0.0, urls: [a, *a]}\n  ? b\n--- \n")
	f.Fuzz(func(t *testing.T, text string) {
		found, err := scan(strings.NewReader(text), "mirror")
		if err != nil && !errors.Is(err, fault.ErrInvalidIndex) && !errors.Is(err, fault.ErrTooLarge) {
			t.Errorf("an error of no kind: %v", err)
		}
		for _, line := range found {
			if !strings.HasPrefix(line, "mirror ") {
				t.Errorf("nobody asked for %q", line)
			}
		}
	})
}
