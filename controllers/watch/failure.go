package watch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failure returns what the error of a try to do something with a target tells of the target: what the cluster refuses, or
// ErrUnavailable.
func failure(what string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrClusterScoped):
		return err
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		return ErrNotServed
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fmt.Errorf("may not %s: %w", what, err)
	default:
		return &fault{words: stableWords(err), cause: err}
	}
}

// fault is an ErrUnavailable whose words are those of its cause, without what differs from try to try.
type fault struct {
	words string
	cause error
}

func (f *fault) Error() string { return f.words }

func (f *fault) Unwrap() []error { return []error{ErrUnavailable, f.cause} }

// volatile is what differs from try to try in the words of an error: this side's port, and what HTTP/2 counts.
var volatile = regexp.MustCompile(`\S+:\d+->|; LastStreamID=\d+|stream ID \d+; `)

// stableWords returns the words of a fault. They have no address that was asked for, since its parameters are different ones each
// time, and nothing of what another than the apiserver answers, as a load balancer that numbers its error pages.
func stableWords(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		answer := status.Status()
		text := fmt.Sprintf("the apiserver answers with status %d", answer.Code)
		if apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
			return text + " " + http.StatusText(int(answer.Code))
		}
		return text + ": " + volatile.ReplaceAllString(answer.Message, "")
	}
	var request *url.Error
	if !errors.As(err, &request) {
		return volatile.ReplaceAllString(err.Error(), "")
	}
	cause := request.Err
	var operation *net.OpError
	if errors.As(cause, &operation) {
		cause = operation.Err
	}
	var call *os.SyscallError
	if errors.As(cause, &call) {
		cause = call.Err
	}
	return "the apiserver can't be reached: " + volatile.ReplaceAllString(cause.Error(), "")
}
