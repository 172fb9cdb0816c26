package v1alpha1

import "slices"

// Recovery is how what a reason reports comes to an end. NoRecovery is for what doesn't have to.
type Recovery string

const (
	// NoRecovery: it is as it should be, or was asked for.
	NoRecovery Recovery = ""
	// Waits: an event that the operator watches for ends it, or what it looks for at short intervals.
	Waits Recovery = "Waits"
	// Retries: the operator tries again, with growing delays, and may succeed without any other change.
	Retries Recovery = "Retries"
	// Stalls: nothing but a change of the object, of one that it refers to or outside of the cluster ends it; for the latter
	// a policy is looked at again with each spec.interval.
	Stalls Recovery = "Stalls"
)

// Condition returns the type of the condition that stands beside Ready while that isn't True; "" for none.
func (r Recovery) Condition() string {
	switch r {
	case Waits, Retries:
		return ConditionReconciling
	case Stalls:
		return ConditionStalled
	default:
		return ""
	}
}

// Meaning returns a sentence that explains the recovery to users.
func (r Recovery) Meaning() string {
	switch r {
	case Waits:
		return "The operator watches for the event that ends it, or looks for it at short intervals. An object that isn't Ready because of it is Reconciling."
	case Retries:
		return "The operator tries again, with growing delays. An object that isn't Ready because of it is Reconciling."
	case Stalls:
		return "Only a change ends it: of the object, of one that it refers to, or outside of the cluster, for which a policy is looked at again with each spec.interval. An object that isn't Ready because of it is Stalled, unless something else of it is tried again."
	default:
		return "There is nothing to recover from."
	}
}

// Reason is a row of the table of Reasons.
//
// +kubebuilder:object:generate=false
type Reason struct {
	// Name is the value of the condition's or the variant's field reason.
	Name string
	// Conditions that use the reason, each after its kind, such as "RoutingPolicy Applied", or "variant", "mirror" or "warning". A policy's
	// Ready repeats the reason of the first of its other conditions that failed.
	Conditions []string
	// Recovery is how it ends.
	Recovery Recovery
	// Meaning is a sentence.
	Meaning string
	// Remedy is a sentence on what helps; "" where nothing has to be done.
	Remedy string
}

