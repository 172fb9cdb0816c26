package ownwrites

import (
	"encoding/json"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// StatusPatch is a merge patch from the status that an object has to another, which conflicts where the object was written since it was
// read. It is what client.MergeFrom makes of the two objects, without encoding and comparing the rest of them.
type StatusPatch struct{ Before, After any }

// Type implements client.Patch.
func (StatusPatch) Type() types.PatchType { return types.MergePatchType }

// Data implements client.Patch.
func (p StatusPatch) Data(object client.Object) ([]byte, error) {
	before, err := json.Marshal(p.Before)
	if err != nil {
		return nil, fmt.Errorf("encoding the status as it is: %w", err)
	}
	after, err := json.Marshal(p.After)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	difference, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return nil, fmt.Errorf("comparing statuses: %w", err)
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": object.GetResourceVersion()},
		"status":   json.RawMessage(difference),
	})
}
