package mirrors

import iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"

// Why a mirror has a smaller share than it asks for, beside the reasons of Withholdings.
const (
	// ReasonVariantNotAvailable: a variant that the target belongs to is not available.
	ReasonVariantNotAvailable = "VariantNotAvailable"
	// ReasonVariantStateUnknown: such a variant can't be judged, and the mirror does not stand, or has for too long.
	ReasonVariantStateUnknown = iter8v1alpha1.ReasonVariantStateUnknown
	// ReasonInvalidWeight: the weight of such a variant is not a whole number from 0 to 100.
	ReasonInvalidWeight = "InvalidWeight"
	// ReasonLimitedByWeight: the weight of such a variant is less than the mirror's own share.
	ReasonLimitedByWeight = "LimitedByWeight"
	// ReasonZeroPercent: the mirror itself asks for no requests.
	ReasonZeroPercent = "ZeroPercent"
	// ReasonUnsupportedByGateway: a gateway of the route lacks what the mirror takes.
	ReasonUnsupportedByGateway = iter8v1alpha1.ReasonUnsupportedByGateway
	// ReasonNoSafeMethods: only GET, HEAD and OPTIONS are to be mirrored, and the rule matches none of them.
	ReasonNoSafeMethods = "NoSafeMethods"
)