// Reasons of the conditions of Subjects and RoutingPolicies, and of a Subject's variants. The table below has their meaning.
const (
	ReasonObserved        = "Observed"
	ReasonInvalidResource = "InvalidResource"
	ReasonTooManyKinds    = "TooManyKinds"
	ReasonWatchFailed     = "WatchFailed"
	ReasonLabelMissing    = "LabelMissing"

	ReasonAvailable   = "Available"
	ReasonNotFound    = "NotFound"
	ReasonNotReady    = "NotReady"
	ReasonTerminating = "Terminating"
	// ReasonNamespaceTerminating is of a policy's condition Applied.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	ReasonUnknown              = "Unknown"

	ReasonSucceeded               = "Succeeded"
	ReasonSuspended               = "Suspended"
	ReasonSubjectNotFound         = "SubjectNotFound"
	ReasonSubjectInvalid          = "SubjectInvalid"
	ReasonVariantStateUnknown     = "VariantStateUnknown"
	ReasonVariantNotFound         = "VariantNotFound"
	ReasonInvalidWeight           = "InvalidWeight"
	ReasonCrossNamespaceReference = "CrossNamespaceReference"
	ReasonSkipped                 = "Skipped"

	ReasonVariantNotAvailable = "VariantNotAvailable"
	ReasonLimitedByWeight     = "LimitedByWeight"
	ReasonZeroPercent         = "ZeroPercent"
	ReasonNoSafeMethods       = "NoSafeMethods"
	ReasonWithdrawn           = "Withdrawn"
	ReasonAltered             = "Altered"
	ReasonMirrorRefused       = "MirrorRefused"
	ReasonNotApplied          = "NotApplied"

	ReasonParentSelectsVariant = "ParentSelectsVariant"

	ReasonInlineTemplates       = "InlineTemplates"
	ReasonResolving             = "Resolving"
	ReasonRepositoryNotAllowed  = "RepositoryNotAllowed"
	ReasonChartNotFound         = "ChartNotFound"
	ReasonInvalidVersion        = "InvalidVersion"
	ReasonVersionNotFound       = "VersionNotFound"
	ReasonForbiddenAddress      = "ForbiddenAddress"
	ReasonUnauthorized          = "Unauthorized"
	ReasonInvalidSecret         = "InvalidSecret"
	ReasonTooLarge              = "TooLarge"
	ReasonInvalidIndex          = "InvalidIndex"
	ReasonInvalidChart          = "InvalidChart"
	ReasonUnverified            = "Unverified"
	ReasonCacheUnavailable      = "CacheUnavailable"
	ReasonRepositoryUnavailable = "RepositoryUnavailable"

	ReasonDiscoveryFailed   = "DiscoveryFailed"
	ReasonRenderUnavailable = "RenderUnavailable"
	ReasonInvalidValues     = "InvalidValues"
	ReasonRenderLimit       = "RenderLimit"
	ReasonNonDeterministic  = "NonDeterministic"
	ReasonRenderFailed      = "RenderFailed"
	ReasonForbiddenManifest = "ForbiddenManifest"
	ReasonInvalidMirror     = "InvalidMirror"

	ReasonContended            = "Contended"
	ReasonOwnershipConflict    = "OwnershipConflict"
	ReasonAdoptionDiffers      = "AdoptionDiffers"
	ReasonKindNotServed        = "KindNotServed"
	ReasonBackendNotFound      = "BackendNotFound"
	ReasonRejected             = "Rejected"
	ReasonForbidden            = "Forbidden"
	ReasonApplyFailed          = "ApplyFailed"
	ReasonPruneFailed          = "PruneFailed"
	ReasonSubsetInUse          = "SubsetInUse"
	ReasonUnsupportedByGateway = "UnsupportedByGateway"
	ReasonUnsupportedByCluster = "UnsupportedByCluster"

	ReasonAccepted       = "Accepted"
	ReasonAwaitingReport = "AwaitingReport"
	ReasonNotReported    = "NotReported"
	ReasonNotAccepted    = "NotAccepted"
)

// What Reason.Conditions may hold.
const (
	ofVariant = "variant"
	ofMirror  = "mirror"
	ofWarning = "warning"
	ofSubject = "Subject " + ConditionReady
	ofPolicy  = "RoutingPolicy " + ConditionReady
	resolved  = "RoutingPolicy " + ConditionChartResolved
	rendered  = "RoutingPolicy " + ConditionRendered
	applied   = "RoutingPolicy " + ConditionApplied
	accepted  = "RoutingPolicy " + ConditionAccepted
	suspended = "RoutingPolicy " + ConditionSuspended
	contended = "RoutingPolicy " + ConditionContended
)

