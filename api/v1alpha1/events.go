package v1alpha1

// Reasons of the Events that the operator writes, beside those of a policy's condition Ready.
const (
	// EventMirrorsChanged: the set of backends that a policy mirrors requests to has changed.
	EventMirrorsChanged = "MirrorsChanged"
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
