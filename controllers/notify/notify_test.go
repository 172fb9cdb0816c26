package notify

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

func TestEverySubscriberIsToldEveryNameFromItsSubscriptionOn(t *testing.T) {
	g := NewWithT(t)
	var n Notifier
	web, db := types.NamespacedName{Namespace: "test", Name: "web"}, types.NamespacedName{Namespace: "test", Name: "db"}
	n.Notify(web) // to no subscriber

	var first, second []types.NamespacedName
	n.Subscribe(func(name types.NamespacedName) { first = append(first, name) })
	n.Notify(web)
	n.Subscribe(func(name types.NamespacedName) { second = append(second, name) })
	n.Notify(db)
	n.Notify(All)
	g.Expect(first).To(Equal([]types.NamespacedName{web, db, {}}))
	g.Expect(second).To(Equal([]types.NamespacedName{db, {}}))
}
