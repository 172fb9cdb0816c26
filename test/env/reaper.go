package env

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// reaperScript waits for the end of its standard input, which comes when the process that holds the other
// end dies, however it dies. Then it kills every process of which the folder holds the id, with its group.
// $1 is that folder, $2 the directory to remove afterwards, or nothing.
const reaperScript = `
cat >/dev/null
for f in "$1"/*; do kill -s KILL -- "-$(basename "$f")" 2>/dev/null; done
[ -z "$2" ] || rm -rf "$2"
`

// launchScript notes its own process id for the reaper, in the folder of ids, and becomes the program, with
// its output in a file. It is what envtest starts for etcd and kube-apiserver, whose ids it keeps to itself.
// envtest first reads the --help of each; those processes are not worth a note.
const launchScript = `#!/bin/sh
[ "$1" != --help ] || exec %[2]q "$@"
touch %[1]q/$$
exec %[2]q "$@" >>%[3]q 2>&1
`

// reaper is a child process that outlives this one for a moment, to kill what it left behind: a test binary
// that runs into its timeout, or is killed, has no chance to call Stop. The kernel's parent death signal
// would not do: it can't be set for the processes that envtest starts, and is Linux's alone.
type reaper struct {
	ids   string // folder of one empty file for each process, named by its id
	cmd   *exec.Cmd
	stdin io.Closer
}

// startReaper starts the reaper of an Environment's directory.
func startReaper(dir string, removeDir bool) (*reaper, error) {
	r := &reaper{ids: filepath.Join(dir, "pids")}
	if err := os.RemoveAll(r.ids); err != nil {
		return nil, fmt.Errorf("removing the process ids of an earlier control plane: %w", err)
	}
	if err := os.Mkdir(r.ids, 0o750); err != nil {
		return nil, fmt.Errorf("making the folder of process ids: %w", err)
	}
	remove := ""
	if removeDir {
		remove = dir
	}
	r.cmd = exec.Command("/bin/sh", "-c", reaperScript, "reaper", r.ids, remove)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	r.stdin = stdin
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the reaper: %w", err)
	}
	return r, nil
}

// launcher writes a script that runs a program under the reaper's eyes, and returns its path.
func (r *reaper) launcher(program, logFile string) (string, error) {
	script := filepath.Join(filepath.Dir(r.ids), "run-"+filepath.Base(program))
	err := os.WriteFile(script, fmt.Appendf(nil, launchScript, r.ids, program, logFile), 0o700)
	if err != nil {
		return "", fmt.Errorf("writing what starts %s: %w", filepath.Base(program), err)
	}
	return script, nil
}

// watch makes the reaper kill the process group when this process dies.
func (r *reaper) watch(pid int) {
	// Without the file, nothing is lost but the cleaning up after a crash.
	_ = os.WriteFile(filepath.Join(r.ids, strconv.Itoa(pid)), nil, 0o600)
}

// unwatch makes the reaper forget a process that has ended.
func (r *reaper) unwatch(pid int) {
	_ = os.Remove(filepath.Join(r.ids, strconv.Itoa(pid)))
}

// dismiss ends the reaper without its having killed anything.
func (r *reaper) dismiss() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	_ = r.cmd.Wait() // says that it was killed
	_ = r.stdin.Close()
}
