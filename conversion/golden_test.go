package conversion

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestGolden converts each testdata/NAME.in.yaml, a ConfigMap. What comes of it is NAME.out.yaml, with the warnings
// as comments on top, or NAME.err.txt.
func TestGolden(t *testing.T) {
	for name, configMap := range goldenInputs(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			before := configMap.DeepCopy()
			result, err := Convert(configMap, Options{})
			g.Expect(configMap).To(Equal(before), "converting changes its input")

			output, written := ".out.yaml", describeResult(t, result)
			if err != nil {
				output, written = ".err.txt", describeErrors(t, result, err)
			} else {
				checkInvariants(t, result)
			}
			golden := filepath.Join("testdata", name+output)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				for _, old := range []string{".out.yaml", ".err.txt"} {
					_ = os.Remove(filepath.Join("testdata", name+old))
				}
				g.Expect(os.WriteFile(golden, written, 0o600)).To(Succeed())
			}
			want, readErr := os.ReadFile(golden)
			g.Expect(readErr).NotTo(HaveOccurred(), "make golden writes it; the conversion says: %v", err)
			g.Expect(string(written)).To(Equal(string(want)), "make golden rewrites it, if this is meant")
		})
	}
}

func TestEveryGoldenFileHasItsInput(t *testing.T) {
	g := NewWithT(t)
	for _, suffix := range []string{".out.yaml", ".err.txt"} {
		outputs, err := filepath.Glob(filepath.Join("testdata", "*"+suffix))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(outputs).NotTo(BeEmpty())
		for _, output := range outputs {
			g.Expect(strings.TrimSuffix(output, suffix) + ".in.yaml").To(BeAnExistingFile())
		}
	}
}

func goldenInputs(t testing.TB) map[string]*corev1.ConfigMap {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.in.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden inputs: %v", err)
	}
	inputs := make(map[string]*corev1.ConfigMap, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		configMap := &corev1.ConfigMap{}
		if err := yaml.UnmarshalStrict(data, configMap); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		inputs[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = configMap
	}
	return inputs
}

func describeResult(t testing.TB, result Result) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, warning := range result.Warnings {
		fmt.Fprintf(&out, "# warning: %s\n", warning)
	}
	manifests, err := result.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	out.Write(manifests)
	return out.Bytes()
}

func describeErrors(t testing.TB, result Result, err error) []byte {
	t.Helper()
	var problems Errors
	if !errors.As(err, &problems) {
		return []byte(err.Error() + "\n")
	}
	if len(problems) == 0 || result.Subject != nil || result.Policy != nil {
		t.Errorf("with %d errors comes %+v", len(problems), result)
	}
	var out bytes.Buffer
	for _, problem := range problems {
		fmt.Fprintln(&out, problem)
	}
	for _, warning := range result.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", warning)
	}
	return out.Bytes()
}
