package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/interpreter"
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

// evaluate judges an object by an expression. An object that the expression fails on is not ready: it may lack a field.
// One that it did not get through in time can't be judged.
func (e *expressions) evaluate(expression string, content map[string]any) verdict {
	program, err := e.compile(expression)
	if err != nil {
		return verdict{Unknown, "has a readyWhen.cel that does not compile: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxExpressionTime)
	defer cancel()
	result, _, err := program.ContextEval(ctx, map[string]any{"object": content})
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return verdict{NotReady, fmt.Sprintf("has a readyWhen.cel that costs too much: more than %d of CEL's units", maxExpressionCost)}
	case err != nil && ctx.Err() != nil: // which a busy machine may be the cause of
		return verdict{Unknown, fmt.Sprintf("has a readyWhen.cel that took longer than %s", maxExpressionTime)}
	case err != nil:
		return verdict{NotReady, "has a readyWhen.cel that fails on it: " + failure(expression, err)}
	}
	ready, ok := result.Value().(bool)
	switch {
	case !ok:
		return verdict{NotReady, fmt.Sprintf("has a readyWhen.cel that returns a %s, not a bool", result.Type().TypeName())}
	case !ready:
		return verdict{NotReady, "does not fulfil its readyWhen.cel"}
	default:
		return verdict{state: Ready}
	}
}

const (
	// missingKey begins the error of an expression that asks for a field that isn't there, and noOverload that of one that
	// compares what can't be compared.
	missingKey = "no such key: "
	noOverload = "no such overload"
)

// failure returns why an expression failed. Errors may repeat values of the object, which a reader of the Subject may lack the
// right to read: a missing key is only named where it stands in the expression, and other errors only where they hold no value.
func failure(expression string, err error) string {
	if key, ok := strings.CutPrefix(err.Error(), missingKey); ok && strings.Contains(expression, key) {
		return fmt.Sprintf("it has no field %s (for a field that may be absent, write .?%s.orValue(…))", key, key)
	}
	if strings.HasPrefix(err.Error(), noOverload) {
		return noOverload
	}
	return "a value is not one that the expression can take"
}
