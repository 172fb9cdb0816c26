// Package reason holds what errors about charts wrap, so that the many places where a chart can fail agree on
// the few things that a person can do about it.
package reason

import "errors"

// None of these mends itself, unless it says so: the policy must change, or the repository, or the operator.
var (
	// ErrUnsupportedRepository: the operator's configuration doesn't let the repository be used, or its address is
	// no address of a repository.
	ErrUnsupportedRepository = errors.New("unsupported repository")
	// ErrChartNotFound: the repository works, and has no chart of that name.
	ErrChartNotFound = errors.New("chart not found")
	// ErrInvalidVersion: what the policy asks for is neither a version, a range of them nor a digest.
	ErrInvalidVersion = errors.New("invalid version range")
	// ErrVersionNotFound: the chart is there, in no version that the policy asks for.
	ErrVersionNotFound = errors.New("version not found")
	// ErrRepositoryUnavailable: the repository doesn't answer as it should. It is tried again.
	ErrRepositoryUnavailable = errors.New("repository unavailable")
	// ErrForbiddenAddress: a host name leads to an address that the operator doesn't connect to.
	ErrForbiddenAddress = errors.New("forbidden address")
	// ErrUnauthorized: the repository doesn't take the credentials, or wants some. It is tried again.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrInvalidSecret: a Secret that the policy refers to can't be read, or doesn't hold what it should. It is tried
	// again.
	ErrInvalidSecret = errors.New("invalid secret")
	// ErrTooLarge: a limit of the operator's configuration is passed.
	ErrTooLarge = errors.New("too large")
	// ErrInvalidIndex: what the repository has for an index.yaml is none.
	ErrInvalidIndex = errors.New("invalid index")
	// ErrInvalidArchive: what was served is not the chart that was asked for, or holds what a chart must not.
	ErrInvalidArchive = errors.New("invalid chart")
	// ErrUnverified: the policy asks for a signed chart, and nobody whom it trusts has signed this one.
	ErrUnverified = errors.New("unverified chart")
	// ErrCacheUnavailable: the folder of the cache can't be written. It is tried again.
	ErrCacheUnavailable = errors.New("cache unavailable")
)
