package sqlite_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parlor/store"
	"parlor/store/sqlite"
)

// games are made in a store for what follows.
func games(tb testing.TB, s *sqlite.Store, n int) {
	tb.Helper()
	var changes []store.Change
	for g := range n {
		changes = append(changes, store.PutGame{Number: int64(g + 1), Name: fmt.Sprint("game ", g), Durable: true})
	}
	commit(tb, s, changes...)
}

// BenchmarkAppend appends a small move for each of some of 1,000 games in a commit; each round is one entry, and each 1,000 of a game are
// dropped by a save. It tells the processor's time for each, what 99 of 100 commits take at most, and the bytes of the file.
func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 50, 500} {
		b.Run(fmt.Sprint(group), func(b *testing.B) { benchmarkAppend(b, group) })
	}
}

const (
	moveBytes = 80
	saveEvery = 1000
)

func benchmarkAppend(b *testing.B, group int) {
	s := open(b, b.TempDir())
	last := make([]uint64, 1000)
	games(b, s, len(last))
	data := make([]byte, moveBytes)
	var changes []store.Change
	var took []time.Duration
	before := cpu()
	for n := 0; b.Loop(); n++ {
		g := rand.IntN(len(last))
		last[g]++
		changes = append(changes, store.Append{Game: int64(g + 1), First: last[g], Last: last[g], Data: data})
		if last[g]%saveEvery == 0 {
			changes = append(changes, store.PutSave{Save: store.Save{Game: int64(g + 1), Entry: last[g], Data: "a save"}})
		}
		if n%group == group-1 {
			start := time.Now()
			commit(b, s, changes...)
			took = append(took, time.Since(start))
			changes = changes[:0]
		}
	}
	report(b, took, before)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size(b, s.Path()))/float64(b.N), "bytes/entry")
}

func report(b *testing.B, took []time.Duration, before time.Duration) {
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	if slices.Sort(took); len(took) > 0 {
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms-max")
	}
}

// cpu is the processor's time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkServer has 1,000 games append a small move each, over and over, whose commits are joined as a server joins them: as fast as it goes, and
// paced at 20,000 a second.
func BenchmarkServer(b *testing.B) {
	for _, rate := range []int{0, 20_000} {
		b.Run(fmt.Sprint(rate), func(b *testing.B) { benchmarkServer(b, rate) })
	}
}

func benchmarkServer(b *testing.B, rate int) {
	s := open(b, b.TempDir())
	const rooms = 1000
	games(b, s, rooms)
	type write struct {
		change store.Change
		done   chan struct{}
	}
	asked := make(chan write, rooms)
	var committer, all sync.WaitGroup
	committer.Go(func() { // ends when asked is closed
		var changes []store.Change
		var waiting []write
		for w := range asked {
			changes, waiting = append(changes[:0], w.change), append(waiting[:0], w)
			for len(asked) > 0 {
				w := <-asked
				changes, waiting = append(changes, w.change), append(waiting, w)
			}
			if err := s.Commit(b.Context(), changes...); err != nil {
				b.Error(err)
			}
			for _, w := range waiting {
				w.done <- struct{}{}
			}
		}
	})
	var left atomic.Int64
	left.Store(int64(b.N))
	took := make([][]time.Duration, rooms)
	before := cpu()
	start := time.Now()
	b.ResetTimer()
	for room := range rooms {
		all.Go(func() {
			done, data := make(chan struct{}, 1), make([]byte, moveBytes)
			for n := uint64(1); ; n++ {
				i := left.Add(-1)
				if i < 0 {
					return
				}
				due := time.Now()
				if rate > 0 {
					due = start.Add(time.Duration(int64(b.N)-1-i) * time.Second / time.Duration(rate))
					time.Sleep(time.Until(due)) // sleep: the pace of who plays
				}
				asked <- write{store.Append{Game: int64(room + 1), First: n, Last: n, Data: data}, done}
				<-done
				took[room] = append(took[room], time.Since(due))
			}
		})
	}
	all.Wait()
	close(asked)
	committer.Wait()
	b.StopTimer()
	report(b, slices.Concat(took...), before)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRecover opens a store of 10,000 games with 100 entries each, of a server that was killed, and reads them all.
func BenchmarkRecover(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	const n, entries = 10_000, 100
	games(b, s, n)
	for entry := range uint64(entries) {
		for g := 0; g < n; g += 500 {
			var changes []store.Change
			for i := range 500 {
				changes = append(changes, store.Append{Game: int64(g + i + 1), First: entry + 1, Last: entry + 1, Data: make([]byte, moveBytes)})
			}
			commit(b, s, changes...)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	before := cpu()
	for b.Loop() {
		s := open(b, dir)
		all, err := s.Games(b.Context())
		if err != nil || len(all) != n {
			b.Fatal(len(all), err)
		}
		for _, g := range all {
			count := 0
			for _, err := range s.Journal(b.Context(), g.Number, 0) {
				if err != nil {
					b.Fatal(err)
				}
				count++
			}
			if count != entries {
				b.Fatal(g, count)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, nil, before)
	b.ReportMetric(float64(size(b, s.Path()))/(n*entries), "bytes/entry")
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
