package main

import (
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
	"iter8.tools/operator/conversion"
)

// discoveryTimeout is how long the apiserver may take to say what it serves, for which reconciles wait.
const discoveryTimeout = 10 * time.Second

// managerOptions returns those of the manager that the flags and the configuration come to.
func managerOptions(o options, config configv1alpha1.OperatorConfiguration) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(iter8v1alpha1.AddToScheme(scheme))
	namespaces := map[string]cache.Config{}
	for _, namespace := range config.WatchNamespaces {
		namespaces[namespace] = cache.Config{}
	}
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultNamespaces: namespaces,
			DefaultTransform:  cache.TransformStripManagedFields(),
			NewInformer: func(calls toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
				return toolscache.NewSharedIndexInformer(watch.Persistent(calls), object, resync, indexers)
			},
			ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Label: labels.SelectorFromSet(labels.Set{iter8v1alpha1.ManagedByLabel: conversion.ManagedByValue})}},
		},
		Metrics: metricsserver.Options{
			BindAddress:    o.metricsAddress,
			SecureServing:  true,
			CertDir:        o.metricsCertDir,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		MapperProvider: func(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
			return apiutil.NewDynamicRESTMapper(config, bounded(httpClient))
		},
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.leaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
	}
}

// bounded returns a client for discovery, whose calls take no context.
func bounded(httpClient *http.Client) *http.Client {
	bounded := *httpClient
	bounded.Timeout = discoveryTimeout
	return &bounded
}
