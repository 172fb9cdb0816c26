package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"iter8.tools/operator/controllers/chart/fault"
)

// StatusError is an answer other than 200.
type StatusError struct {
	// Code of the answer.
	Code int
}

func (e *StatusError) Error() string { return fmt.Sprintf("the server answers %d", e.Code) }

// The errors below come up under libraries that wrap them in sentences of their own.
type (
	addressError   struct{ what string }
	redirectsError struct{ limit int }
	timeoutError   struct{ limit time.Duration }
	sizeError      struct{ limit int64 }
	schemeError    struct{}
	realmError     struct{}
)

func (e *addressError) Error() string   { return e.what }
func (e *redirectsError) Error() string { return fmt.Sprintf("more than %d redirects", e.limit) }
func (e *timeoutError) Error() string   { return fmt.Sprintf("no complete answer within %s", e.limit) }
func (e *sizeError) Error() string      { return "more than " + Size(e.limit) }
func (e *schemeError) Error() string    { return "neither https:// nor, where that is allowed, http://" }
func (e *realmError) Error() string     { return "another owner's host" }

// Timeout is the cause of a context's end that Explain tells of.
func Timeout(limit time.Duration) error { return &timeoutError{limit} }

// TooLarge is what Explain makes a limit of the configuration of.
func TooLarge(limit int64) error { return &sizeError{limit} }

// Status is the code of the answer that an error tells of, or 0.
func Status(err error) int {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		return e.StatusCode
	}
	return 0
}

// Size writes a number of bytes as a configuration has it.
func Size(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

// Explain tells what went wrong at an address, in words that are the same each time: no addresses and ports of
// connections, no times, and nothing that the server wrote. ctx is the request's: it knows why it ended.
func Explain(ctx context.Context, address string, err error) error {
	if errors.Is(err, fault.ErrCacheUnavailable) {
		return err // what was written to, not what was read from
	}
	text, kind := explain(ctx, err)
	if code := Status(err); code != 0 {
		return fmt.Errorf("%w: %s: %w%s", kind, Public(address), &StatusError{code}, text)
	}
	return fmt.Errorf("%w: %s: %s", kind, Public(address), text)
}

func explain(ctx context.Context, err error) (string, error) {
	var (
		forbidden *addressError
		size      *sizeError
	)
	switch {
	case Status(err) != 0:
		return explainStatus(Status(err))
	case errors.As(err, &forbidden):
		return fmt.Sprintf("its host name, or that of a redirect, leads to an address that is %s, which the operator doesn't connect to; where it should, charts.allowedAddresses of its configuration can say so",
			forbidden.what), fault.ErrForbiddenAddress
	case errors.As(err, &size):
		return fmt.Sprintf("it is larger than the %s that charts.limits of the operator's configuration allows", Size(size.limit)), fault.ErrTooLarge
	case errors.Is(err, errdef.ErrNotFound):
		return "there is nothing at this address", fault.ErrRepositoryUnavailable
	case isAny[*realmError](err):
		return "the registry sends its clients to the host of another owner for a token, or for what only a token gives; credentials don't go there", fault.ErrUnauthorized
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return "the registry wants credentials: spec.chart.secretRef must name a Secret with some that it takes", fault.ErrUnauthorized
	case isAny[*schemeError](err):
		return "it leads to an address without TLS (http://), which this operator was not configured to use (charts.allowInsecure)", fault.ErrRepositoryNotAllowed
	}
	return explainConnection(ctx, err), fault.ErrRepositoryUnavailable
}

// explainStatus gives what follows the status.
func explainStatus(code int) (string, error) {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return ": spec.chart.secretRef must name a Secret with credentials that it takes", fault.ErrUnauthorized
	case http.StatusNotFound:
		return ": there is nothing at this address", fault.ErrRepositoryUnavailable
	default:
		return "", fault.ErrRepositoryUnavailable
	}
}

func explainConnection(ctx context.Context, err error) string {
	var (
		timeout   *timeoutError
		redirects *redirectsError
		dns       *net.DNSError
	)
	switch {
	case errors.As(context.Cause(ctx), &timeout):
		return timeout.Error()
	case errors.As(err, &redirects):
		return redirects.Error()
	case errors.As(err, &dns) && dns.IsNotFound:
		return "there is no host of this name"
	case errors.As(err, &dns):
		return "its host name can't be resolved"
	case errors.Is(err, http.ErrSchemeMismatch), isAny[tls.RecordHeaderError](err):
		return "the server doesn't speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection is closed before the answer is complete"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "there is no way to its network"
	case isTimeout(err):
		return "the server doesn't answer"
	}
	if text := explainCertificate(err); text != "" {
		return text
	}
	return "it can't be fetched"
}

func explainCertificate(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate is expired, or not yet valid"
	case isAny[x509.HostnameError](err):
		return "the server's certificate is for another host name"
	case isAny[x509.UnknownAuthorityError](err):
		return "the server's certificate is signed by an authority that is not known; spec.chart.caSecretRef may name a Secret with its ca.crt"
	case isAny[*tls.CertificateVerificationError](err), isAny[x509.CertificateInvalidError](err):
		return "the server's certificate is not valid"
	case isAny[tls.AlertError](err):
		return "the server refuses the TLS connection"
	}
	return ""
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isAny[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
