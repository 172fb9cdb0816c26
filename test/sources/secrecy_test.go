package sources

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// disclosed gives where any of the passwords and tokens of this package stands that it must not: in policies and
// Events of all namespaces, and in what the operator ever logged.
func disclosed(s *scene) []string {
	s.Helper()
	texts := map[string]string{}
	read := func(what string, object any, err error) {
		s.Helper()
		s.Expect(err).NotTo(HaveOccurred())
		text, err := json.Marshal(object)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(len(text)).To(BeNumerically(">", 100), what)
		texts[what] = string(text)
	}
	policies, events, older := &iter8v1alpha1.RoutingPolicyList{}, &eventsv1.EventList{}, &corev1.EventList{}
	read("policies", policies, k8s.List(s.Context(), policies))
	read("events", events, k8s.List(s.Context(), events))
	read("events of v1", older, k8s.List(s.Context(), older))
	for _, file := range logs {
		log, err := os.ReadFile(file)
		s.Expect(err).NotTo(HaveOccurred())
		texts[file] = string(log)
	}
	var found []string
	for what, text := range texts {
		for _, secret := range []string{password, wrongPassword, token, "internal-secret"} {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("me:" + secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
				if strings.Contains(text, form) {
					found = append(found, what+" have "+form)
				}
			}
		}
	}
	return found
}
