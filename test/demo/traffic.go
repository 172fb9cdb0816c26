package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/dataplane"
)

const (
	// outcomeDescriptor is where the inner process reads the outcome of the build.
	outcomeDescriptor = 3
	// callTimeout is how long a client waits for an answer.
	callTimeout = 5 * time.Second
	// ciVariable is "true" in continuous integration.
	ciVariable = "CI"
)

// errNoTraffic is in errors that say why no requests can be sent.
var errNoTraffic = errors.New("no requests can be sent")

// build is that of istiod and Envoy, as the inner process sees it.
type build struct {
	done chan struct{} // closed when it has ended
	// failure is why it has failed, to be read after done; "" of one that has succeeded.
	failure string
}

// followBuild reads the outcome of a build until its end.
func followBuild(outcome io.Reader) *build {
	b := &build{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		failure, err := io.ReadAll(outcome)
		if b.failure = string(failure); err != nil {
			b.failure = err.Error()
		}
	}()
	return b
}

// traffic is what requests go through and end at: a client, the Envoy in its Pod, which istiod configures, and servers in the place
// of Pods' containers. All but the build is nil until the first requests are to be sent.
type traffic struct {
	build  *build
	pods   *dataplane.Pods
	envoy  *dataplane.Envoy
	client *dataplane.Caller
}

// inside is the inner process: it runs the demo in the network namespace that it was started in, and returns the exit code.
func inside(s *stage) int {
	if err := dataplane.Isolate(); err != nil {
		return notIsolatedCode
	}
	syscall.CloseOnExec(outcomeDescriptor)
	s.traffic = &traffic{build: followBuild(os.NewFile(outcomeDescriptor, "outcome"))}
	return perform(s, false)
}

// showRoutesOnly says why there are no requests. In continuous integration that is an error.
func (s *stage) showRoutesOnly(reason error) error {
	s.traffic = nil
	if os.Getenv(ciVariable) == "true" {
		return reason
	}
	s.say("Only the routes are shown, since " + reason.Error() + ".")
	return nil
}

// announceTraffic says that the build is still under way, if it is.
func (s *stage) announceTraffic() error {
	if s.traffic == nil {
		return nil
	}
	select {
	case <-s.traffic.build.done:
		return s.judgeBuild()
	default:
		s.say("Meanwhile istiod is being compiled, and an Envoy downloaded, for the requests of later steps.")
		return nil
	}
}

// awaitBuild waits for the end of the build.
func (s *stage) awaitBuild(ctx context.Context) error {
	select {
	case <-s.traffic.build.done:
		return s.judgeBuild()
	default:
		s.say("\nWaiting for istiod to be compiled, which takes about 11 minutes the first time, and for an Envoy to be downloaded …")
	}
	select {
	case <-s.traffic.build.done:
		return s.judgeBuild()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *stage) judgeBuild() error {
	if s.traffic.build.failure == "" {
		return nil
	}
	return s.showRoutesOnly(fmt.Errorf("%w: %s", errNoTraffic, s.traffic.build.failure))
}

// startTraffic starts what requests take, unless it has been started.
func (s *stage) startTraffic(ctx context.Context, l load) error {
	t := s.traffic
	if t.client != nil {
		return nil
	}
	s.say("\nStarting istiod, an Envoy in the Pod of a client, and servers in the place of the app's containers …")
	begin := time.Now()
	var err error
	if t.pods, err = dataplane.StartPods(s.cluster.Config()); err != nil {
		return err
	}
	istiod, err := s.cluster.StartIstiod(ctx)
	if err != nil {
		return err
	}
	if t.envoy, err = dataplane.StartSidecar(ctx, s.cluster, istiod, metav1.NamespaceDefault, l.port); err != nil {
		return err
	}
	t.client = dataplane.NewCaller(t.envoy.Address, l.authority(), dataplane.HTTP1)
	t.client.SetTimeout(callTimeout)
	s.success(fmt.Sprintf("istiod has configured the Envoy, after %.0f s", time.Since(begin).Seconds()))
	return nil
}

// routing asks what the Envoy does with the client's requests.
func (t *traffic) routing(ctx context.Context, _ client.Client) (string, error) {
	routing, err := t.envoy.Routing(ctx, t.client.Host)
	if err != nil {
		return "", err
	}
	return t.pods.Describe(routing), nil
}

// stop ends what isn't the cluster's to end.
func (t *traffic) stop() error {
	if t == nil || t.pods == nil {
		return nil
	}
	if t.client != nil {
		t.client.Close()
	}
	return t.pods.Stop()
}
