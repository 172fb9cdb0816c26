package ownwrites

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhatOthersWriteIsPutRightAtOnceAndThenAnIntervalApart(t *testing.T) {
	g := NewWithT(t)
	var p Pacer
	one, other := types.NamespacedName{Name: "one"}, types.NamespacedName{Name: "other"}
	at := func(milliseconds int) time.Time {
		return time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(time.Duration(milliseconds) * time.Millisecond)
	}
	g.Expect(p.Delay(one, at(0))).To(BeZero())
	g.Expect(p.Delay(other, at(10))).To(BeZero(), "another object")
	g.Expect(p.Delay(one, at(20))).To(Equal(4980 * time.Millisecond))
	g.Expect(p.Delay(one, at(4000))).To(Equal(time.Second), "with the one that is due")
	g.Expect(p.Delay(one, at(5000))).To(Equal(5*time.Second), "which was just now")
	g.Expect(p.Delay(one, at(15001))).To(BeZero(), "it was left alone for a while")
	p.Forget(one)
	g.Expect(p.Delay(one, at(15002))).To(BeZero())
}

func TestAStatusThatIsWrittenAllTheTimeIsPutRightTwelveTimesAMinute(t *testing.T) {
	g := NewWithT(t)
	var p Pacer
	began := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	due := map[time.Time]bool{}
	for after := time.Duration(0); after < time.Minute; after += 20 * time.Millisecond {
		now := began.Add(after)
		due[now.Add(p.Delay(types.NamespacedName{Name: "one"}, now))] = true
	}
	g.Expect(due).To(HaveLen(13), "one at the beginning, and one every 5 s up to the end")
}
