package v1alpha1

// Condition types. All are of positive polarity but Reconciling and Stalled, which are there only while
// they are True: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md.
const (
	// ConditionReady sums the others up: True means that the object does what its spec says.
	ConditionReady = "Ready"
	// ConditionReconciling is there while the operator waits for something that it expects to change by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is there while the spec can't work as it stands; the operator doesn't retry
	// until the object, or one that it refers to, is changed.
	ConditionStalled = "Stalled"
	// ConditionChartResolved tells whether the policy's chart was found, and in which version.
	ConditionChartResolved = "ChartResolved"
	// ConditionRendered tells whether the chart or templates gave manifests that the policy may apply.
	ConditionRendered = "Rendered"
	// ConditionApplied tells whether the cluster holds what was rendered.
	ConditionApplied = "Applied"
	// ConditionAccepted tells whether the gateways have accepted what is applied. Its reason is the gateway's own
	// where it is False.
	ConditionAccepted = "Accepted"
)

// Reasons of a Subject's conditions.
const (
	// ReasonObserved: every resource of the Subject is watched, whether it is there or not.
	ReasonObserved = "Observed"
	// ReasonWatchFailed: a resource's kind is not served by the cluster or can't be listed, or the resource can't
	// be judged; the message repeats the answer. What was known of its variant stays.
	ReasonWatchFailed = "WatchFailed"
	// ReasonInvalidResource: a reference that can't work: a kind that is cluster-scoped, another namespace
	// without leave, or a readyWhen expression that doesn't compile.
	ReasonInvalidResource = "InvalidResource"
)

// Reasons of a variant in a Subject's status; ReasonLabelMissing is one of the Subject's Ready condition too.
const (
	// ReasonAvailable: every resource of the variant exists and is ready.
	ReasonAvailable = "Available"
	// ReasonNotFound: a resource doesn't exist.
	ReasonNotFound = "NotFound"
	// ReasonLabelMissing: a resource exists without the label iter8.tools/detect=true, so nobody watches it.
	ReasonLabelMissing = "LabelMissing"
	// ReasonTerminating: a resource is being deleted.
	ReasonTerminating = "Terminating"
	// ReasonNotReady: a resource exists and is not ready.
	ReasonNotReady = "NotReady"
	// ReasonUnknown: nobody can tell, because the resource can't be read or judged.
	ReasonUnknown = "Unknown"
)

