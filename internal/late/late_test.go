package late_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/late"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Flush() { c.n.Add(1) }

// TestGroup: who is added is flushed once, a moment later, together with others, again and again.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g late.Group
		all := make([]counter, 100)
		for round := range int64(3) {
			for i := range all {
				if !g.Add(&all[i]) {
					t.Fatal("not added")
				}
			}
			synctest.Wait()
			for i := range all {
				if n := all[i].n.Load(); n != round {
					t.Fatalf("flushed %d times at once, want %d", n, round)
				}
			}
			time.Sleep(late.Delay) // sleep: virtual time
			synctest.Wait()
			for i := range all {
				if n := all[i].n.Load(); n != round+1 {
					t.Fatalf("flushed %d times, want %d", n, round+1)
				}
			}
		}
	})
}

// TestClose: what waits is flushed, and nothing waits any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g late.Group
		var c counter
		g.Add(&c)
		g.Close()
		if c.n.Load() != 1 {
			t.Error("not flushed")
		}
		if g.Add(&c) {
			t.Error("added behind the end")
		}
		time.Sleep(time.Hour) // sleep: virtual time
		if c.n.Load() != 1 {
			t.Error("flushed twice")
		}
	})
}
