package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listing is what go list -json says of a package.
type listing struct {
	ImportPath string
	Name       string
	Dir        string
	Export     string
	DepOnly    bool
	GoFiles    []string

	TestGoFiles  []string
	XTestGoFiles []string

	Module *struct{ Path string }
}

// source is a package, parsed and with types.
type source struct {
	listing
	// path inside the module, with slashes.
	path  string
	fset  *token.FileSet
	info  *types.Info
	files []file
}

// file is one that people write, and that no test is in.
type file struct {
	name   string // without its folder
	src    []byte
	syntax *ast.File
}

// load lists the packages that match the patterns, compiles what they import, and parses them.
func load(ctx context.Context, patterns []string) ([]*source, error) {
	listed, err := list(ctx, patterns)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, l := range listed {
		exports[l.ImportPath] = l.Export
	}
	var sources []*source
	for _, l := range listed {
		if l.DepOnly {
			continue
		}
		s, err := parse(l, exports)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func list(ctx context.Context, patterns []string) ([]listing, error) {
	fields := "-json=ImportPath,Name,Dir,Export,DepOnly,GoFiles,TestGoFiles,XTestGoFiles,Module"
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-export", "-deps", fields, "--"}, patterns...)...)
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("listing packages: %w\n%s", err, complaints.String())
	}
	var listed []listing
	decoder := json.NewDecoder(&output)
	for {
		var l listing
		err := decoder.Decode(&l)
		if errors.Is(err, io.EOF) {
			return listed, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		listed = append(listed, l)
	}
}

// parse reads a package's files, and computes types with what the compiler has exported of other packages.
func parse(l listing, exports map[string]string) (*source, error) {
	s := &source{listing: l, path: l.ImportPath, fset: token.NewFileSet()}
	if l.Module != nil {
		s.path = strings.TrimPrefix(l.ImportPath, l.Module.Path+"/")
	}
	var all []*ast.File
	for _, name := range l.GoFiles {
		src, err := os.ReadFile(filepath.Join(l.Dir, name))
		if err != nil {
			return nil, err
		}
		syntax, err := parser.ParseFile(s.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", s.path, err)
		}
		all = append(all, syntax)
		if !ast.IsGenerated(syntax) {
			s.files = append(s.files, file{name, src, syntax})
		}
	}
	imports := importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	info, err := check(l.ImportPath, s.fset, all, imports)
	if err != nil {
		return nil, err
	}
	s.info = info
	return s, nil
}

func check(path string, fset *token.FileSet, files []*ast.File, imports types.Importer) (*types.Info, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: imports}
	if _, err := config.Check(path, fset, files, info); err != nil {
		return nil, fmt.Errorf("computing the types of %s: %w", path, err)
	}
	return info, nil
}
