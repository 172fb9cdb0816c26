package worker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"helm.sh/helm/v3/pkg/chart"

	"iter8.tools/operator/controllers/render"
)

// full is a chart with something of everything that charts have.
func full(t testing.TB) *chart.Chart {
	return chartOf(t, map[string]string{
		"values.yaml":                   "port: 8000\nmillion: 1000000\nfraction: 0.5\nsub: {port: 81}\n",
		"values.schema.json":            `{"properties": {"port": {"type": "integer"}}}`,
		"config/a.txt":                  "from a file",
		"templates/_helpers.tpl":        `{{ define "labels" }}{app: {{ .Chart.Name }}, version: {{ .Chart.Version }}}{{ end }}`,
		"templates/a.yaml":              "apiVersion: v1\nkind: A\nmetadata: {name: {{ .Release.Name }}, labels: {{ include \"labels\" . }}}\nvalues: {{ toJson .Values }}\nfile: {{ .Files.Get \"config/a.txt\" }}\nserved: {{ .Capabilities.APIVersions.Has \"example.com/v1\" }}\n",
		"templates/b.yaml":              "apiVersion: v1\nkind: B\nmetadata: {name: b}\nsum: {{ add .Values.port .Values.million }}\ntext: \"<a&b>\"\n",
		"templates/NOTES.txt":           "never read",
		"charts/sub/Chart.yaml":         "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
		"charts/sub/values.yaml":        "port: 80\nname: sub\n",
		"charts/sub/values.schema.json": `{"properties": {"port": {"type": "integer"}}}`,
		"charts/sub/templates/c.yaml":   "apiVersion: v1\nkind: C\nmetadata: {name: {{ .Values.name }}}\nport: {{ .Values.port }}\n",
	})
}

func TestAWorkerRendersWhatTheOperatorWould(t *testing.T) {
	p := poolOf(t, patient)
	of := func(change func(*render.Input)) render.Input {
		in := input()
		in.Chart = full(t)
		in.Values = map[string]any{"mine": "yes", "port": int64(9000), "nested": map[string]any{"a": []any{int64(1), 0.5, nil, true}}}
		in.Labels = map[string]string{"app": "web"}
		in.APIVersions = []string{"example.com/v1"}
		in.Variants[1].Resources = []render.Resource{{Kind: "Service", Name: "web"}}
		change(&in)
		return in
	}
	for name, in := range map[string]render.Input{
		"a chart":                                 of(func(*render.Input) {}),
		"values that break its schema":            of(func(in *render.Input) { in.Values["port"] = "http" }),
		"values that break a dependency's schema": of(func(in *render.Input) { in.Values["sub"] = map[string]any{"port": "http"} }),
		"values with the reserved key":            of(func(in *render.Input) { in.Values["iter8"] = true }),
		"a policy's templates":                    inline(t, "apiVersion: v1\nkind: A\nout: {{ toJson . }}\n").Input,
		"a template that fails":                   inline(t, `{{ fail "on purpose" }}`).Input,
		"a template that renders no object":       inline(t, "words").Input,
		"a template that renders nothing":         inline(t, "").Input,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			want, wantErr := render.NewRenderer().Manifests(in)
			request, err := render.NewRequest("sha256:full", in)
			if in.Chart == nil {
				request, err = render.NewRequest("", in)
			}
			g.Expect(err).NotTo(HaveOccurred())
			for range 2 {
				data, err := p.Render(request)
				if wantErr != nil {
					g.Expect(err).To(MatchError(wantErr.Error()))
					g.Expect(err).To(Equal(err))
					g.Expect(isInvalid(err)).To(Equal(isInvalid(wantErr)))
					continue
				}
				g.Expect(err).NotTo(HaveOccurred())
				got, err := render.Decode(data)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(got).To(HaveLen(len(want)))
				for i := range want {
					g.Expect(got[i]).To(Equal(want[i]))
				}
			}
		})
	}
}

func isInvalid(err error) bool {
	matches, _ := MatchError(render.ErrInvalidValues).Match(err)
	return matches
}

