package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// logging is the package whose calls aren't removed: no test is about what is logged.
const logging = "github.com/go-logr/logr"

// body notes where a function ends. There a return can't go, since the function would lack one, or since it
// does nothing.
func (f *finder) body(body *ast.BlockStmt) {
	if body != nil {
		f.ends(body.List)
	}
}

func (f *finder) ends(list []ast.Stmt) {
	if len(list) == 0 {
		return
	}
	switch last := list[len(list)-1].(type) {
	case *ast.BlockStmt:
		f.ends(last.List)
	case *ast.LabeledStmt:
		f.ends([]ast.Stmt{last.Stmt})
	case *ast.IfStmt:
		if last.Else != nil {
			f.ends([]ast.Stmt{last.Else})
		}
		f.ends(last.Body.List)
	case *ast.SwitchStmt:
		f.clausesEnd(last.Body)
	case *ast.TypeSwitchStmt:
		f.clausesEnd(last.Body)
	case *ast.SelectStmt:
		f.clausesEnd(last.Body)
	default:
		f.tail[last] = true
	}
}

func (f *finder) clausesEnd(body *ast.BlockStmt) {
	for _, clause := range body.List {
		switch c := clause.(type) {
		case *ast.CaseClause:
			f.ends(c.Body)
		case *ast.CommClause:
			f.ends(c.Body)
		}
	}
}

// statements removes each statement of a list that may be missing. It isn't executed then, and whatever it names
// is still used.
func (f *finder) statements(list []ast.Stmt) {
	for _, statement := range list {
		if !f.stays[statement] && f.removable(statement) {
			f.wrap(statement, "if mutantsOn(%d) == 0 { ", " }", "removed")
		}
		if assignment, ok := statement.(*ast.AssignStmt); ok {
			f.assignment(assignment)
		}
	}
}

func (f *finder) removable(statement ast.Stmt) bool {
	switch s := statement.(type) {
	case *ast.ReturnStmt:
		return !f.tail[s]
	case *ast.ExprStmt:
		return !f.logs(s.X) && (!f.tail[s] || !f.builtin(s.X, "panic"))
	case *ast.AssignStmt:
		return s.Tok != token.DEFINE && !f.discards(s)
	case *ast.BranchStmt:
		return s.Tok == token.BREAK || s.Tok == token.CONTINUE
	case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt, *ast.GoStmt:
		return true
	}
	return false
}

// logs reports whether an expression calls a method of a logger.
func (f *finder) logs(expression ast.Expr) bool {
	call, ok := ast.Unparen(expression).(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	function, ok := f.info.Uses[method.Sel].(*types.Func)
	return ok && function.Pkg() != nil && function.Pkg().Path() == logging
}

// discards reports whether an assignment only says that a value isn't used.
func (f *finder) discards(s *ast.AssignStmt) bool {
	for _, left := range s.Lhs {
		if to, ok := left.(*ast.Ident); !ok || to.Name != "_" {
			return false
		}
	}
	for _, right := range s.Rhs {
		if calls(right) {
			return false
		}
	}
	return true
}

func calls(expression ast.Expr) bool {
	called := false
	ast.Inspect(expression, func(n ast.Node) bool {
		_, isCall := n.(*ast.CallExpr)
		called = called || isCall
		return true
	})
	return called
}

// assignment swaps += and -=. What it assigns to is written twice then, and must be a plain name for that.
func (f *finder) assignment(s *ast.AssignStmt) {
	function, to := "mutantsAdd", "-="
	switch s.Tok {
	case token.ADD_ASSIGN:
	case token.SUB_ASSIGN:
		function, to = "mutantsSubtract", "+="
	default:
		return
	}
	if !f.number(s.Lhs[0]) || !plain(s.Lhs[0]) {
		return
	}
	m := f.add(s, fmt.Sprintf("%s becomes %s", s.Tok, to))
	m.edits = []edit{
		{at: f.offset(s.TokPos), length: len(s.Tok.String()), text: fmt.Sprintf("= %s(%d, %s,", function, m.id, f.source(s.Lhs[0]))},
		{at: f.offset(s.End()), shuts: true, text: ")"},
	}
}

// plain reports whether an expression is a name, a field, or an element at such a name.
func plain(expression ast.Expr) bool {
	switch e := expression.(type) {
	case *ast.Ident:
		return true
	case *ast.SelectorExpr:
		return plain(e.X)
	case *ast.IndexExpr:
		return plain(e.X) && plain(e.Index)
	}
	return false
}
