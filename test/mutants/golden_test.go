package main

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestGolden finds the mutants of testdata/golden/NAME.in.go. NAME.out.txt is the source with all of them, and a list.
func TestGolden(t *testing.T) {
	g := NewWithT(t)
	golden, _ := loadGolden(t)
	all := find(golden)
	g.Expect(golden.files).To(HaveLen(3))
	for _, f := range golden.files {
		t.Run(f.name, func(t *testing.T) {
			g := NewWithT(t)
			var own []*mutant
			var written bytes.Buffer
			for _, m := range all {
				if m.file == f.name {
					own = append(own, m)
					fmt.Fprintf(&written, "%d line %d-%d %s: %s\n", m.id, m.line, m.until, m.function, m.what)
				}
			}
			rewritten := render(f.src, own)
			g.Expect(bytes.Count(rewritten, []byte("\n"))).To(Equal(bytes.Count(f.src, []byte("\n"))), "lines move")
			written.WriteString("\n")
			written.Write(rewritten)

			file := filepath.Join("testdata", "golden", strings.TrimSuffix(f.name, ".in.go")+".out.txt")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				g.Expect(os.WriteFile(file, written.Bytes(), 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
			g.Expect(written.String()).To(Equal(string(want)), "make golden rewrites it, if this is meant")
		})
	}
}

func TestEveryMutantCompilesBesideAllOthers(t *testing.T) {
	g := NewWithT(t)
	golden, exports := loadGolden(t)
	all := find(golden)
	fset := token.NewFileSet()
	var files []*ast.File
	parsed := func(name string, src []byte) {
		syntax, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		g.Expect(err).NotTo(HaveOccurred())
		files = append(files, syntax)
	}
	for _, f := range golden.files {
		var own []*mutant
		for _, m := range all {
			if m.file == f.name {
				own = append(own, m)
			}
		}
		parsed(f.name, render(f.src, own))
	}
	parsed(supportFile, support("golden", len(all)))
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	_, err := check("golden", fset, files, imports)
	g.Expect(err).NotTo(HaveOccurred())
}

// loadGolden also returns what is compiled of other packages, by their paths.
func loadGolden(t *testing.T) (*source, map[string]string) {
	t.Helper()
	g := NewWithT(t)
	patterns := []string{"./testdata/golden", "cmp", "os", "strconv", "sync/atomic"}
	listed, err := list(context.Background(), patterns)
	g.Expect(err).NotTo(HaveOccurred())
	exports := map[string]string{}
	for _, l := range listed {
		exports[l.ImportPath] = l.Export
	}
	sources, err := load(context.Background(), patterns[:1])
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(sources).To(HaveLen(1))
	return sources[0], exports
}
