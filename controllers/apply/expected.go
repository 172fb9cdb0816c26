package apply

import (
	"time"

	"iter8.tools/operator/controllers/watch"
)

// expectedAfter is how long after a write its watch is first expected to have shown it, or to have shown that the object is gone.
const expectedAfter = time.Second

// expect has an object that was written, and that no watch shows, looked for until the watch shows it, or is past it: an object that came
// and went while the watch was interrupted is in no list, and has no event. Then policies are notified in place of the event.
//
//	written ─► shown by the watch ───────────────────────► as ever
//	   └─────► not in what the watch keeps, which is newer ─► forgotten, policies notified
func (c *Cache) expect(name watch.Name, written *cachedObject) {
	time.AfterFunc(expectedAfter, func() {
		c.mu.RLock()
		waiting := c.written[name] == written
		c.mu.RUnlock()
		if !waiting || c.ctx.Err() != nil {
			return
		}
		overtaken := c.objects.Overtakes(name, written.ResourceVersion) // before it is asked what is shown
		if shown, _ := c.objects.Get(name); (shown != nil || !overtaken) && c.objects.Followed(name) {
			c.expect(name, written)
			return
		}
		c.mu.Lock()
		gone := c.written[name] == written
		if gone {
			delete(c.written, name)
		}
		c.mu.Unlock()
		if gone {
			c.objects.Notify(name)
		}
	})
}
