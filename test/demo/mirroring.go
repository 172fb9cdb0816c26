package main

// mirroring is Iter8's tutorial of that name, with typed resources. README.md walks the same way.
var mirroring = tutorial{
	title: "The mirroring tutorial, in namespace default",
	steps: []step{
		{
			title: "Variant 1",
			intro: "The Service that clients of httpbin send their requests to, and the first variant of httpbin.",
			do: []string{
				"kubectl apply -f config/samples/httpbin.yaml",
				"kubectl apply -f config/samples/httpbin-v1.yaml",
				"kubectl wait --for=condition=Available deployment/httpbin-v1",
			},
			expect: []expectation{
				{"variant 1 serves", endpoints("httpbin-v1"), "Service httpbin-v1 has a ready endpoint"},
			},
		},
		{
			title: "A Subject and a RoutingPolicy",
			intro: "The Subject says what the variants consist of, the second of which isn't deployed yet. The\n" +
				"RoutingPolicy says what is to be routed while they are available.",
			do: []string{
				"kubectl apply -f config/samples/subject.yaml",
				"kubectl apply -f config/samples/routingpolicy.yaml",
				"kubectl wait --for=condition=Ready routingpolicy/httpbin-route",
			},
			expect: []expectation{
				{"the operator has made an HTTPRoute without filters", route, "Service httpbin:8000 is served by httpbin-v1:80"},
				{"the Subject has one of two variants available", subject("httpbin"), "Ready, available 1/2: v1"},
				{"the RoutingPolicy mirrors nothing", policy("httpbin-route"), "Ready, mirrors to nothing"},
				{"its status says why", withheld("httpbin-route"), "VariantNotAvailable: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl get httproute httpbin -o yaml",
			},
			load: httpbin("httpbin-v1", false),
		},
		{
			title: "Variant 2 comes",
			intro: "No route is edited by hand. The operator sees that the second variant has become available.",
			do: []string{
				"kubectl apply -f config/samples/httpbin-v2.yaml",
			},
			expect: []expectation{
				{"the HTTPRoute has got its RequestMirror filter", route, "Service httpbin:8000 is served by httpbin-v1:80, filter RequestMirror to httpbin-v2:80"},
				{"the Subject has both variants available", subject("httpbin"), "Ready, available 2/2: v1,v2"},
				{"the RoutingPolicy mirrors to variant 2", policy("httpbin-route"), "Ready, mirrors to httpbin-v2:80"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl get httproute httpbin -o yaml",
			},
		},
		{
			title: "Generate load",
			intro: "Variant 1 answers every request, as before. Variant 2 gets a copy, which the Envoy marks with X-Envoy-Internal, and\n" +
				"its answer is thrown away.",
			load: httpbin("httpbin-v1, copies to httpbin-v2 (100%)", true),
		},
		{
			title: "Variant 2 goes",
			intro: "With it goes the filter: nothing is mirrored to a backend that is not there.",
			do: []string{
				"kubectl delete service/httpbin-v2 deployment/httpbin-v2",
			},
			expect: []expectation{
				{"the HTTPRoute has no filters any more", route, "Service httpbin:8000 is served by httpbin-v1:80"},
				{"the Subject has one of two variants available", subject("httpbin"), "Ready, available 1/2: v1"},
				{"the RoutingPolicy mirrors nothing", policy("httpbin-route"), "Ready, mirrors to nothing"},
				{"its status says why", withheld("httpbin-route"), "VariantNotAvailable: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"},
				{"its Events tell of both", events("httpbin-route"), "requests are mirrored to httpbin-v2:80; requests are no longer mirrored to httpbin-v2:80"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl get httproute httpbin -o yaml",
				"kubectl events --for routingpolicy/httpbin-route",
			},
			load: httpbin("httpbin-v1", false),
		},
		{
			title: "The Subject and the RoutingPolicy go",
			intro: "What the operator has made goes with what it was made for.",
			do: []string{
				"kubectl delete subject/httpbin routingpolicy/httpbin-route",
			},
			expect: []expectation{
				{"the HTTPRoute is gone", route, "there is no HTTPRoute httpbin"},
			},
			look: []string{
				"kubectl get httproutes",
			},
		},
		{
			title: "Cleaning up",
			intro: "What is left is the app.",
			do: []string{
				"kubectl delete deployment/httpbin-v1 service/httpbin-v1 service/httpbin",
			},
			expect: []expectation{
				{"nothing of the tutorial is left", leftovers, "nothing"},
			},
		},
	},
}

// httpbin is requests to httpbin, which variant 1 answers whatever becomes of copies.
func httpbin(routing string, copied bool) *load {
	return &load{
		service: "httpbin", port: 8000, path: "/headers", routing: routing,
		senders: []sender{{who: "A client", answeredBy: "httpbin-v1", mirror: "httpbin-v2", copied: copied}},
	}
}
