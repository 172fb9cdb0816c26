// Package conversion makes Subjects and RoutingPolicies of the ConfigMaps in which Iter8 kept the like. It is pure:
// a ConfigMap in; objects, warnings and errors out.
//
// # What is recognised
//
// A ConfigMap with the label app.kubernetes.io/managed-by: iter8, immutable or not. The label iter8.tools/kind says
// what it holds; where that isn't there, the fields of data.spec or data.strSpec do. The label iter8.tools/version
// says nothing that matters here.
//
// # A subject
//
// In data.spec, the short names of kinds, and for each variant the names of its resources in the same order. It
// becomes a Subject with variants v1 and v2.
//
//	metadata:
//	  name: httpbin
//	  labels: {app.kubernetes.io/managed-by: iter8}
//	data:
//	  spec: |
//	    gvrs: [svc, deploy]
//	    variants:
//	    - [httpbin-v1, httpbin-v1]
//	    - [httpbin-v2, httpbin-v2]
//
// # A routing policy
//
// In data.spec, the subject that owns the routes, the variant whose coming and going changes them, and a Helm chart
// with its values. It becomes a RoutingPolicy with subjectRef httpbin and trigger v2; without update every variant
// triggers. A chart of a repository that is an alias (Options.ChartRepositoryAliases) becomes a built-in one.
//
//	metadata:
//	  name: httpbin-route
//	  labels: {app.kubernetes.io/managed-by: iter8}
//	data:
//	  spec: |
//	    trigger: {owner: httpbin, update: variant/2}
//	    repo: https://iter8-tools.github.io/iter8
//	    chart: mirror
//	    version: 0.14.x
//	    values: {rules: […]}
//
// # A routemap
//
// Iter8 0.14 to 1.1 had versions of an application, with resources and weights, and Go templates of the routes in
// one ConfigMap. It becomes a Subject and a RoutingPolicy with inline templates, which stay as they are, to the
// letter; without templates only a Subject. In the first of these Iter8s the versions were called variants.
//
//	metadata:
//	  name: httpbin-routemap
//	  labels: {app.kubernetes.io/managed-by: iter8, iter8.tools/kind: routemap, iter8.tools/version: v1.1}
//	data:
//	  strSpec: |
//	    versions:
//	    - resources:
//	      - {gvrShort: svc, name: httpbin-0, namespace: default}
//	    - resources:
//	      - {gvrShort: svc, name: httpbin-1, namespace: default}
//	      weight: 20
//	    routingTemplates:
//	      blue-green:
//	        gvrShort: httproute
//	        template: |
//	          …
//
// # A subject with templates
//
// Iter8 0.13 had the same under other names.
//
//	metadata:
//	  name: wisdom
//	  labels: {app.kubernetes.io/managed-by: iter8, iter8.tools/kind: subject, iter8.tools/version: v0.13}
//	data:
//	  strSpec: |
//	    variants:
//	    - resources:
//	      - {gvrShort: isvc, name: wisdom-primary}
//	    ssas:
//	      mirror:
//	        gvrShort: vs
//	        template: |
//	          …
//
// # When a resource is ready
//
// Iter8 had that in the configuration of its controller, by short name: a Deployment while its condition Available
// is True, an InferenceService by Ready, everything else once it exists. It is written out as readyWhen, since what
// the operator does by itself differs: a Service, for one, must have a ready endpoint.
package conversion