// Reasons are all reasons of the API but those that a gateway gives in the condition Accepted. Conditions, retries, the
// plugin's explain and docs/reasons.md are made from this table. Of an error that wraps several reasons, the one that stands
// first here counts.
var Reasons = []Reason{
	{ReasonObserved, []string{ofSubject}, NoRecovery,
		"Every resource of the Subject is watched, whether it exists or not.", ""},
	{ReasonInvalidResource, []string{ofSubject, ofVariant}, Stalls,
		"A reference can't work: its kind is cluster-scoped, it names a namespace that the Subject may not refer to or that the operator doesn't watch, or its readyWhen expression doesn't compile.",
		"Change the Subject; references to other namespaces take the chart values allowCrossNamespaceReferences and watchNamespaces."},
	{ReasonTooManyKinds, []string{ofSubject, ofVariant}, Waits,
		"The kind of a resource isn't watched, since Subjects have as many others watched as the operator's flag --max-watched-kinds allows; a kind whose objects a readyWhen.cel looks at counts as another one. Subjects that came first keep theirs. The variant counts as last known.",
		"Leave kinds out of Subjects, or raise the flag with the operator's chart value extraArgs; the operator goes on by itself."},
	{ReasonWatchFailed, []string{ofSubject, applied}, Waits,
		"A kind is not served by the cluster, the operator may not list or watch it, the apiserver fails to answer for it, or a resource can't be judged; what was last known of it holds.",
		"Correct the kind in the Subject, install its CustomResourceDefinition, or add it to the chart value appResources (or routes, for what a policy applies); where the apiserver fails for one kind only, look at that kind's conversion webhook or API service; simplify a readyWhen expression that takes too long."},
	{ReasonLabelMissing, []string{ofSubject, ofVariant}, Waits,
		"A resource exists without the label iter8.tools/detect=true, so the operator doesn't watch it, and its variant isn't available.",
		"Label the resource, which works at once: kubectl label --overwrite KIND NAME iter8.tools/detect=true. To notice that only the label is missing may take the operator up to an hour."},

	{ReasonAvailable, []string{ofVariant}, NoRecovery,
		"Every resource of the variant exists and is ready.", ""},
	{ReasonNotFound, []string{ofVariant}, Waits,
		"A resource of the variant doesn't exist.",
		"Deploy the resource, or correct its name in the Subject."},
	{ReasonNotReady, []string{ofVariant}, Waits,
		"A resource of the variant exists and is not ready.",
		"Look at the resource; the message says what it lacks."},
	{ReasonTerminating, []string{ofVariant, applied}, Waits,
		"A resource of the variant, or an object of the policy, is being deleted; such an object is applied again once it is gone.",
		"Wait; if it goes on, look which finalizer the object waits for, or which VirtualService names the subsets of a DestinationRule."},
	{ReasonNamespaceTerminating, []string{applied}, Waits,
		"The policy's namespace is being deleted and takes nothing new, so that an object of the policy which is gone already is not applied again.",
		"Wait; if it goes on, look in the namespace's status what its deletion waits for."},
	{ReasonUnknown, []string{ofVariant}, Waits,
		"It is unknown whether the variant is available, because a resource can't be read or judged.",
		"Follow the variant's message and the Subject's condition Ready."},

	{ReasonSucceeded, []string{ofPolicy, resolved, rendered, applied}, NoRecovery,
		"The step is done; in the condition Ready, the cluster holds what is rendered for the present state of the variants.", ""},
	{ReasonSuspended, []string{ofPolicy, suspended}, NoRecovery,
		"The policy's spec.suspend is set; what is applied stays as it is, mirrors included. It is Ready by what stands, and where it wasn't when it was suspended, it is Stalled until it is resumed.",
		"Unset spec.suspend to have the policy follow its Subject again, and changes of its spec applied that the message says to wait."},
	{ReasonSubjectNotFound, []string{ofPolicy, ofMirror}, Waits,
		"The Subject doesn't exist. What was applied for a Subject that was deleted is deleted; where spec.subjectRef merely leads nowhere, it stays, without mirrors.",
		"Create the Subject, or correct spec.subjectRef."},
	{ReasonSubjectInvalid, []string{ofPolicy}, Stalls,
		"The Subject is Stalled, with InvalidResource; the variant counts as last known.",
		"Correct the Subject."},
	{ReasonVariantStateUnknown, []string{ofPolicy, ofMirror}, Waits,
		"It is unknown whether a variant is available. It counts as last known; mirrors to it stand for the time of the operator's configuration (mirrors.unknownGrace), and are withheld then.",
		"Follow the Subject's status, which says what can't be read or judged."},
	{ReasonVariantNotFound, []string{ofPolicy}, Stalls,
		"The policy's spec.trigger names a variant that the Subject doesn't have.",
		"Correct spec.trigger, or add the variant to the Subject."},
	{ReasonInvalidWeight, []string{ofPolicy, ofMirror}, Waits,
		"The weight of a variant, from the annotation iter8.tools/weight or the Subject, is not a percentage, so a built-in chart mirrors nothing to the variant.",
		"Correct the weight to a whole number from 0 to 100, or remove it."},
	{ReasonCrossNamespaceReference, []string{ofPolicy, ofMirror}, Stalls,
		"The policy's spec.subjectRef names another namespace, which this operator doesn't allow or watch; what stands stays, without mirrors.",
		"Move one of the two, or set the chart value allowCrossNamespaceReferences."},

	{ReasonVariantNotAvailable, []string{ofMirror}, Waits,
		"A variant that the mirror's target belongs to is not available; where no variant lists the target and a built-in chart renders it, one that triggers the policy.",
		"Nothing has to be done: the mirror comes with the variant. The message says what the variant lacks."},
	{ReasonLimitedByWeight, []string{ofMirror}, NoRecovery,
		"The mirror asks for more requests than the weight of a variant allows.", ""},
	{ReasonZeroPercent, []string{ofMirror}, NoRecovery,
		"The mirror itself asks for no requests.", ""},
	{ReasonNoSafeMethods, []string{ofMirror}, NoRecovery,
		"Only GET, HEAD and OPTIONS are to be mirrored (mirrorUnsafeMethods is false), and the rule matches none of them.",
		"Leave mirrorUnsafeMethods out, or the mirror."},
	{ReasonWithdrawn, []string{ofMirror}, NoRecovery,
		"The policy's spec.withdrawn is set, which keeps every mirror out.",
		"Unset spec.withdrawn to have requests mirrored again."},
	{ReasonAltered, []string{ofPolicy, ofMirror}, Stalls,
		"The apiserver answered with another mirror than it was sent: an admission policy or webhook took it out, put it in, or widened it, in which case it was taken out at once. It is tried again with each spec.interval; what is put back as often as it is taken out, after 2 s at first, then ever less often, up to that interval.",
		"Look at the admission policies and webhooks for the route's kind."},
	{ReasonMirrorRefused, []string{ofPolicy, ofMirror}, Stalls,
		"A gateway that accepted the route without the mirror refused it with it, so the mirror was taken out again. It is tried anew with other inputs, else after a while: a quarter of a minute at first, then ever later, up to an hour.",
		"Read in the message what the gateway says; change the mirror, or attach the route to a gateway that takes it."},
	{ReasonNotApplied, []string{ofMirror, applied}, Waits,
		"The mirror may stand, but the route that it belongs in is not applied; of a suspended policy, an object that was applied is gone.",
		"Follow the condition Ready, which says why."},
	{ReasonSkipped, []string{resolved, rendered, applied, accepted}, NoRecovery,
		"The step was not tried, because of what the condition Ready says.",
		"Follow the reason of the condition Ready."},

	{ReasonParentSelectsVariant, []string{ofWarning}, NoRecovery,
		"The Service that clients call, which a route of the policy attaches to or has as its host, selects Pods of a variant that triggers the policy and isn't to answer clients. Requests that don't go by the route get to that variant, and all do when the route goes.",
		"Have the Service select the Pods of the variants only that are to answer clients, such as by a label version. It is looked at again with each spec.interval, and when the policy's spec changes."},

	{ReasonInlineTemplates, []string{resolved}, NoRecovery,
		"The policy brings its own templates, so there is no chart to resolve.", ""},
	{ReasonResolving, []string{resolved}, Waits,
		"The chart is being fetched for the first time.",
		"Wait; an answer, or the reason why there is none, follows within the timeout of the operator's configuration."},
	{ReasonRepositoryNotAllowed, []string{resolved}, Stalls,
		"The operator's configuration doesn't allow the repository, or spec.chart.repository is not the address of a repository.",
		"Use another repository, or have it added to the operator's chart value charts.allowedRepositories."},
	{ReasonChartNotFound, []string{resolved}, Stalls,
		"There is no chart of that name, or the repository shows it only to clients with credentials.",
		"Correct spec.chart.name; for a built-in chart, the message lists the names."},
	{ReasonInvalidVersion, []string{resolved}, Stalls,
		"The policy asks for a version that is not valid: neither a version, nor a range of versions, nor a digest.",
		"Write spec.chart.version like 0.14.x or >=0.14.0 <1.0.0."},
	{ReasonVersionNotFound, []string{resolved}, Stalls,
		"The chart exists, but in no version that spec.chart.version allows.",
		"Use a range with a version that exists; the message names one."},
	{ReasonForbiddenAddress, []string{resolved}, Stalls,
		"The repository, or an address that it leads to, is one that the operator doesn't connect to: loopback, link-local, or denied by its configuration.",
		"Use another repository; for one that you run at such an address, see the operator's chart value charts.allowedAddresses."},
	{ReasonUnauthorized, []string{resolved}, Retries,
		"The repository refuses the credentials, or wants some.",
		"Correct the Secret that spec.chart.secretRef names."},
	{ReasonInvalidSecret, []string{resolved}, Retries,
		"A Secret that spec.chart names can't be read, or lacks a key.",
		"Correct the Secret that the message names, or give the policy's ServiceAccount the right to get it; without one, the operator needs that right: the chart value charts.secrets."},
	{ReasonTooLarge, []string{resolved}, Stalls,
		"An index or a chart exceeds a limit of the operator's configuration.",
		"Make it smaller, or raise the limit that the message names."},
	{ReasonInvalidIndex, []string{resolved}, Stalls,
		"The repository's index.yaml is not valid.",
		"Make the index again with helm repo index; the message says what is wrong with it."},
	{ReasonInvalidChart, []string{resolved}, Stalls,
		"What the repository serves is not the requested chart, or holds what a chart must not: links, paths that lead out of it, or content with another digest than announced.",
		"Package the chart again and push it."},
	{ReasonUnverified, []string{resolved}, Stalls,
		"The chart is not signed with any key of the keyring that spec.chart.verify names.",
		"Sign the chart with helm package --sign, or add the signer's key to the keyring."},
	{ReasonCacheUnavailable, []string{resolved}, Retries,
		"The operator can't write to the folder where it caches charts.",
		"Look at the volume that is mounted there."},
	{ReasonRepositoryUnavailable, []string{resolved}, Retries,
		"The repository doesn't answer as it should; the last chart that it served goes on being rendered.",
		"Look at the repository; the message repeats its answer."},

	{ReasonDiscoveryFailed, []string{rendered}, Retries,
		"The apiserver didn't answer which kinds of routes it serves, which charts depend on.",
		"Look at the apiserver, and at aggregated API services that are unavailable; the message repeats the answer."},
	{ReasonRenderUnavailable, []string{rendered}, Retries,
		"The process that renders charts and templates could not be started, or was killed from outside.",
		"Look at the memory and processes that the operator's Pod may have."},
	{ReasonInvalidValues, []string{rendered}, Stalls,
		"The policy's spec.values break the chart's schema, or set the reserved key iter8.",
		"Correct the fields that the message names."},
	{ReasonRenderLimit, []string{rendered}, Stalls,
		"Rendering exceeds a limit: 10 s, 64 MiB of memory, 4 MiB of output, or the depth of recursion. The same chart and values are not rendered again.",
		"Make the templates do less; any change of the policy or of the chart is tried."},
	{ReasonNonDeterministic, []string{rendered}, Stalls,
		"The chart or templates don't render to the same twice: they use the time, random values or the order of keys.",
		"Correct the field that the message names."},
	{ReasonRenderFailed, []string{rendered}, Stalls,
		"A template doesn't parse, doesn't execute, or renders what is not a Kubernetes object.",
		"Correct the template that the message names."},
	{ReasonForbiddenManifest, []string{rendered}, Stalls,
		"A rendered object is not one that a policy may apply: its kind or namespace is not allowed, or it is rendered twice.",
		"Correct the template; further kinds take the operator's chart value routes."},

	{ReasonInvalidMirror, []string{rendered}, Stalls,
		"A mirror that was rendered can't work in any state of the variants: it has no port, a share that the API refuses, or is all that its rule has; or its rule can't be split by methods. What stands stays, without mirrors that may not stand.",
		"Correct the field that the message names."},

	{ReasonOwnershipConflict, []string{applied}, Stalls,
		"An object of that name exists and is not this policy's, so it is left alone.",
		"Rename or delete it; if nothing controls it, hand it over: kubectl annotate --overwrite KIND NAME iter8.tools/adopt=true."},
	{ReasonAdoptionDiffers, []string{applied}, Stalls,
		"An object was handed over (iter8.tools/adopt), and adopting it would change what clients get, so it is left alone. It is compared with what is rendered for it without mirrors, by a dry run; its own mirrors don't count.",
		"Change the object or what is rendered until they say the same in the fields that the message lists; it is adopted then. Or take the annotation off, and have the policy render another name."},
	{ReasonKindNotServed, []string{applied}, Waits,
		"The cluster doesn't serve a kind that was rendered.",
		"Install the kind's CustomResourceDefinition; the operator goes on by itself."},
	{ReasonBackendNotFound, []string{applied}, Waits,
		"A Service that a route is to send clients to doesn't exist, or lacks the port. What is applied stays, and mirrors that may not stand go from it as ever; the Service is looked for every 30 s. In the condition Accepted it is what a gateway reports.",
		"Create the Service, or correct the backend that the message names; the operator goes on by itself."},
	{ReasonRejected, []string{applied}, Stalls,
		"The apiserver refuses an object as invalid; it is tried again with each spec.interval, since an admission policy may have changed.",
		"Correct what the message names."},
	{ReasonForbidden, []string{applied}, Retries,
		"The operator, or the ServiceAccount that the policy names, lacks the right to write an object.",
		"Give it the right that the message names."},
	{ReasonApplyFailed, []string{applied}, Retries,
		"A write failed.",
		"Wait; if it goes on, the message has the apiserver's answer."},
	{ReasonPruneFailed, []string{applied}, Retries,
		"An object that is no longer rendered could not be deleted, or so many that the inventory (status.applied, 128 objects) has no room for new ones.",
		"Wait; if the account lacks the right to delete, give it that right."},
	{ReasonSubsetInUse, []string{applied}, Stalls,
		"A DestinationRule that is no longer rendered, or is rendered without a subset, stays, since a VirtualService of the policy (of anyone's in the namespace, where the rule is no longer rendered) names a subset of it that no other rule defines. Its clients would be answered with 503.",
		"Have the VirtualService name other subsets, or render a DestinationRule that defines the one that the message names. For another host, render a DestinationRule of another name. What another owner defines in place of a rule that is still rendered the operator doesn't know: delete the policy's DestinationRule then. A rule that is no longer rendered is looked at again with each interval."},
	{ReasonContended, []string{applied, ofPolicy, contended}, Waits,
		"Another manager changes an object back as often as the operator puts it right, three times within a minute or more. It is put right ever less often, after 10 s at first and every 5 minutes at last, until it is left alone for a minute (a DestinationRule whose subsets were changed is put right each second); mirrors that may not stand are still taken out, after a second at the latest.",
		"Have only one of the two write the object: leave it out of what Flux applies, or name its fields in the ignoreDifferences of Argo CD."},
	{ReasonUnsupportedByGateway, []string{ofPolicy, ofMirror}, Stalls,
		"A parent's GatewayClass publishes its features and lacks one that the mirror needs (mirrors, several in a rule, or a percentage), or its implementation is known to mirror otherwise than routes say.",
		"Leave the mirror or its percentage out, or attach the route to a Gateway of a class that has the feature."},
	{ReasonUnsupportedByCluster, []string{applied}, Stalls,
		"The cluster's CustomResourceDefinition lacks a field of the object, such as a mirror's percent; without it more would be mirrored than was asked for, so the object is left as it is.",
		"Install a newer CustomResourceDefinition, or correct the field that the message names."},

	{ReasonAccepted, []string{accepted}, NoRecovery,
		"Every parent of every applied route reports Accepted and ResolvedRefs, on the route as it is now.", ""},
	{ReasonAwaitingReport, []string{accepted}, Waits,
		"A parent hasn't reported on the route as it is now; the policy is Ready all the same.",
		"Wait; if it goes on, look whether the parent exists and its controller runs."},
	{ReasonNotReported, []string{accepted}, NoRecovery,
		"No controller reports on the object: it is a route without parentRefs, or one of Istio's own kinds while Istio's analysis (PILOT_ENABLE_ANALYSIS) is off.",
		"Use istioctl analyze to learn what Istio makes of the object."},
	{ReasonNotAccepted, []string{accepted}, Waits,
		"The gateway or mesh refuses the object, without a reason of its own.",
		"Read the message, which repeats what it reports."},
}

// LookupReason returns the row of a reason, and reports whether there is one: gateways have reasons of their own.
func LookupReason(name string) (Reason, bool) {
	i := slices.IndexFunc(Reasons, func(r Reason) bool { return r.Name == name })
	if i < 0 {
		return Reason{}, false
	}
	return Reasons[i], true
}
