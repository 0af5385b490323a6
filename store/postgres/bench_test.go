package postgres_test

import (
	"fmt"
	"testing"

	"parlor/internal/pgtest"
	"parlor/store"
)

// An operation is one append of 100 bytes, of 64 games to a commit.
func BenchmarkAppend64(b *testing.B) {
	const games = 64
	s := open(b, pgtest.New(b).URL(), "parlor")
	var changes []store.Change
	for g := range games {
		changes = append(changes, store.PutGame{Number: int64(g + 1), Name: fmt.Sprint(g), Durable: true})
	}
	if err := s.Commit(b.Context(), changes...); err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 100)
	entry := uint64(0)
	for n := 0; b.Loop(); n++ {
		if n%games > 0 {
			continue
		}
		entry++
		for g := range changes {
			changes[g] = store.Append{Game: int64(g + 1), First: entry, Last: entry, Data: data}
		}
		if err := s.Commit(b.Context(), changes...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}