func TestTemplatesFindNothingOfTheirSurroundings(t *testing.T) {
	t.Setenv("ITER8_SECRET", "shh")
	p := poolOf(t, patient)
	for name, test := range map[string]struct{ expression, want string }{
		"no Secret":  {`lookup "v1" "Secret" "kube-system" "token"`, "{}"},
		"no list":    {`lookup "v1" "Secret" "kube-system" ""`, "{}"},
		"no address": {`getHostByName "localhost"`, `""`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(p.Render(ofChart(t, echo(test.expression)))).To(MatchJSON(
				`[{"apiVersion": "v1", "kind": "Echo", "metadata": {"name": "echo"}, "out": ` + test.want + `}]`))
		})
	}
	for _, expression := range []string{`env "ITER8_SECRET"`, `expandenv "$ITER8_SECRET"`} {
		_, err := p.Render(ofChart(t, echo(expression)))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("not defined")), expression)
	}
}

func TestWhatIsNotTheSameTwiceIsRefused(t *testing.T) {
	p := poolOf(t, patient)
	for name, expression := range map[string]string{
		"the time": "now | unixEpoch | add (randInt 1 1000000000)", "a random text": "randAlphaNum 20", "a certificate": `(genCA "a" 1).Cert`,
		"an identifier": "uuidv4", "a password": `htpasswd "a" "b"`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, r := range []render.Request{ofChart(t, echo(expression)), inline(t, echo(expression))} {
				_, err := p.Render(r)
				g.Expect(err).To(MatchError(render.ErrNonDeterministic))
				g.Expect(err).To(MatchError(ContainSubstring("Echo echo differs at out")))
			}
		})
	}
}

func TestAChartIsSentOnce(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, patient)
	in := input()
	in.Chart = chartOf(t, map[string]string{"templates/a.yaml": echo(".Release.Name")})
	request := func() render.Request {
		r, err := render.NewRequest("sha256:sent", in)
		g.Expect(err).NotTo(HaveOccurred())
		return r
	}
	g.Expect(p.Render(request())).To(ContainSubstring(`"policy"`))
	// What stands for the chart is its digest, so another content under the same one isn't looked at.
	in.Chart = chartOf(t, nil)
	in.Policy = "other"
	g.Expect(p.Render(request())).To(ContainSubstring(`"other"`))
}

func TestWhatIsTooLargeIsNotSent(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, patient)
	_, err := p.Render(request(t, map[string]any{"large.txt": strings.Repeat("x", maxChart+1)}, nil))
	g.Expect(err).To(MatchError(ErrTooLarge))
	g.Expect(err).To(MatchError(ContainSubstring("chart web has files of")))

	_, err = p.Render(request(t, nil, map[string]any{"large": strings.Repeat("x", maxInput)}))
	g.Expect(err).To(MatchError(ErrTooLarge))
	g.Expect(err).To(MatchError(ContainSubstring("values and templates have")))
	expectGood(t, p)
}

func TestAChartHasADigest(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, patient)
	r := ofChart(t, echo("1"))
	r.ChartDigest = ""
	_, err := p.Render(r)
	g.Expect(err).To(MatchError("rendering a chart takes its digest"))
}

// impatient pools have one child, and nobody waits for it.
var impatient = Options{Children: 1, Patience: time.Nanosecond, Timeout: time.Hour}

func TestWhoDoesNotWaitIsWoken(t *testing.T) {
	for name, test := range map[string]struct {
		template string
		want     gomegatypes.GomegaMatcher
	}{
		"when it is done":    {echo("1"), Not(HaveOccurred())},
		"when it has died":   {`{{ repeat 2000000000 "x" }}`, MatchError(ErrMemory)},
		"when it has failed": {`{{ fail "on purpose" }}`, MatchError(ContainSubstring("on purpose"))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var w woken
			options := impatient
			options.Notify = w.wake
			p := poolOf(t, options)
			release := occupy(t, p)
			r := ofChart(t, test.template)
			for range 2 {
				_, err := p.Render(r)
				g.Expect(err).To(MatchError(render.ErrPending))
			}
			release()
			g.Eventually(w.list).Should(ConsistOf("busy/busy", "test/policy"))
			_, err := p.Render(r)
			g.Expect(err).To(test.want)
			g.Expect(p.jobs).To(BeEmpty())
			g.Expect(p.answered).To(BeEmpty())
		})
	}
}

