package keys

import (
	"slices"
	"time"

	"gatehouse/storage"
)

// A Timetable says when keys of each generation are made, sign and go.
type Timetable struct {
	// RotateEvery is how long one generation signs.
	RotateEvery time.Duration
	// PublishLead is the time from publishing a key to signing with it: more than
	// the cache time of the JWKS, the ring's reread and the clock skew together.
	PublishLead time.Duration
	// KeepAfter is how long a key stays published after its last signature: the
	// longest token lifetime and clock skew.
	KeepAfter time.Duration
}

// DefaultTimetable rotates every 30 days, publishes an hour ahead, and keeps a
// key for a day.
func DefaultTimetable() Timetable {
	return Timetable{RotateEvery: 30 * 24 * time.Hour, PublishLead: time.Hour, KeepAfter: 25 * time.Hour}
}

// A State is where a key stands in its life.
type State string

// The states: published and not signing yet, signing, published after signing, gone.
const (
	Next     State = "next"
	Active   State = "active"
	Retiring State = "retiring"
	Gone     State = "gone"
)

// Status is a key with its place in the timetable.
type Status struct {
	Key       *storage.SigningKey
	State     State
	SignsFrom time.Time
	SignsTo   time.Time // zero while no successor is planned
	GoneAt    time.Time // zero while no successor is planned
}

// place puts the generations of one algorithm into the timetable at now. A key
// signs from its SignAt until the next generation's. Retiring a key ends both
// its signing and its publishing. Rows and clock decide alone, so every node
// finds the same.
func (t Timetable) place(rows []*storage.SigningKey, now time.Time) []Status {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b *storage.SigningKey) int { return int(a.Generation - b.Generation) })
	all := make([]Status, len(rows))
	for i, k := range rows {
		s := Status{Key: k, SignsFrom: k.SignAt}
		for _, later := range rows[i+1:] {
			if later.RetiredAt.IsZero() || later.RetiredAt.After(later.SignAt) {
				s.SignsTo = later.SignAt
				s.GoneAt = later.SignAt.Add(t.KeepAfter)
				break
			}
		}
		if !k.RetiredAt.IsZero() && (s.GoneAt.IsZero() || k.RetiredAt.Before(s.GoneAt)) {
			s.GoneAt = k.RetiredAt
			if s.SignsTo.IsZero() || k.RetiredAt.Before(s.SignsTo) {
				s.SignsTo = k.RetiredAt
			}
		}
		switch {
		case !s.GoneAt.IsZero() && !now.Before(s.GoneAt):
			s.State = Gone
		case now.Before(s.SignsFrom):
			s.State = Next
		case s.SignsTo.IsZero() || now.Before(s.SignsTo):
			s.State = Active
		default:
			s.State = Retiring
		}
		all[i] = s
	}
	return all
}

// clockSlack is how far the clocks of nodes may be apart.
const clockSlack = 5 * time.Second

// atOnce is when a key signs that is needed now: on a node whose clock is
// behind, too, which would have none until its own clock got there.
func atOnce(now time.Time) time.Time { return now.Add(-clockSlack) }

// due says whether the algorithm needs another generation at now, and from
// when that one signs: the very first at once, a later one after the lead.
func (t Timetable) due(placed []Status, now time.Time) (signAt time.Time, due bool) {
	if len(placed) == 0 {
		return atOnce(now), true
	}
	newest := placed[len(placed)-1]
	if newest.State == Gone {
		// Nothing signs: wait for nobody's cache.
		return atOnce(now), true
	}
	change := newest.SignsFrom.Add(t.RotateEvery)
	if now.Before(change.Add(-t.PublishLead)) {
		return time.Time{}, false
	}
	signAt = now.Add(t.PublishLead)
	if change.After(signAt) {
		signAt = change
	}
	return signAt, true
}
