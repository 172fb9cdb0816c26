package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/utils/lru"
)

const (
	// maxExpressionCost bounds one evaluation, in CEL's own units, and maxExpressionTime what these leave out.
	maxExpressionCost = 100_000
	maxExpressionTime = 200 * time.Millisecond
	// interruptEvery is after how many steps of a loop the time is looked at.
	interruptEvery = 100
	// rememberedExpressions is how many compiled expressions are kept.
	rememberedExpressions = 1024
)

// expressions compiles readyWhen expressions once. The language is that of the apiserver's own CEL, with its
// libraries.
type expressions struct {
	compiled *lru.Cache // string → compiledExpression
}

type compiledExpression struct {
	program cel.Program
	err     error
}

func newExpressions() *expressions {
	return &expressions{compiled: lru.New(rememberedExpressions)}
}

// celEnvironment takes some milliseconds to make, which nobody who doesn't use CEL should pay.
var celEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	base, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Env(environment.StoredExpressions)
	if err != nil {
		return nil, err
	}
	return base.Extend(cel.Variable("object", cel.DynType))
})

func (e *expressions) compile(expression string) (cel.Program, error) {
	if found, ok := e.compiled.Get(expression); ok {
		c := found.(compiledExpression)
		return c.program, c.err
	}
	program, err := compile(expression)
	e.compiled.Add(expression, compiledExpression{program, err})
	return program, err
}

func compile(expression string) (cel.Program, error) {
	env, err := celEnvironment()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("the expression returns %s, and must return bool", t)
	}
	return env.Program(ast, cel.CostLimit(maxExpressionCost), cel.InterruptCheckFrequency(interruptEvery))
}

// evaluate judges an object by an expression. An expression that fails says nothing of the object.
func (e *expressions) evaluate(expression string, content map[string]any) verdict {
	program, err := e.compile(expression)
	if err != nil {
		return verdict{Unknown, "has a readyWhen.cel that does not compile: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxExpressionTime)
	defer cancel()
	result, _, err := program.ContextEval(ctx, map[string]any{"object": content})
	if err != nil {
		return verdict{Unknown, "has a readyWhen.cel that failed: " + err.Error()}
	}
	ready, ok := result.Value().(bool)
	switch {
	case !ok:
		return verdict{Unknown, fmt.Sprintf("has a readyWhen.cel that gave a %s, not a bool", result.Type().TypeName())}
	case !ready:
		return verdict{NotReady, "does not fulfil its readyWhen.cel"}
	default:
		return verdict{state: Ready}
	}
}
