// Package fault holds what errors about charts wrap, so that the many places where a chart can fail agree on
// the few things that a person can do about it.
package fault

import (
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/reason"
)

// Each carries the reason of the condition ChartResolved, whose meaning iter8v1alpha1.Reasons has.
var (
	ErrRepositoryNotAllowed  = reason.New(iter8v1alpha1.ReasonRepositoryNotAllowed, "repository not allowed")
	ErrChartNotFound         = reason.New(iter8v1alpha1.ReasonChartNotFound, "chart not found")
	ErrInvalidVersion        = reason.New(iter8v1alpha1.ReasonInvalidVersion, "invalid version range")
	ErrVersionNotFound       = reason.New(iter8v1alpha1.ReasonVersionNotFound, "version not found")
	ErrRepositoryUnavailable = reason.New(iter8v1alpha1.ReasonRepositoryUnavailable, "repository unavailable")
	ErrForbiddenAddress      = reason.New(iter8v1alpha1.ReasonForbiddenAddress, "forbidden address")
	ErrUnauthorized          = reason.New(iter8v1alpha1.ReasonUnauthorized, "unauthorized")
	ErrInvalidSecret         = reason.New(iter8v1alpha1.ReasonInvalidSecret, "invalid secret")
	ErrTooLarge              = reason.New(iter8v1alpha1.ReasonTooLarge, "too large")
	ErrInvalidIndex          = reason.New(iter8v1alpha1.ReasonInvalidIndex, "invalid index")
	ErrInvalidArchive        = reason.New(iter8v1alpha1.ReasonInvalidChart, "invalid chart")
	ErrUnverified            = reason.New(iter8v1alpha1.ReasonUnverified, "unverified chart")
	ErrCacheUnavailable      = reason.New(iter8v1alpha1.ReasonCacheUnavailable, "cache unavailable")
)