func TestAnswersThatNobodyTakesAreGivenUp(t *testing.T) {
	g := NewWithT(t)
	var w woken
	options := impatient
	options.Notify = w.wake
	p := poolOf(t, options)
	release := occupy(t, p)
	for i := range 2 * maxAnswers {
		_, err := p.Render(inlineOf(t, "test", fmt.Sprintf("policy-%d", i), echo(".Name")))
		g.Expect(err).To(MatchError(render.ErrPending))
	}
	release()
	g.Eventually(w.list).Should(HaveLen(2*maxAnswers + 1))
	g.Expect(p.answered).To(HaveLen(maxAnswers))
	g.Expect(p.jobs).To(HaveLen(maxAnswers))
}

func TestSlowRendersDoNotKeepOthersWaiting(t *testing.T) {
	for _, namespace := range []string{"bad", "good"} {
		t.Run("of namespace "+namespace, func(t *testing.T) {
			g := NewWithT(t)
			p := poolOf(t, Options{Patience: time.Nanosecond, Quick: short, Timeout: time.Hour})
			bad := []string{"a", "b", "c"}
			for _, policy := range bad {
				_, err := p.Render(inlineOf(t, "bad", policy, loop))
				g.Expect(err).To(MatchError(render.ErrPending))
			}
			for _, policy := range []string{"x", "y"} {
				g.Eventually(func() error {
					_, err := p.Render(inlineOf(t, namespace, policy, echo(".Name")))
					return err
				}).Should(Succeed())
			}
			for _, policy := range bad {
				_, err := p.Render(inlineOf(t, "bad", policy, loop))
				g.Expect(err).To(MatchError(render.ErrPending), "which are still to be done")
			}
			g.Expect(p.list()).To(Or(HaveLen(1), HaveLen(2)))
		})
	}
}

func TestSlowRendersHaveTheirTurns(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, Options{Patience: time.Nanosecond, Quick: time.Millisecond, Timeout: short})
	for _, policy := range []string{"a", "b", "c"} {
		g.Eventually(func() error {
			_, err := p.Render(inlineOf(t, "test", policy, loop))
			return err
		}).Should(MatchError(ErrTimeout))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g.Expect(p.slow).To(BeZero())
}

func TestWhatAPolicyNoLongerWantsIsNotRendered(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, impatient)
	occupy(t, p)
	for _, expression := range []string{"1", "2", "3"} {
		_, err := p.Render(inlineOf(t, "test", "other", echo(expression)))
		g.Expect(err).To(MatchError(render.ErrPending))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g.Expect(p.waiting.waiting["test"]).To(HaveLen(1))
	g.Expect(p.jobs).To(HaveLen(2))
}

func TestAPoolThatEndedRendersNothing(t *testing.T) {
	g := NewWithT(t)
	p := New(patient)
	g.Expect(p.NeedLeaderElection()).To(BeFalse())
	g.Expect(p.Start(canceled())).To(Succeed())
	_, err := p.Render(ofChart(t, echo("1")))
	g.Expect(err).To(MatchError(render.ErrUnavailable))
}

func TestWhatIsUnderwayEndsWithThePool(t *testing.T) {
	g := NewWithT(t)
	p := New(impatient)
	occupy(t, p)
	c := p.list()[0]
	g.Expect(p.Start(canceled())).To(Succeed())
	g.Expect(c.exited).To(BeClosed())
	g.Expect(p.list()).To(BeEmpty())
	g.Expect(p.failures.Len()).To(BeZero(), "it isn't the render's fault")
}
