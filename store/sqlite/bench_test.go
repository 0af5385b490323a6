package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"parlor/store"
	"parlor/store/sqlite"
)

// BenchmarkAppend appends a small move for each of 60 of 1,000 games in a commit, as a busy server does; each round is one
// entry. It tells what 99 of 100 commits take at most, and the bytes that an entry takes in the file.
func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 60, 200} {
		b.Run(fmt.Sprint(group), func(b *testing.B) { benchmarkAppend(b, group) })
	}
}

func benchmarkAppend(b *testing.B, group int) {
	const games = 1000
	s := open(b, b.TempDir())
	var changes []store.Change
	for g := range games {
		changes = append(changes, store.PutGame{Number: int64(g + 1), Name: fmt.Sprint("game ", g), Durable: true})
	}
	commit(b, s, changes...)
	data := make([]byte, 80)
	last := make([]uint64, games)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		g := rand.IntN(games)
		last[g]++
		if n%group == 0 {
			changes = changes[:0]
		}
		changes = append(changes, store.Append{Game: int64(g + 1), First: last[g], Last: last[g], Data: data})
		if n%group == group-1 {
			start := time.Now()
			commit(b, s, changes...)
			took = append(took, time.Since(start))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	if len(took) > 0 {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size(b, s.Path()))/float64(b.N), "bytes/entry")
}

// BenchmarkUser reads one of 100,000 users.
func BenchmarkUser(b *testing.B) {
	s := open(b, b.TempDir())
	users(b, s, 100_000)
	for b.Loop() {
		if _, err := s.User(b.Context(), fmt.Sprint("user ", rand.IntN(100_000))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a store of 1,000,000 users, with what a server asks of it at its start.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	users(b, s, 1_000_000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := open(b, dir)
		if n, err := s.CountUsers(b.Context()); n != 1_000_000 || err != nil {
			b.Fatal(n, err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

func users(tb testing.TB, s *sqlite.Store, n int) {
	for from := 0; from < n; from += 10_000 {
		var changes []store.Change
		for i := range 10_000 {
			name := fmt.Sprint("user ", from+i)
			changes = append(changes, store.PutUser{Name: name, Folded: name, Secret: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"})
		}
		commit(tb, s, changes...)
	}
}

func size(tb testing.TB, path string) int64 {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
