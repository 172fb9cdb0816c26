package chart

import (
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/controllers/reason"
)

// What errors about charts wrap. Each carries its reason.
var (
	ErrRepositoryNotAllowed  = fault.ErrRepositoryNotAllowed
	ErrChartNotFound         = fault.ErrChartNotFound
	ErrInvalidVersion        = fault.ErrInvalidVersion
	ErrVersionNotFound       = fault.ErrVersionNotFound
	ErrRepositoryUnavailable = fault.ErrRepositoryUnavailable
	ErrForbiddenAddress      = fault.ErrForbiddenAddress
	ErrUnauthorized          = fault.ErrUnauthorized
	ErrInvalidSecret         = fault.ErrInvalidSecret
	ErrTooLarge              = fault.ErrTooLarge
	ErrInvalidIndex          = fault.ErrInvalidIndex
	ErrInvalidArchive        = fault.ErrInvalidArchive
	ErrUnverified            = fault.ErrUnverified
	ErrCacheUnavailable      = fault.ErrCacheUnavailable
)

// Reason returns the reason of the condition ChartResolved for an error of this package.
func Reason(err error) string {
	if name, ok := reason.Of(err); ok {
		return name
	}
	return iter8v1alpha1.ReasonRepositoryUnavailable
}

// retries reports whether a chart is tried again soon after an error, ever less often. After any other error it is
// resolved again with the next interval.
func retries(err error) bool {
	r, _ := iter8v1alpha1.LookupReason(Reason(err))
	return r.Recovery == iter8v1alpha1.Retries
}