// Reasons of a RoutingPolicy's conditions. Each is used by the condition in whose group it stands, and by
// Ready, which repeats the first condition that isn't True.
const (
	// ReasonSucceeded: done, nothing to report.
	ReasonSucceeded = "Succeeded"
	// ReasonSuspended: spec.suspend is set; what is applied stays as it is.
	ReasonSuspended = "Suspended"
	// ReasonSubjectNotFound: the Subject doesn't exist; nothing of the policy is applied without it.
	ReasonSubjectNotFound = "SubjectNotFound"
	// ReasonSubjectInvalid: the Subject is Stalled; what is applied stays.
	ReasonSubjectInvalid = "SubjectInvalid"
	// ReasonVariantUnknown: a triggering variant can't be judged; what was last known of it holds.
	ReasonVariantUnknown = "VariantUnknown"
	// ReasonUnknownVariant: spec.trigger names a variant that the Subject doesn't have.
	ReasonUnknownVariant = "UnknownVariant"
	// ReasonCrossNamespaceReference: the policy refers to another namespace, which this operator doesn't allow.
	ReasonCrossNamespaceReference = "CrossNamespaceReference"

	// ReasonInlineTemplates (ChartResolved): the policy brings its own templates.
	ReasonInlineTemplates = "InlineTemplates"
	// ReasonUnsupportedRepository (ChartResolved): the operator's configuration doesn't let the repository be used.
	ReasonUnsupportedRepository = "UnsupportedRepository"
	// ReasonChartNotFound (ChartResolved): no chart of that name.
	ReasonChartNotFound = "ChartNotFound"
	// ReasonVersionNotFound (ChartResolved): no version of the chart is in the range.
	ReasonVersionNotFound = "VersionNotFound"
	// ReasonInvalidVersion (ChartResolved): the range is no semver range.
	ReasonInvalidVersion = "InvalidVersion"

	// ReasonResolving (ChartResolved): the chart is being fetched for the first time.
	ReasonResolving = "Resolving"
	// ReasonRepositoryUnavailable (ChartResolved): the repository doesn't answer as it should; it is tried again. What
	// was applied stays, and the last chart that it served goes on being rendered.
	ReasonRepositoryUnavailable = "RepositoryUnavailable"
	// ReasonForbiddenAddress (ChartResolved): the repository's host is at an address that the operator doesn't connect
	// to.
	ReasonForbiddenAddress = "ForbiddenAddress"
	// ReasonUnauthorized (ChartResolved): the repository doesn't take the credentials, or wants some.
	ReasonUnauthorized = "Unauthorized"
	// ReasonInvalidSecret (ChartResolved): a Secret that the chart's reference names can't be read, or doesn't hold what
	// it should.
	ReasonInvalidSecret = "InvalidSecret"
	// ReasonTooLarge (ChartResolved): an index or a chart passes a limit of the operator's configuration.
	ReasonTooLarge = "TooLarge"
	// ReasonInvalidIndex (ChartResolved): the repository's index.yaml is none.
	ReasonInvalidIndex = "InvalidIndex"
	// ReasonInvalidChart (ChartResolved): what was served is not the chart that was asked for, or holds what a chart
	// must not: links, paths that lead out of it, another digest than was announced.
	ReasonInvalidChart = "InvalidChart"
	// ReasonUnverified (ChartResolved): nobody whom spec.chart.verify trusts has signed the chart.
	ReasonUnverified = "Unverified"
	// ReasonCacheUnavailable (ChartResolved): the folder where the operator keeps charts can't be written.
	ReasonCacheUnavailable = "CacheUnavailable"

	// ReasonInvalidValues (Rendered): the values don't fit the chart's schema, or set the reserved key iter8.
	ReasonInvalidValues = "InvalidValues"
	// ReasonRenderFailed (Rendered): a template doesn't parse, doesn't execute, or renders no Kubernetes object.
	ReasonRenderFailed = "RenderFailed"
	// ReasonRenderLimit (Rendered): rendering takes more time, memory, recursion or output than it may, or the process
	// that does it died of it. The same chart and values are not tried again.
	ReasonRenderLimit = "RenderLimit"
	// ReasonNonDeterministic (Rendered): rendered twice, the chart or templates don't give the same: they use the
	// time, random values or the order of keys.
	ReasonNonDeterministic = "NonDeterministic"
	// ReasonForbiddenManifest (Rendered): what was rendered is not what a policy may apply.
	ReasonForbiddenManifest = "ForbiddenManifest"

	// ReasonOwnershipConflict (Applied): an object of that name exists and is not this policy's; it is left alone.
	ReasonOwnershipConflict = "OwnershipConflict"
	// ReasonKindNotServed (Applied): the cluster doesn't serve a kind that was rendered.
	ReasonKindNotServed = "KindNotServed"
	// ReasonRejected (Applied): the apiserver refuses an object as invalid.
	ReasonRejected = "Rejected"
	// ReasonForbidden (Applied): the account that writes has not the right to.
	ReasonForbidden = "Forbidden"
	// ReasonApplyFailed (Applied): a write failed and is retried.
	ReasonApplyFailed = "ApplyFailed"
	// ReasonPruneFailed (Applied): an object that left the render could not be deleted, or so many of them that the
	// inventory has no room for new ones; it is retried.
	ReasonPruneFailed = "PruneFailed"
	// ReasonUnsupportedByGateway (Applied): the GatewayClass of a parent doesn't list a feature that the route takes.
	ReasonUnsupportedByGateway = "UnsupportedByGateway"
	// ReasonUnsupportedByCluster (Applied): the cluster's CustomResourceDefinition lacks a field of the route.
	ReasonUnsupportedByCluster = "UnsupportedByCluster"

	// ReasonAccepted (Accepted): every parent of every applied route has accepted it as it is now.
	ReasonAccepted = "Accepted"
	// ReasonAwaitingReport (Accepted): a parent hasn't reported on the route as it is now.
	ReasonAwaitingReport = "AwaitingReport"
	// ReasonNotReported (Accepted): nobody reports on the object: it has no parent, or is one of Istio's own, which
	// Istio only reports on where its analysis is turned on.
	ReasonNotReported = "NotReported"
	// ReasonNotAccepted (Accepted): whoever routes by the object refuses it, without a reason of its own.
	ReasonNotAccepted = "NotAccepted"

	// ReasonSkipped (Rendered, Applied, Accepted): an earlier step of the policy failed; what is applied stays.
	ReasonSkipped = "Skipped"
)
