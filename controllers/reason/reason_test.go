package reason

import (
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheReasonOfAnError(t *testing.T) {
	unverified, unavailable := New("Unverified", "no signature"), New("RepositoryUnavailable", "no answer")
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no error":                                   {nil, ""},
		"an error without a reason":                  {errors.New("Unverified"), ""},
		"an error that carries one":                  {unverified, "Unverified"},
		"one that wraps it":                          {fmt.Errorf("chart web: %w", unverified), "Unverified"},
		"one that wraps it twice":                    {fmt.Errorf("a: %w", fmt.Errorf("b: %w", unavailable)), "RepositoryUnavailable"},
		"several, of which the table has that first": {errors.Join(unavailable, unverified), "Unverified"},
		"the same the other way round":               {fmt.Errorf("%w: %w", unverified, unavailable), "Unverified"},
		"a reason that the table lacks":              {New("Tired", "not now"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, ok := Of(test.err)
			g.Expect(got).To(Equal(test.want))
			g.Expect(ok).To(Equal(test.want != ""))
		})
	}
}

func TestErrorsOfOneReasonAreTheirOwn(t *testing.T) {
	g := NewWithT(t)
	one, other := New("TooLarge", "an index"), New("TooLarge", "a chart")
	g.Expect(one).To(MatchError("an index"))
	g.Expect(errors.Is(fmt.Errorf("reading: %w", one), one)).To(BeTrue())
	g.Expect(errors.Is(one, other)).To(BeFalse())
}
