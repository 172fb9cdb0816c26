package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"sigs.k8s.io/yaml"
)

// block is a fenced one of a document.
var block = regexp.MustCompile("(?s)```(shell|text|yaml)\n(.*?)```")

// age is how long ago something was, as kubectl prints it.
var age = regexp.MustCompile(`^(\d+[dhms]){1,2}$`)

// reader does what a document tells to, and compares what it shows with what is printed.
type reader struct {
	*WithT
	stage *stage
	// looks are the commands so far that show something: a document asks to look again in words.
	looks []string
}

// TestTheTutorialsShowWhatKubectlPrints reads the tutorials as a person does, one after the other.
func TestTheTutorialsShowWhatKubectlPrints(t *testing.T) {
	g := NewWithT(t)
	output, err := os.CreateTemp(t.TempDir(), "output")
	g.Expect(err).NotTo(HaveOccurred())
	s := &stage{screen: newScreen(output), tutorial: istio}
	t.Cleanup(func() { g.Expect(s.clear(false)).To(Succeed()) })
	g.Expect(s.set(t.Context())).To(Succeed())
	for _, document := range []struct{ name, content string }{
		{"README.md", section(t, "The tutorial")},
		{"docs/tutorials/istio.md", read(t, filepath.Join(root, "docs", "tutorials", "istio.md"))},
	} {
		passed := t.Run(document.name, func(t *testing.T) {
			r := &reader{WithT: NewWithT(t), stage: s}
			blocks := block.FindAllStringSubmatch(document.content, -1)
			r.Expect(len(blocks)).To(BeNumerically(">", 8))
			for _, b := range blocks {
				r.readBlock(t, b[1], b[2])
			}
		})
		if !passed {
			break // what it has left is in the next one's way
		}
	}
}

// readBlock does what a block says, or compares what it shows.
func (r *reader) readBlock(t *testing.T, kind, content string) {
	eventually := func(printed any) AsyncAssertion {
		return r.Eventually(printed).WithArguments(t).WithTimeout(patience).WithPolling(pollInterval)
	}
	switch {
	case kind == "shell":
		r.follow(t, content)
	case kind == "text":
		for _, table := range strings.Split(strings.TrimSpace(content), "\n\n") {
			eventually(r.tables).Should(ContainElement(cells(table)), table)
		}
	case len(r.looks) == 0:
		r.Expect(r.isSample(t, content)).To(BeTrue(), content)
	default:
		eventually(r.specs).Should(shown(content))
	}
}

// follow types the commands of a block.
func (r *reader) follow(t *testing.T, commands string) {
	for _, command := range strings.Split(strings.TrimSpace(commands), "\n") {
		r.print(t, command)
		if strings.HasPrefix(command, "kubectl get ") || strings.HasPrefix(command, "kubectl events ") {
			r.looks = append(r.looks, command)
		}
	}
}

// print runs a command, and returns what it prints.
func (r *reader) print(t *testing.T, command string) string {
	before, err := r.stage.Seek(0, 1)
	r.Expect(err).NotTo(HaveOccurred())
	r.Expect(r.stage.run(t.Context(), command)).To(Succeed())
	all := read(t, r.stage.Name())
	_, printed, ok := strings.Cut(all[before:], "$ "+command+"\n")
	r.Expect(ok).To(BeTrue())
	return printed
}

// tables are those that the commands print now which have shown some.
func (r *reader) tables(t *testing.T) [][][]string {
	var all [][][]string
	for _, look := range r.looks {
		if strings.HasSuffix(look, " -o yaml") {
			continue
		}
		for _, table := range strings.Split(strings.TrimSpace(r.print(t, look)), "\n\n") {
			all = append(all, cells(table))
		}
	}
	return all
}

// cells are those of a table, by the columns that its header begins; ages are all the same.
func cells(table string) [][]string {
	lines := strings.Split(table, "\n")
	columns := regexp.MustCompile(`\S+(?: \S+)*`).FindAllStringIndex(lines[0], -1)
	var rows [][]string
	for _, line := range lines {
		var row []string
		for i, column := range columns {
			begin, end := min(column[0], len(line)), len(line)
			if i+1 < len(columns) {
				end = min(columns[i+1][0], len(line))
			}
			cell := strings.TrimSpace(line[begin:end])
			if age.MatchString(cell) {
				cell = "a while"
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// specs are those that the commands print now which have shown some.
func (r *reader) specs(t *testing.T) []string {
	var all []string
	for _, look := range r.looks {
		if !strings.HasSuffix(look, " -o yaml") {
			continue
		}
		_, spec, _ := strings.Cut(r.print(t, look), "\nspec:\n")
		if end := regexp.MustCompile(`(?m)^\S`).FindStringIndex(spec); end != nil {
			spec = spec[:end[0]]
		}
		all = append(all, spec)
	}
	return all
}

// shown matches a block of YAML: a whole spec, or a part of one as it is indented there.
func shown(content string) gomegatypes.GomegaMatcher {
	if whole, ok := strings.CutPrefix(content, "spec:\n"); ok {
		return ContainElement(whole)
	}
	return ContainElement(ContainSubstring(content))
}

// isSample reports whether a spec is that of a sample.
func (r *reader) isSample(t *testing.T, content string) bool {
	var documented map[string]any
	r.Expect(yaml.Unmarshal([]byte(content), &documented)).To(Succeed())
	samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "*", "*.yaml"))
	r.Expect(err).NotTo(HaveOccurred())
	return slices.ContainsFunc(samples, func(file string) bool {
		var sample map[string]any
		r.Expect(yaml.Unmarshal([]byte(strings.Split(read(t, file), "\n---\n")[0]), &sample)).To(Succeed())
		equal, err := Equal(documented["spec"]).Match(sample["spec"])
		return err == nil && equal
	})
}
