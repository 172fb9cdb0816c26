package mesh

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// podNetwork holds the addresses that kwok gives to Pods.
const podNetwork = "10.244.0.0/16"

// addressScript makes this host answer to the addresses of Pods until its standard input ends, which it does
// when the tests' process dies, however it dies. A route that an earlier run has left is as good.
const addressScript = `ip route replace local "$1" dev lo || exit; echo claimed; cat >/dev/null; ip route del local "$1" dev lo`

// claimPodAddresses gives the addresses of Pods to this host, so that servers can listen on them. The
// function it returns gives them back.
func claimPodAddresses() (release func() error, err error) {
	script := exec.Command("/bin/sh", "-c", addressScript, "addresses", podNetwork)
	script.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	var complaint bytes.Buffer
	script.Stderr = &complaint
	stdin, err := script.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := script.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := script.Start(); err != nil {
		return nil, fmt.Errorf("giving the addresses of Pods, %s, to this host: %w", podNetwork, err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		_ = script.Wait()
		return nil, fmt.Errorf("the mesh suite must be allowed to give the addresses of Pods, %s, to this host by `ip route`, as root is: %s",
			podNetwork, strings.Join(strings.Fields(complaint.String()), " "))
	}
	return func() error {
		if err := stdin.Close(); err != nil {
			return err
		}
		if err := script.Wait(); err != nil {
			return fmt.Errorf("taking the addresses of Pods back from this host: %w: %s", err, complaint.String())
		}
		return nil
	}, nil
}
