package room

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// timerState is what is kept of a timer, with the state of its room.
type timerState struct {
	Due    time.Duration `json:"due"`
	Every  time.Duration `json:"every,omitempty"`
	Update bool          `json:"update,omitempty"`
}

func (t *timer) state() timerState { return timerState{t.due, t.interval, t.hook == hookUpdate} }

// states are the timers, by number.
func (ts *timers) states() (all []timerState) {
	for _, t := range ts.byNumber() {
		all = append(all, t.state())
	}
	return all
}

func (ts *timers) byNumber() []*timer {
	return slices.SortedFunc(slices.Values(ts.queue), func(a, b *timer) int { return cmp.Compare(a.number, b.number) })
}

// restoreTimers has the timers that a game has made again be those that were there when it was saved: repeated ones keep to their times, and all
// keep their order. A game that has made others instead is on a course of its own, which its journal shows if there is something in it.
func (r *Room) restoreTimers(saved []timerState) {
	ts := &r.timers
	made, left := ts.byNumber(), make([]numberedTimer, len(saved))
	for i, s := range saved {
		left[i] = numberedTimer{s, uint64(i)}
	}
	for _, t := range made {
		t.number += uint64(len(saved)) // those that were not there come last
	}
	ts.made += uint64(len(saved))
	left, made = pair(left, made, func(s timerState) timerState {
		if s.Every > 0 {
			s.Due = 0 // the game cannot say when it is called next
		}
		return s
	})
	soon := r.durable.clock + shortest
	left, made = pair(left, made, func(s timerState) timerState {
		if s.Every == 0 && s.Due <= soon {
			s.Due = 0 // made to be called earlier than the shortest time allows
		}
		return s
	})
	heap.Init(&ts.queue)
	if len(left)+len(made) > 0 {
		r.logger.Warn("the game that was made of its save has other timers than it had when it was saved", "missing", len(left), "new", len(made))
	}
}

type numberedTimer struct {
	timerState
	number uint64
}

// pair makes timers the saved ones that have the same key, one after the other, and returns those that are left of both.
func pair(saved []numberedTimer, made []*timer, key func(timerState) timerState) (left []numberedTimer, more []*timer) {
	same := make(map[timerState][]numberedTimer)
	for _, s := range saved {
		k := key(s.timerState)
		same[k] = append(same[k], s)
	}
	for _, t := range made {
		k := key(t.state())
		if len(same[k]) == 0 {
			more = append(more, t)
			continue
		}
		t.due, t.number = same[k][0].Due, same[k][0].number
		same[k] = same[k][1:]
	}
	for _, list := range same {
		left = append(left, list...)
	}
	slices.SortFunc(left, func(a, b numberedTimer) int { return cmp.Compare(a.number, b.number) })
	return left, more
}
