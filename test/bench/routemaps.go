package main

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// routemapSpec is that of an app called APP: the route is the mirror chart's.
const routemapSpec = `
versions:
- resources:
  - {gvrShort: svc, name: APP-v1}
  - {gvrShort: deploy, name: APP-v1}
- resources:
  - {gvrShort: svc, name: APP-v2}
  - {gvrShort: deploy, name: APP-v2}
routingTemplates:
  mirror:
    gvrShort: httproute
    template: |
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata:
        name: {{ .Name }}
      spec:
        parentRefs:
        - {group: "", kind: Service, name: APP, port: 8000}
        rules:
        - backendRefs:
          - {name: APP-v1, port: 80}
          {{- if gt (index .Weights 1) 0 }}
          filters:
          - type: RequestMirror
            requestMirror:
              backendRef: {name: APP-v2, port: 80}
          {{- end }}
`

// routemap is what Iter8 had in place of a Subject and its policy.
func (in inputs) routemap(app string) client.Object {
	immutable := true
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: app, Labels: map[string]string{
			"app.kubernetes.io/managed-by": "iter8", "iter8.tools/kind": "routemap", "iter8.tools/version": "v1.1",
		}},
		Data:      map[string]string{"strSpec": strings.ReplaceAll(routemapSpec, "APP", app)},
		Immutable: &immutable,
	}
}
