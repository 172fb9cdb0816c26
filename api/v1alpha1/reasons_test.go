package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// constants of this package's source whose names begin with a prefix: value by name.
func constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob("*.go")
	g.Expect(err).NotTo(HaveOccurred())
	found := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		g.Expect(err).NotTo(HaveOccurred())
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || strings.HasSuffix(name, "_test.go") {
				continue
			}
			for _, spec := range group.Specs {
				constant := spec.(*ast.ValueSpec)
				if !strings.HasPrefix(constant.Names[0].Name, prefix) {
					continue
				}
				value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
				g.Expect(err).NotTo(HaveOccurred())
				found[constant.Names[0].Name] = value
			}
		}
	}
	return found
}

func TestEveryReasonHasOneRow(t *testing.T) {
	g := NewWithT(t)
	names := make([]string, 0, len(Reasons))
	for _, r := range Reasons {
		names = append(names, r.Name)
	}
	values := constants(t, "Reason")
	g.Expect(len(values)).To(BeNumerically(">", 50))
	want := make([]string, 0, len(values))
	for name, value := range values {
		g.Expect(name).To(Equal("Reason" + value))
		want = append(want, value)
	}
	g.Expect(names).To(ConsistOf(want))
}

func TestEveryReasonOfEventsHasOneRow(t *testing.T) {
	g := NewWithT(t)
	var names, want []string
	sentence := And(MatchRegexp(`^[A-Z].*[^.]\.$`), Not(ContainSubstring("  ")))
	for _, r := range EventReasons {
		names = append(names, r.Name)
		_, ok := LookupReason(r.Name)
		g.Expect(ok).To(BeFalse(), "a reason has one row")
		g.Expect(r.Conditions).To(HaveEach(MatchRegexp("^(Subject|RoutingPolicy|ConfigMap) Events$")))
		g.Expect(r.Meaning).To(sentence)
		if r.Recovery != NoRecovery || r.Remedy != "" {
			g.Expect(r.Remedy).To(sentence)
		}
	}
	for name, value := range constants(t, "Event") {
		g.Expect(name).To(Equal("Event" + value))
		want = append(want, value)
	}
	g.Expect(names).To(ConsistOf(want))
}

func TestTheRowsOfReasons(t *testing.T) {
	uses := []string{"variant", "mirror", "warning", "Subject Ready"}
	for _, value := range constants(t, "Condition") {
		if value != "Reconciling" && value != "Stalled" { // these repeat the reason of Ready
			uses = append(uses, "RoutingPolicy "+value)
		}
	}
	sentence := And(MatchRegexp(`^[A-Z].*[^.]\.$`), Not(ContainSubstring("  ")))
	for _, r := range Reasons {
		t.Run(r.Name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(r.Name).To(MatchRegexp(`^[A-Z][A-Za-z]{1,63}$`))
			g.Expect(r.Conditions).NotTo(BeEmpty())
			g.Expect(uses).To(ContainElements(r.Conditions))
			g.Expect(slices.Compact(slices.Sorted(slices.Values(r.Conditions)))).To(HaveLen(len(r.Conditions)))
			g.Expect(r.Recovery).To(BeElementOf(NoRecovery, Waits, Retries, Stalls))
			g.Expect(r.Meaning).To(sentence)
			if r.Recovery != NoRecovery || r.Remedy != "" {
				g.Expect(r.Remedy).To(sentence)
			}
			found, ok := LookupReason(r.Name)
			g.Expect(found).To(Equal(r))
			g.Expect(ok).To(BeTrue())
		})
	}
}

func TestAGatewaysOwnReasonHasNoRow(t *testing.T) {
	_, ok := LookupReason("NoMatchingListenerHostname")
	NewWithT(t).Expect(ok).To(BeFalse())
}

func TestTheConditionBesideReady(t *testing.T) {
	g := NewWithT(t)
	for recovery, want := range map[Recovery]string{NoRecovery: "", Waits: "Reconciling", Retries: "Reconciling", Stalls: "Stalled"} {
		g.Expect(recovery.Condition()).To(Equal(want))
		g.Expect(recovery.Meaning()).To(MatchRegexp(`^[A-Z].*\.$`))
	}
}

func TestTheReferenceNamesEveryReasonWithItsRecovery(t *testing.T) {
	reference, err := os.ReadFile(filepath.Join("..", "..", "docs", "reasons.md"))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred(), "make docs writes it")
	lines := strings.Split(string(reference), "\n")
	for _, r := range slices.Concat(Reasons, EventReasons) {
		recovery := string(r.Recovery)
		if recovery == "" {
			recovery = "–"
		}
		g.Expect(lines).To(ContainElement(And(HavePrefix("| `"+r.Name+"` | "+recovery+" | "), ContainSubstring(" | "+r.Meaning+" | "))), r.Name)
	}
}
