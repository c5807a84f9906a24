package service

import (
	"time"
)

// A moment is a time in the steps of 100 ns that the API has, since 1970; 0 is none.
type moment int64

func at(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.Unix()*1e7 + int64(t.Nanosecond())/100)
}

// time is the zero time for none.
func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(int64(m)/1e7, int64(m)%1e7*100).UTC()
}

// A stamp says when an entity was made and when it was last changed by a request. The latter is its entity tag.
type stamp struct {
	Created  moment
	Modified moment
}

// touch marks a change now.
func (s *stamp) touch(now moment) {
	s.Modified = max(now, s.Modified+1)
}

// A phase is a state with its history, as all entities have it.
type phase struct {
	State    string
	Since    moment
	Previous string `json:",omitempty"`
	Before   moment `json:",omitempty"` // when Previous began
}

// set changes the state; it says false when that is the state already.
func (p *phase) set(state string, now moment) bool {
	if p.State == state {
		return false
	}
	p.Previous, p.Before = p.State, p.Since
	p.State, p.Since = state, now
	return true
}
