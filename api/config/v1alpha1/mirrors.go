package v1alpha1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Mirrors is what holds for the mirrors of every policy.
type Mirrors struct {
	// UnknownGrace is how long a mirror stands once it isn't known any more whether its variant is available, from the first read
	// that failed. Its last quarter is spread over the policies.
	UnknownGrace metav1.Duration `json:"unknownGrace,omitzero"`
}

// DefaultMirrors is what holds where a configuration says nothing.
func DefaultMirrors() Mirrors {
	return Mirrors{UnknownGrace: metav1.Duration{Duration: time.Minute}}
}

func (m Mirrors) validate() error {
	if m.UnknownGrace.Duration < 0 {
		return fmt.Errorf("mirrors.unknownGrace of the operator's configuration is %s, and must not be negative", m.UnknownGrace.Duration)
	}
	return nil
}
