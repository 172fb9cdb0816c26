package env

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// httpPort is where httpbin listens.
const httpPort = 80

// Deployment is that of a variant in Iter8's mirroring tutorial: one replica of httpbin, labelled to be
// watched. The labels are the Pods', and the selector.
func Deployment(namespace, name string, labels map[string]string) *appsv1.Deployment {
	replicas := int32(1)
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{iter8v1alpha1.DetectLabel: "true"},
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: maps.Clone(labels)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: maps.Clone(labels)},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name:            "httpbin",
					Image:           "kennethreitz/httpbin",
					ImagePullPolicy: corev1.PullIfNotPresent,
					Command:         []string{"gunicorn", "--access-logfile", "-", "-b", "0.0.0.0:80", "httpbin:app"},
					Ports:           []corev1.ContainerPort{{ContainerPort: httpPort}},
				}}},
			},
		},
	}
}

// Service is that of a variant in Iter8's mirroring tutorial: port 80, named http, labelled to be watched.
func Service(namespace, name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{iter8v1alpha1.DetectLabel: "true"},
		},
		Spec: corev1.ServiceSpec{
			Ports:    []corev1.ServicePort{{Name: "http", Port: httpPort, TargetPort: intstr.FromInt32(httpPort)}},
			Selector: maps.Clone(selector),
		},
	}
}
