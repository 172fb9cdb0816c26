package v1alpha1

// Condition types. All are of positive polarity but Reconciling, Stalled and Suspended, which are there only while
// they are True: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md.
const (
	// ConditionReady sums the others up: True means that the object does what its spec says.
	ConditionReady = "Ready"
	// ConditionReconciling is there while the operator waits for an event, or tries again; see Recovery.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is there while the spec can't work as it stands; the operator doesn't retry
	// until the object, or one that it refers to, is changed; see Recovery.
	ConditionStalled = "Stalled"
	// ConditionSuspended is there while a policy's spec.suspend is set. The conditions of the phases are those of what stands, as of the
	// generation that they name, and so is Ready; one that isn't Ready is Stalled, since nothing is tried before it is resumed.
	ConditionSuspended = "Suspended"
	// ConditionChartResolved reports whether the policy's chart was found, and in which version.
	ConditionChartResolved = "ChartResolved"
	// ConditionRendered reports whether the chart or templates rendered manifests that the policy may apply.
	ConditionRendered = "Rendered"
	// ConditionApplied reports whether the cluster holds what was rendered.
	ConditionApplied = "Applied"
	// ConditionContended is there while another manager changes objects of the policy back as often as the operator puts them right.
	ConditionContended = "Contended"
	// ConditionAccepted reports whether the gateways have accepted what is applied. Its reason is the gateway's own
	// where it is False.
	ConditionAccepted = "Accepted"
)
