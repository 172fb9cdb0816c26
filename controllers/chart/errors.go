package chart

import (
	"errors"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/reason"
)

// What errors about charts wrap; package reason says of each what it means.
var (
	ErrUnsupportedRepository = reason.ErrUnsupportedRepository
	ErrChartNotFound         = reason.ErrChartNotFound
	ErrInvalidVersion        = reason.ErrInvalidVersion
	ErrVersionNotFound       = reason.ErrVersionNotFound
	ErrRepositoryUnavailable = reason.ErrRepositoryUnavailable
	ErrForbiddenAddress      = reason.ErrForbiddenAddress
	ErrUnauthorized          = reason.ErrUnauthorized
	ErrInvalidSecret         = reason.ErrInvalidSecret
	ErrTooLarge              = reason.ErrTooLarge
	ErrInvalidIndex          = reason.ErrInvalidIndex
	ErrInvalidArchive        = reason.ErrInvalidArchive
	ErrUnverified            = reason.ErrUnverified
	ErrCacheUnavailable      = reason.ErrCacheUnavailable
)

// reasons are those of the condition ChartResolved. Of an error that wraps several, the first counts.
var reasons = []struct {
	sentinel error
	reason   string
}{
	{ErrUnsupportedRepository, iter8v1alpha1.ReasonUnsupportedRepository},
	{ErrChartNotFound, iter8v1alpha1.ReasonChartNotFound},
	{ErrInvalidVersion, iter8v1alpha1.ReasonInvalidVersion},
	{ErrVersionNotFound, iter8v1alpha1.ReasonVersionNotFound},
	{ErrForbiddenAddress, iter8v1alpha1.ReasonForbiddenAddress},
	{ErrUnauthorized, iter8v1alpha1.ReasonUnauthorized},
	{ErrInvalidSecret, iter8v1alpha1.ReasonInvalidSecret},
	{ErrTooLarge, iter8v1alpha1.ReasonTooLarge},
	{ErrInvalidIndex, iter8v1alpha1.ReasonInvalidIndex},
	{ErrInvalidArchive, iter8v1alpha1.ReasonInvalidChart},
	{ErrUnverified, iter8v1alpha1.ReasonUnverified},
	{ErrCacheUnavailable, iter8v1alpha1.ReasonCacheUnavailable},
	{ErrRepositoryUnavailable, iter8v1alpha1.ReasonRepositoryUnavailable},
}

// passing are the errors that end without anybody changing the policy, so that trying again soon makes sense.
var passing = []error{ErrRepositoryUnavailable, ErrUnauthorized, ErrInvalidSecret, ErrCacheUnavailable}

// Reason gives the reason of the condition ChartResolved for an error of this package.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.sentinel) {
			return r.reason
		}
	}
	return iter8v1alpha1.ReasonRepositoryUnavailable
}

// Passes tells whether an error of this package may end by itself: the chart is tried again, ever less often. What
// doesn't pass is looked at again with each interval.
func Passes(err error) bool {
	for _, sentinel := range passing {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
