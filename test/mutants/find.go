package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is how much of the source a mutant's name repeats, in runes.
const maxText = 90

// mutant is one small change of a package.
type mutant struct {
	id int
	// file, without its folder, and lines of it that the change is in.
	file        string
	line, until int
	// function that the change is in, with the receiver's type; or var, and the name of a package's variable.
	function string
	// what the change is. It differs from that of every other mutant of the function.
	what  string
	edits []edit
}

// edit of a file's source, at an offset.
type edit struct {
	at int
	// length of what the text replaces.
	length int
	// shuts is set where the text ends what another edit of the mutant began.
	shuts bool
	text  string
}

// find returns every mutant of a package in the order of the source, numbered from 1.
func find(s *source) []*mutant {
	var all []*mutant
	for _, file := range s.files {
		f := &finder{
			file: file, fset: s.fset, info: s.info, before: len(all),
			forced: map[ast.Expr][]bool{}, chained: map[ast.Expr]bool{}, negated: map[ast.Expr]bool{},
			spared: map[ast.Node]bool{}, stays: map[ast.Stmt]bool{}, tail: map[ast.Stmt]bool{},
		}
		for _, declaration := range file.syntax.Decls {
			f.declaration(declaration)
		}
		slices.SortStableFunc(f.mutants, func(a, b *mutant) int { return cmp.Compare(a.edits[0].at, b.edits[0].at) })
		all = append(all, f.mutants...)
	}
	distinguish(all)
	return all
}

// distinguish makes the names of a function's mutants differ.
func distinguish(all []*mutant) {
	count := map[string]int{}
	for _, m := range all {
		key := m.function + "\n" + m.what
		count[key]++
		if count[key] > 1 {
			m.what = fmt.Sprintf("%s #%d", m.what, count[key])
		}
	}
}

// finder finds the mutants of a file. What encloses a node is visited before it, so that of two mutants whose
// source begins at the same place the outer one has the lower number; render relies on this.
type finder struct {
	file    file
	fset    *token.FileSet
	info    *types.Info
	before  int // mutants of other files
	mutants []*mutant

	function string
	// forced are the values that mutants put in an expression's place.
	forced map[ast.Expr][]bool
	// chained are the expressions of && or || whose operands have been forced.
	chained map[ast.Expr]bool
	// negated are the expressions that a ! is in front of.
	negated map[ast.Expr]bool
	// spared are nodes that have no mutant in them.
	spared map[ast.Node]bool
	// stays are statements that aren't removed, since another mutant does the same.
	stays map[ast.Stmt]bool
	// tail are the last statements of functions, along every branch.
	tail map[ast.Stmt]bool
}

func (f *finder) declaration(declaration ast.Decl) {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		f.function = name(d)
		ast.Inspect(d, f.visit)
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return
		}
		for _, spec := range d.Specs {
			f.function = "var " + spec.(*ast.ValueSpec).Names[0].Name
			ast.Inspect(spec, f.visit)
		}
	}
}

func name(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

func (f *finder) visit(node ast.Node) bool {
	if f.spared[node] {
		return false
	}
	switch n := node.(type) {
	case *ast.FuncDecl:
		f.body(n.Body)
	case *ast.FuncLit:
		f.body(n.Body)
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	case *ast.CommClause:
		f.statements(n.Body)
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.IfStmt, *ast.ForStmt, *ast.SwitchStmt:
		f.condition(n)
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		f.not(n)
	case *ast.CallExpr:
		f.sparesCapacity(n)
	}
	return true
}

// sparesCapacity spares what make takes as a capacity: no test can see it.
func (f *finder) sparesCapacity(call *ast.CallExpr) {
	if !f.builtin(call, "make") {
		return
	}
	_, isMap := f.info.TypeOf(call).Underlying().(*types.Map)
	if len(call.Args) == 3 || len(call.Args) == 2 && isMap {
		f.spared[call.Args[len(call.Args)-1]] = true
	}
}

// builtin reports whether an expression calls one of the named functions of the language.
func (f *finder) builtin(expression ast.Expr, names ...string) bool {
	call, ok := ast.Unparen(expression).(*ast.CallExpr)
	if !ok {
		return false
	}
	callee, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok {
		return false
	}
	object, ok := f.info.Uses[callee].(*types.Builtin)
	for _, name := range names {
		if ok && object.Name() == name {
			return true
		}
	}
	return false
}

// constant reports whether the compiler knows an expression's value.
func (f *finder) constant(expression ast.Expr) bool {
	return f.info.Types[expression].Value != nil
}

// wrap adds a mutant whose edits are in front of a node and after it. format takes the mutant's number.
func (f *finder) wrap(node ast.Node, format, shut, what string) {
	m := f.add(node, what)
	m.edits = []edit{
		{at: f.offset(node.Pos()), text: fmt.Sprintf(format, m.id)},
		{at: f.offset(node.End()), shuts: true, text: shut},
	}
}

// add adds a mutant without edits. What it is is followed by the node's source.
func (f *finder) add(node ast.Node, what string) *mutant {
	m := &mutant{
		id: f.before + len(f.mutants) + 1, file: f.file.name,
		line: f.fset.Position(node.Pos()).Line, until: f.fset.Position(node.End()).Line,
		function: f.function, what: what + ": " + f.text(node),
	}
	f.mutants = append(f.mutants, m)
	return m
}

func (f *finder) offset(position token.Pos) int {
	return f.fset.Position(position).Offset
}

func (f *finder) source(node ast.Node) string {
	return string(f.file.src[f.offset(node.Pos()):f.offset(node.End())])
}

// text is a node's source in one line, cut where it is long.
func (f *finder) text(node ast.Node) string {
	text := strings.Join(strings.Fields(f.source(node)), " ")
	if utf8.RuneCountInString(text) > maxText {
		text = string([]rune(text)[:maxText]) + "…"
	}
	return text
}
