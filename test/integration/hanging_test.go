package integration

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hangOn has each update of a route of the scene hang for half a minute, on a webhook that never answers, and then fail.
func (s *scene) hangOn(route string) {
	s.Helper()
	over := make(chan struct{})
	silent := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	s.Cleanup(func() {
		close(over)
		silent.CloseClientConnections()
		silent.Close()
	})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: silent.Certificate().Raw})
	url, fail, none, longest := silent.URL, admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, int32(30)
	s.create(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "routes.example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: authority},
			Rules:                   []admissionregistrationv1.RuleWithOperations{httpRoutes(admissionregistrationv1.Update)},
			NamespaceSelector:       s.inScene(),
			MatchConditions:         []admissionregistrationv1.MatchCondition{{Name: "route", Expression: "object.metadata.name == '" + route + "'"}},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			TimeoutSeconds:          &longest,
			AdmissionReviewVersions: []string{"v1"},
		}},
	})
	s.Eventually(func() bool {
		ctx, cancel := context.WithTimeout(s.Context(), 500*time.Millisecond)
		defer cancel()
		change := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"probe":"true"}}}`))
		return k8s.Patch(ctx, s.foreign(route), change, client.DryRunAll) != nil
	}).Should(gomega.BeTrue())
}

func TestAMirrorGoesThoughAWebhookHangsOnAnotherRouteOfThePolicy(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	_, service := s.deploy("httpbin-v2")
	mirroring := func(name string) string {
		return strings.Replace(routeTemplate(name), "rules: [{", "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}], ", 1)
	}
	policy := s.templatePolicy("routes", "httpbin", mirroring("one"), mirroring("two"), mirroring("three"))
	s.create(s.httpbin(), policy)
	for _, route := range []string{"one", "two", "three"} {
		s.Eventually(s.route(route)).Should(mirrorTo("httpbin-v2"))
	}
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.hangOn("one")
	s.delete(service)
	for _, route := range []string{"two", "three"} {
		s.Eventually(s.route(route), "15s").Should(mirrorTo(), "in less than the webhook takes")
	}
}
