package observe

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

var noSlices = apierrors.NewForbidden(sliceResource.GroupResource(), "", errors.New("not for you"))

const whyNoSlices = "endpointslices.discovery.k8s.io: endpointslices.discovery.k8s.io is forbidden: not for you"

func TestAServiceWhoseEndpointsCanNotBeWatchedAnyMoreIsJudgedAsLastSeen(t *testing.T) {
	w := newWorld(t)
	w.create(services, aService("web", "app: web"))
	w.create(sliceResource, aSlice("web-1", "web", "true"))
	w.client.PrependWatchReactor("endpointslices", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
		return true, nil, noSlices
	})
	s := subject("web", service("web"))
	w.follow(s)
	w.Eventually(w.state(s)).Should(Equal(Variant{
		Name: "v1", State: Ready, Stale: []string{"Service web is judged as last seen: may not watch " + whyNoSlices},
	}))
}
