package sources

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// spoilCache puts a file where the operator keeps charts, as a volume that is gone leaves nothing to write to, and
// returns what puts the folder back. Permissions would not do: they don't hold for root.
func (s *scene) spoilCache() (mend func()) {
	s.Helper()
	folder := filepath.Join(cluster.Dir(), "volumes", systemNamespace, "charts")
	aside := filepath.Join(s.TempDir(), "charts")
	s.Expect(os.Rename(folder, aside)).To(Succeed())
	s.Expect(os.WriteFile(folder, nil, 0o600)).To(Succeed())
	mended := false
	mend = func() {
		if !mended {
			mended = true
			s.Expect(os.Remove(folder)).To(Succeed())
			s.Expect(os.Rename(aside, folder)).To(Succeed())
		}
	}
	s.Cleanup(mend)
	return mend
}

func TestAFolderForChartsThatCanNotBeWrittenHoldsTheRouteAndTheChartComesOnceItCan(t *testing.T) {
	const unavailable = "False CacheUnavailable: cache unavailable: "
	advice := filepath.Join("volumes", systemNamespace, "charts") + ": not a directory; " +
		"mount a volume there that the operator can write, or set charts.cacheDir of its configuration"

	t.Run("while the operator runs", func(t *testing.T) {
		s := newScene(t)
		server := serve(t)
		s.trust(server.CA)
		server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
		s.app("app", from(server.URL, "mirror", "0.14.x"))
		s.Eventually(s.ready("app")).Should(HavePrefix("True "))

		mend := s.spoilCache()
		server.Add("mirror", "0.14.3", mirror(t, "0.14.3"))
		s.reconcile("app")
		s.Eventually(s.resolved("app")).Should(And(HavePrefix(unavailable), HaveSuffix(advice+"; chart mirror, version 0.14.2, which was found before, is used")))
		s.Expect(s.ready("app")()).To(Equal(s.resolved("app")()))
		s.Expect(s.condition("app", iter8v1alpha1.ConditionReconciling)()).To(HavePrefix("True CacheUnavailable: "))
		s.follows("app")

		mend()
		s.Eventually(s.resolved("app"), "60s").Should(Equal("True Succeeded: chart mirror, version 0.14.3"))
		s.Eventually(s.ready("app")).Should(HavePrefix("True "))
	})

	t.Run("when it starts", func(t *testing.T) {
		s := newScene(t)
		server := serve(t)
		s.trust(server.CA)
		server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
		s.app("app", from(server.URL, "mirror", "0.14.x"))
		s.v2(true)
		s.Eventually(s.route("app")).Should(mirrored(true))
		since := time.Now()
		var mend func()
		restart(t, func() { mend = s.spoilCache() })
		s.Eventually(s.resolved("app")).Should(And(HavePrefix(unavailable), HaveSuffix(advice)))
		s.Expect(s.condition("app", iter8v1alpha1.ConditionReconciling)()).To(HavePrefix("True CacheUnavailable: "))
		s.Expect(s.condition("app", iter8v1alpha1.ConditionRendered)()).To(Equal("Unknown Skipped: not tried, because of CacheUnavailable"))
		s.Expect(s.route("app")()).To(mirrored(true))
		s.Expect(s.requests(since, isRouteWrite)).To(BeEmpty())

		mend()
		s.Eventually(s.resolved("app"), "60s").Should(Equal("True Succeeded: chart mirror, version 0.14.2"))
		s.v2(false)
		s.Eventually(s.route("app")).Should(mirrored(false))
	})
}
