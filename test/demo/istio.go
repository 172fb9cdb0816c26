package main

import "iter8.tools/operator/test/env"

// istio is the tutorial of docs/tutorials/istio.md.
var istio = tutorial{
	title:   "Mirroring with Istio, in namespace default",
	cluster: env.Options{IstioCRDs: true},
	steps: []step{
		{
			title: "reviews, in two versions",
			intro: "One Service for both; what tells the versions apart is a label of their Pods.",
			do: []string{
				"kubectl apply -f config/samples/istio/app.yaml",
				"kubectl wait --for=condition=Available deployment/reviews-v1 deployment/reviews-v2",
			},
			expect: []expectation{
				{"reviews serves", endpoints("reviews"), "Service reviews has a ready endpoint"},
			},
		},
		{
			title: "A Subject and a RoutingPolicy",
			intro: "Requests of the user tester go to version 2 and are to be mirrored to mirror, which isn't deployed yet.",
			do: []string{
				"kubectl apply -f config/samples/istio/subject.yaml",
				"kubectl apply -f config/samples/istio/routingpolicy.yaml",
				"kubectl wait --for=condition=Ready routingpolicy/reviews-route",
			},
			expect: []expectation{
				{"the operator has made the DestinationRule", destinationRule, "reviews has the subsets v1, v2, v3"},
				{"and the VirtualService, without the mirror", virtualService, "end-user tester: reviews subset v2; else: reviews subset v1"},
				{"the Subject has two of three variants available", subject("reviews"), "Ready, available 2/3: v1,v2"},
				{"the RoutingPolicy mirrors nothing", policy("reviews-route"), "Ready, mirrors to nothing"},
				{"its status says why", withheld("reviews-route"), "VariantNotAvailable: no mirror to mirror: Service mirror does not exist"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl get virtualservice reviews -o yaml",
				"kubectl get destinationrule reviews -o yaml",
			},
			load: reviews("end-user=tester: reviews-v2; reviews-v1", false),
		},
		{
			title: "mirror comes",
			intro: "As soon as it can take requests, it gets copies of those that version 2 answers.",
			do: []string{
				"kubectl apply -f config/samples/istio/mirror.yaml",
			},
			expect: []expectation{
				{"the VirtualService has got its mirror, in the one route", virtualService, "end-user tester: reviews subset v2, all mirrored to mirror; else: reviews subset v1"},
				{"the Subject has all variants available", subject("reviews"), "Ready, available 3/3: v1,v2,mirror"},
				{"the RoutingPolicy mirrors to it", policy("reviews-route"), "Ready, mirrors to mirror"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl get virtualservice reviews -o yaml",
			},
		},
		{
			title: "Generate load",
			intro: "Every request of the tester is copied to mirror; no request of other users is.",
			load:  reviews("end-user=tester: reviews-v2, copies to mirror-v1 (100%); reviews-v1", true),
		},
		{
			title: "mirror goes",
			intro: "The same routes stand without it.",
			do: []string{
				"kubectl delete -f config/samples/istio/mirror.yaml",
			},
			expect: []expectation{
				{"the VirtualService has no mirror any more", virtualService, "end-user tester: reviews subset v2; else: reviews subset v1"},
				{"the RoutingPolicy mirrors nothing", policy("reviews-route"), "Ready, mirrors to nothing"},
				{"its status says why", withheld("reviews-route"), "VariantNotAvailable: no mirror to mirror: Service mirror does not exist"},
				{"its Events tell of both", events("reviews-route"), "requests are mirrored to mirror; requests are no longer mirrored to mirror"},
			},
			look: []string{
				"kubectl get subjects,routingpolicies",
				"kubectl events --for routingpolicy/reviews-route",
			},
			load: reviews("end-user=tester: reviews-v2; reviews-v1", false),
		},
		{
			title: "Cleaning up",
			intro: "What the operator has made goes with the policy; the rest is the app.",
			do: []string{
				"kubectl delete -f config/samples/istio/routingpolicy.yaml -f config/samples/istio/subject.yaml -f config/samples/istio/app.yaml",
			},
			expect: []expectation{
				{"the VirtualService is gone", virtualService, "there is no VirtualService reviews"},
				{"and so is the DestinationRule", destinationRule, "there is no DestinationRule reviews"},
				{"nothing of the tutorial is left", leftovers, "nothing"},
			},
		},
	},
}

// reviews is requests to reviews, of a tester and of another user.
func reviews(routing string, copied bool) *load {
	return &load{
		service: "reviews", port: 9080, path: "/reviews/1", routing: routing,
		senders: []sender{
			{who: "The user tester", headers: []string{"end-user", "tester"}, answeredBy: "reviews-v2", mirror: "mirror-v1", copied: copied},
			{who: "The user jason", headers: []string{"end-user", "jason"}, answeredBy: "reviews-v1", mirror: "mirror-v1"},
		},
	}
}
