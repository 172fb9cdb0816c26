package worker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/render"
)

// frames are what is sent, one after the other.
func frames(t *testing.T, sent ...any) *bytes.Buffer {
	t.Helper()
	var buffer bytes.Buffer
	w := bufio.NewWriter(&buffer)
	for i := 0; i < len(sent); i += 2 {
		NewWithT(t).Expect(writeFrame(w, byte(sent[i].(rune)), []byte(sent[i+1].(string)))).To(Succeed())
	}
	return &buffer
}

func TestAChildThatIsSpokenToWronglyEnds(t *testing.T) {
	for name, test := range map[string]struct {
		sent *bytes.Buffer
		want string
	}{
		"nothing more is said":           {frames(t), ""},
		"something else than an input":   {frames(t, frameChart, "{}"), "an unexpected frame: c in place of i"},
		"half a header":                  {bytes.NewBufferString("i\x00"), "unexpected EOF"},
		"half a content":                 {bytes.NewBufferString("i\x00\x00\x00\x09{}"), "unexpected EOF"},
		"more than there may be":         {bytes.NewBufferString("i\xff\xff\xff\xff"), "an unexpected frame: of 4294967295 bytes"},
		"something else than the chart":  {frames(t, frameInput, `{"Chart": "a"}`, frameInput, "{}"), "an unexpected frame: i in place of c"},
		"a chart that is none":           {frames(t, frameInput, `{"Chart": "a"}`, frameChart, "["), "reading a chart: "},
		"a chart with values of no kind": {frames(t, frameInput, `{"Chart": "a"}`, frameChart, `{"Values": "x"}`), "reading the values of chart "},
	} {
		t.Run(name, func(t *testing.T) {
			err := serve(test.sent, io.Discard)
			if test.want == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.want)))
		})
	}
}

func TestAnInputThatCanNotBeReadIsAnAnswer(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	g.Expect(serve(frames(t, frameInput, "["), &out)).To(Succeed())
	r := bufio.NewReader(&out)
	kind, _, err := readFrame(r, maxFrame)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kind).To(BeEquivalentTo(frameReady))
	kind, content, err := readFrame(r, maxFrame)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(kind).To(BeEquivalentTo(frameError))
	g.Expect(string(content)).To(HavePrefix("reading what to render: "))
}

func TestAChildKeepsTheChartsThatWereUsedLast(t *testing.T) {
	g := NewWithT(t)
	var k kept
	add := func(digest string, size int) { k.add(cached{digest: digest, size: size, chart: chartOf(t, nil)}) }
	add("a", maxCharts/2)
	add("b", maxCharts/2)
	g.Expect(k.get("a")).NotTo(BeNil())
	add("c", maxCharts/2)
	g.Expect(k.get("b")).To(BeNil(), "a was used after it")
	g.Expect(k.get("a")).NotTo(BeNil())
	g.Expect(k.get("c")).NotTo(BeNil())
	g.Expect(k.size).To(Equal(maxCharts))
}

func TestErrorsKeepTheirKind(t *testing.T) {
	for name, test := range map[string]struct{ err, sentinel error }{
		"values that are wrong": {render.ErrInvalidValues, render.ErrInvalidValues},
		"a render that differs": {render.ErrNonDeterministic, render.ErrNonDeterministic},
		"too much output":       {render.ErrLimit, ErrTooLarge},
		"any other":             {errors.New("oh"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := fmt.Errorf("about it: %w", test.err)
			received := &remoteError{message: string(encodeError(err)), sentinel: sentinels[kindOf(err)]}
			g.Expect(received).To(MatchError(err.Error()))
			if test.sentinel != nil {
				g.Expect(received).To(MatchError(test.sentinel))
			}
		})
	}
}

func TestLongErrorsKeepBothEnds(t *testing.T) {
	g := NewWithT(t)
	message := string(encodeError(errors.New("where" + strings.Repeat("é", maxMessage) + "what")))
	g.Expect(message).To(And(HavePrefix("whereé"), ContainSubstring("é ... é"), HaveSuffix("éwhat")))
	g.Expect(len(message)).To(BeNumerically("<=", maxMessage))
}
