package main

// configMaps is the mirroring tutorial as Iter8 had it: a Subject and a RoutingPolicy come of two ConfigMaps, and
// go with them.
var configMaps = tutorial{
	title:  "The mirroring tutorial with Iter8's ConfigMaps, in namespace default",
	values: []string{"--set", "legacy.enabled=true"},
	steps: []step{
		mirroring.steps[0],
		{
			title: "Iter8's ConfigMaps",
			intro: "Nothing typed is applied: the operator finds Iter8's ConfigMaps, and mirrors them.",
			do: []string{
				"kubectl apply -f config/samples/legacy/subject.yaml",
				"kubectl apply -f config/samples/legacy/routingpolicy.yaml",
			},
			expect: mirroring.steps[1].expect,
			look: []string{
				"kubectl get configmaps,subjects,routingpolicies -l app.kubernetes.io/managed-by!=Helm",
				"kubectl get httproute httpbin -o yaml",
			},
			load: mirroring.steps[1].load,
		},
		mirroring.steps[2],
		mirroring.steps[3],
		mirroring.steps[4],
		{
			title: "The ConfigMaps go",
			intro: "A ConfigMap that is made again within the grace period, 10 seconds, would have changed nothing for traffic.",
			do: []string{
				"kubectl delete configmap/httpbin configmap/httpbin-route",
			},
			expect: mirroring.steps[5].expect,
			look: []string{
				"kubectl get subjects,routingpolicies,httproutes",
			},
		},
		mirroring.steps[6],
	},
}
