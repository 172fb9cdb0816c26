package v1alpha1

// Reasons of the Events that the operator writes, beside those of a policy's condition Ready and of its warnings. The table below has
// their meaning.
const (
	// EventMirrorsChanged: the set of backends that a policy mirrors requests to has changed.
	EventMirrorsChanged = "MirrorsChanged"
	// EventRouteDeleted: the operator deleted an object of a policy.
	EventRouteDeleted = "RouteDeleted"
	// EventChartChanged: a policy's chart is rendered in another version, or with another digest, than before.
	EventChartChanged = "ChartChanged"
	// EventNotConverted: a ConfigMap can't be converted; what it was converted to before stays.
	EventNotConverted = "NotConverted"
	// EventConvertedInPart: something in a ConfigMap has no equivalent in the API.
	EventConvertedInPart = "ConvertedInPart"
	// EventNameTaken: an object of a ConfigMap's name exists that wasn't converted from it.
	EventNameTaken = "NameTaken"
	// EventEditPutBack: an object that mirrors a ConfigMap was edited, and the edit was undone.
	EventEditPutBack = "EditPutBack"
)

const (
	policyEvent    = "RoutingPolicy Events"
	convertedEvent = "ConfigMap Events"
)

// EventReasons are all reasons that only Events have. Their Conditions are the kinds of objects whose Events they are: "RoutingPolicy
// Events".
var EventReasons = []Reason{
	{EventMirrorsChanged, []string{policyEvent}, NoRecovery,
		"Requests are mirrored to other backends than before, or to none. The message says where to they are mirrored now, and why a mirror went or became smaller; status.mirrors has the same.", ""},
	{EventRouteDeleted, []string{policyEvent}, NoRecovery,
		"The operator deleted an object that the policy had applied: it left the render, or the Subject was deleted. Without a route, clients get what the Services give them that they call.",
		"Where that was not meant, render the object again, or create the Subject."},
	{EventChartChanged, []string{policyEvent}, NoRecovery,
		"The policy's chart is rendered in another version, or with another digest, than before.", ""},
	{EventNotConverted, []string{convertedEvent}, Stalls,
		"The ConfigMap of Iter8's can't be converted; what it was converted to before stays.",
		"Correct what the message names."},
	{EventConvertedInPart, []string{convertedEvent}, NoRecovery,
		"Something in the ConfigMap has no equivalent in the API, so it is left out.",
		"Look at what the message names; kubectl iter8 convert shows all that is converted."},
	{EventNameTaken, []string{convertedEvent}, Stalls,
		"An object of the name that the ConfigMap is to be converted to exists, and wasn't converted from it.",
		"Rename or delete one of the two."},
	{EventEditPutBack, []string{"Subject Events", policyEvent}, NoRecovery,
		"The object mirrors a ConfigMap of Iter8's and was edited; the edit was undone.",
		"Edit the ConfigMap, or have the object replace it as docs/migrating-from-iter8.md says."},
}
