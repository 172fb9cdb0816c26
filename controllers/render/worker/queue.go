package worker

import "slices"

// queue gives each namespace its turn, however much the others wait for. The zero value is empty.
type queue struct {
	// turns are the namespaces that something waits for, the next one first.
	turns   []string
	waiting map[string][]*job
}

func (q *queue) add(j *job) {
	namespace := j.policy.Namespace
	if q.waiting == nil {
		q.waiting = map[string][]*job{}
	}
	if len(q.waiting[namespace]) == 0 {
		q.turns = append(q.turns, namespace)
	}
	q.waiting[namespace] = append(q.waiting[namespace], j)
}

// next takes the first job of the first namespace that may have its turn, or gives nil.
func (q *queue) next(may func(namespace string) bool) *job {
	i := slices.IndexFunc(q.turns, may)
	if i < 0 {
		return nil
	}
	namespace := q.turns[i]
	j := q.waiting[namespace][0]
	q.remove(j)
	if i := slices.Index(q.turns, namespace); i >= 0 {
		q.turns = append(slices.Delete(q.turns, i, i+1), namespace)
	}
	return j
}

// remove takes a job out, if it is there.
func (q *queue) remove(j *job) {
	namespace := j.policy.Namespace
	left := slices.DeleteFunc(q.waiting[namespace], func(other *job) bool { return other == j })
	if len(left) > 0 {
		q.waiting[namespace] = left
		return
	}
	delete(q.waiting, namespace)
	q.turns = slices.DeleteFunc(q.turns, func(other string) bool { return other == namespace })
}
