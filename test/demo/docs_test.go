package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// root is the repository's, from here.
const root = "../.."

var (
	shell = regexp.MustCompile("(?s)```shell\n(.*?)```")
	link  = regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`)
)

func TestTheTutorialsAreWhatTheDemosRun(t *testing.T) {
	for name, test := range map[string]struct {
		tutorial tutorial
		document string
	}{
		"README.md":               {mirroring, section(t, "The tutorial")},
		"docs/tutorials/istio.md": {istio, read(t, filepath.Join(root, "docs", "tutorials", "istio.md"))},
	} {
		t.Run(name, func(t *testing.T) {
			var run, documented []string
			for _, s := range test.tutorial.steps {
				for _, command := range append(slices.Clone(s.do), s.look...) {
					if !slices.Contains(run, command) { // the document asks to look again in words
						run = append(run, command)
					}
				}
			}
			for _, block := range shell.FindAllStringSubmatch(test.document, -1) {
				documented = append(documented, strings.Split(strings.TrimSpace(block[1]), "\n")...)
			}
			NewWithT(t).Expect(documented).To(Equal(run))
		})
	}
}

func TestLinksInDocumentsLeadToFiles(t *testing.T) {
	g := NewWithT(t)
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, folder := range []string{"docs/*.md", "docs/*/*.md", "charts/*/*.md"} {
		more, err := filepath.Glob(filepath.Join(root, folder))
		g.Expect(err).NotTo(HaveOccurred())
		documents = append(documents, more...)
	}
	for _, document := range documents {
		for _, to := range link.FindAllStringSubmatch(read(t, document), -1) {
			if !strings.Contains(to[1], "://") {
				g.Expect(filepath.Join(filepath.Dir(document), to[1])).To(BeAnExistingFile(), "in "+document)
			}
		}
	}
}

// section is a part of README.md, by its heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, after, found := strings.Cut(read(t, filepath.Join(root, "README.md")), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("README.md has no section %q", heading)
	}
	content, _, _ := strings.Cut(after, "\n## ")
	return content
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// testName is what a function is called that shows something.
var testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)

func TestEveryTestThatDocumentsNameExists(t *testing.T) {
	g := NewWithT(t)
	var functions strings.Builder
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, "_test.go") {
			functions.WriteString(read(t, path))
		}
		return err
	})
	g.Expect(err).NotTo(HaveOccurred())
	names := testName.FindAllString(read(t, filepath.Join(root, "docs", "security.md")), -1)
	g.Expect(names).NotTo(BeEmpty())
	for _, name := range names {
		g.Expect(strings.Contains(functions.String(), "func "+name+"(")).To(BeTrue(), name)
	}
}
