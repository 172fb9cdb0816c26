package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
)

// condition forces what a statement branches on true, and false.
func (f *finder) condition(statement ast.Node) {
	switch n := statement.(type) {
	case *ast.IfStmt:
		f.force(n.Cond, "condition", true, false)
		if n.Else == nil && len(n.Body.List) == 1 {
			f.stays[n.Body.List[0]] = true // forcing the condition false removes it
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			f.force(n.Cond, "condition", false) // true would never end
		}
	case *ast.SwitchStmt:
		if n.Tag != nil {
			return
		}
		for _, clause := range n.Body.List {
			for _, expression := range clause.(*ast.CaseClause).List {
				f.force(expression, "case", true, false)
			}
		}
	}
}

// force puts each of the values in an expression's place, which is then not evaluated. A comparison has an
// untyped result, so that the whole is of the expression's own type.
func (f *finder) force(expression ast.Expr, what string, values ...bool) {
	if f.constant(expression) {
		return
	}
	for _, value := range values {
		if value {
			f.wrap(expression, "(mutantsOn(%d) == 1 || (", "))", what+" forced true")
		} else {
			f.wrap(expression, "(mutantsOn(%d) == 0 && (", "))", what+" forced false")
		}
	}
	inner := ast.Unparen(expression)
	f.forced[inner] = append(f.forced[inner], values...)
}

// forcedBoth reports whether an expression is forced both ways: whatever notices that notices its negation.
func (f *finder) forcedBoth(expression ast.Expr) bool {
	return slices.Contains(f.forced[expression], true) && slices.Contains(f.forced[expression], false)
}

func (f *finder) binary(n *ast.BinaryExpr) {
	if f.constant(n) {
		return
	}
	switch n.Op {
	case token.LAND, token.LOR:
		f.operands(n)
	case token.EQL, token.NEQ:
		f.negate(n)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		f.boundary(n)
	case token.ADD, token.SUB:
		f.arithmetic(n)
	default:
	}
}

// operands forces each operand of a chain of && true, of a chain of || false.
func (f *finder) operands(n *ast.BinaryExpr) {
	if f.chained[n] {
		return
	}
	for _, operand := range f.chain(n, n.Op) {
		f.force(operand, "operand", n.Op == token.LAND)
	}
}

// chain returns the operands of nested expressions of one operator, and notes that these are in a chain.
func (f *finder) chain(expression ast.Expr, op token.Token) []ast.Expr {
	n, ok := ast.Unparen(expression).(*ast.BinaryExpr)
	if !ok || n.Op != op {
		return []ast.Expr{expression}
	}
	f.chained[n] = true
	return append(f.chain(n.X, op), f.chain(n.Y, op)...)
}

// negate turns == into != and the other way round.
func (f *finder) negate(n *ast.BinaryExpr) {
	if !f.forcedBoth(n) && !f.negated[n] {
		f.wrap(n, "((mutantsOn(%d) == 1) != (", "))", "negated")
	}
}

// not drops a !.
func (f *finder) not(n *ast.UnaryExpr) {
	if n.Op != token.NOT || f.constant(n) {
		return
	}
	f.negated[ast.Unparen(n.X)] = true
	if !f.forcedBoth(n) {
		f.wrap(n, "((mutantsOn(%d) == 1) != (", "))", "! dropped")
	}
}

// boundaries are what the comparisons become, and the functions that stand for them.
var boundaries = map[token.Token]struct {
	op       token.Token
	function string
}{
	token.LSS: {token.LEQ, "mutantsLess"},
	token.LEQ: {token.LSS, "mutantsLessOrEqual"},
	token.GTR: {token.GEQ, "mutantsGreater"},
	token.GEQ: {token.GTR, "mutantsGreaterOrEqual"},
}

func (f *finder) boundary(n *ast.BinaryExpr) {
	if !f.basic(n.X) || !f.basic(n.Y) || !f.plainBool(n) {
		return
	}
	if value, ok := f.alwaysAtBoundary(n); ok && slices.Contains(f.forced[n], value) {
		return
	}
	to := boundaries[n.Op]
	f.call(n, to.function, fmt.Sprintf("%s becomes %s", n.Op, to.op))
}

// alwaysAtBoundary returns the value that a comparison of a length with 0 always has once its boundary is moved.
func (f *finder) alwaysAtBoundary(n *ast.BinaryExpr) (value, ok bool) {
	switch {
	case f.neverNegative(n.X) && f.zero(n.Y):
		return n.Op == token.GTR, n.Op == token.GTR || n.Op == token.LEQ
	case f.zero(n.X) && f.neverNegative(n.Y):
		return n.Op == token.LSS, n.Op == token.LSS || n.Op == token.GEQ
	}
	return false, false
}

func (f *finder) neverNegative(expression ast.Expr) bool {
	basic, ok := f.info.TypeOf(expression).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsUnsigned != 0 || f.builtin(expression, "len", "cap")
}

func (f *finder) zero(expression ast.Expr) bool {
	value := f.info.Types[expression].Value
	return value != nil && constant.Compare(value, token.EQL, constant.MakeInt64(0))
}

// arithmetic swaps + and -.
func (f *finder) arithmetic(n *ast.BinaryExpr) {
	if !f.number(n.X) || !f.number(n.Y) {
		return
	}
	if n.Op == token.ADD {
		f.call(n, "mutantsAdd", "+ becomes -")
	} else {
		f.call(n, "mutantsSubtract", "- becomes +")
	}
}

// call puts the call of a function that takes the mutant's number and both operands in an operator's place.
func (f *finder) call(n *ast.BinaryExpr, function, what string) {
	m := f.add(n, what)
	m.edits = []edit{
		{at: f.offset(n.Pos()), text: fmt.Sprintf("%s(%d, ", function, m.id)},
		{at: f.offset(n.OpPos), length: len(n.Op.String()), text: ","},
		{at: f.offset(n.End()), shuts: true, text: ")"},
	}
}

func (f *finder) basic(expression ast.Expr) bool {
	_, ok := f.info.TypeOf(expression).Underlying().(*types.Basic)
	return ok
}

func (f *finder) number(expression ast.Expr) bool {
	basic, ok := f.info.TypeOf(expression).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsNumeric != 0
}

func (f *finder) plainBool(expression ast.Expr) bool {
	basic, ok := f.info.TypeOf(expression).(*types.Basic)
	return ok && basic.Info()&types.IsBoolean != 0
}
