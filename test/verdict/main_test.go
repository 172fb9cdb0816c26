package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestVerdict(t *testing.T) {
	const (
		pass = `{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
`
		ok = `{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p","Elapsed":0.1}
`
		failed = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p","Elapsed":0.1}
`
	)
	for name, c := range map[string]struct {
		events, output, err string
	}{
		"only go test's own line of a package that passed": {
			pass + ok, "ok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "",
		},
		"what TestMain says was measured": {
			pass + `{"Action":"output","Package":"p","Output":"figure: TestA: 3 ms\n"}
` + ok, "figure: TestA: 3 ms\nok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "",
		},
		"a test that takes long has a line": {
			`{"Action":"pass","Package":"p","Test":"TestA","Elapsed":7}` + "\n" + ok,
			"--- PASS: TestA (7.0s)\nok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "",
		},
		"a test that fails shows its output": {
			`{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: no\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- FAIL: TestB (0.00s)\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
` + failed,
			"    b_test.go:1: no\n--- FAIL: TestB (0.00s)\nFAIL\tp\t0.1s\n1 packages, 0 tests passed, 0 skipped\n", "p.TestB, p",
		},
		"a skipped test counts as failed": {
			pass + `{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestC"}
` + ok,
			"--- SKIP: TestC (0.00s)\nok  \tp\t0.1s\n1 packages, 1 tests passed, 1 skipped\n",
			"a skipped test proves nothing: p.TestC",
		},
		"a panic shows what the test wrote": {
			`{"Action":"output","Package":"p","Test":"TestD","Output":"panic: oh\n"}
` + failed,
			"panic: oh\nFAIL\tp\t0.1s\n1 packages, 0 tests passed, 0 skipped\n", "p",
		},
		"a package that doesn't compile": {
			`{"ImportPath":"p","Action":"build-output","Output":"./p.go:1:1: syntax error\n"}
` + failed,
			"./p.go:1:1: syntax error\nFAIL\tp\t0.1s\n1 packages, 0 tests passed, 0 skipped\n", "p",
		},
		"a package without tests": {
			`{"Action":"output","Package":"q","Output":"?   \tq\t[no test files]\n"}
{"Action":"skip","Package":"q"}
` + pass + ok,
			"ok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "",
		},
		"nothing at all counts as failed": {
			"go: no such file\n", "go: no such file\n0 packages, 0 tests passed, 0 skipped\n", "no test ran in p",
		},
		"a TestMain that exits without running its tests": {
			ok, "ok  \tp\t0.1s\n1 packages, 0 tests passed, 0 skipped\n", "no test ran in p",
		},
		"tests of another package only": {
			strings.ReplaceAll(pass+ok, `"p"`, `"other"`), "ok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "no test ran in p",
		},
		"the seed of the order in which tests ran, where one failed": {
			`{"Action":"output","Package":"p","Output":"-test.shuffle 42\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.1}
` + failed,
			"-test.shuffle 42\nFAIL\tp\t0.1s\n1 packages, 0 tests passed, 0 skipped\n", "p.TestA, p",
		},
		"an output that breaks off counts as failed": {
			pass + ok + `{"Action":"output","Package":"q","Test":"TestE","Output":"=== RUN   TestE\n"}` + "\n",
			"ok  \tp\t0.1s\n1 packages, 1 tests passed, 0 skipped\n", "go test ended early",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var out strings.Builder
			v := verdict{out: &out, output: map[test][]string{}, ran: map[string]bool{}, expected: []string{"p"}}
			g.Expect(v.read(strings.NewReader(c.events))).To(Succeed())
			err := v.sum()
			g.Expect(out.String()).To(Equal(c.output))
			if c.err == "" {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(c.err))
			}
		})
	}
}
