package watch

import (
	"cmp"
	"errors"
	"time"
)

// What State.Err wraps. Where it wraps none of these, the operator lacks the right to read.
var (
	// ErrNotServed: the cluster does not serve the kind, in that version. It is asked again, with growing delays.
	ErrNotServed = errors.New("the cluster does not serve this kind")
	// ErrClusterScoped: objects of the kind have no namespace, and Subjects and policies only deal with such.
	ErrClusterScoped = errors.New("the kind is cluster-scoped")
	// ErrNotWatched: the namespace is not among those that are watched.
	ErrNotWatched = errors.New("the namespace is not watched")
	// ErrUnavailable: the apiserver can't be reached, doesn't answer, or fails. That passes by itself, and the target is asked for again.
	ErrUnavailable = errors.New("the apiserver is not available")
)

// State is how far what is known of a target in a namespace can be relied on.
type State struct {
	// Synced reports whether every object that was there at the start has been read. Until then nothing is known.
	Synced bool
	// Err is why the target can't be read, nil while it can; what was read before stays in the store. An error that may
	// pass at the next try is only told once it has lasted for a moment, and a call without an answer after some seconds.
	// The words stay the same from try to try.
	Err error
	// UnreadableSince is when the first of the tries failed that Err tells of, or began where it has no answer; zero without
	// Err, and where it isn't tried.
	UnreadableSince time.Time
}

// Pending reports whether the first list isn't through and nothing keeps it from that: the answer comes by itself.
func (s State) Pending() bool { return !s.Synced && s.Err == nil }

// And returns how far what is made of two targets can be relied on.
func (s State) And(other State) State {
	return State{
		Synced:          s.Synced && other.Synced,
		Err:             cmp.Or(s.Err, other.Err),
		UnreadableSince: earliest(s.UnreadableSince, other.UnreadableSince),
	}
}

// earliest returns the earlier of two times, of which one that is zero doesn't count.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
