package sqlite_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ncruces/go-sqlite3"

	"parlor/store"
	"parlor/store/sqlite"
	"parlor/store/storetest"
)

// TestStoreMoving runs the suite with pieces moved all the time.
func TestStoreMoving(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		dir := t.TempDir()
		opt := sqlite.Options{}.Recent(20)
		return storetest.Place{Lasts: true, Open: func() (store.Store, error) { return sqlite.Open(t.Context(), dir, opt) }}
	})
}

// everything is what an export has, in an order of its own.
func everything(tb testing.TB, s store.Store) (all []string) {
	tb.Helper()
	for c, err := range s.Export(tb.Context()) {
		if err != nil {
			tb.Fatalf("export: %v", err)
		}
		if g, ok := c.(store.PutGame); ok {
			g.Saved = 0 // not looked at by Commit
			c = g
		}
		all = append(all, fmt.Sprintf("%T%v", c, c))
	}
	slices.Sort(all)
	return all
}

// column is a number that a statement tells about the database.
func column(t *testing.T, s *sqlite.Store, query string) (n int) {
	t.Helper()
	c, err := sqlite3.Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, _, err := c.Prepare(query)
	if err != nil || !q.Step() {
		t.Fatalf("%s: error %v, %v", query, err, q.Err())
	}
	defer q.Close()
	return q.ColumnInt(0)
}

// journals makes changes of journals, most of which fit what a store has.
type journals struct {
	rnd  *rand.Rand
	last map[int64]uint64
}

func (j *journals) change() store.Change {
	game := j.rnd.Int64N(4) - 1 // also one that is negative
	last, there := j.last[game]
	switch n := j.rnd.IntN(20); {
	case !there, n == 0 && j.rnd.IntN(2) == 0:
		j.last[game] = last
		return store.PutGame{Number: game, Name: fmt.Sprint(game), Durable: true}
	case n == 1:
		delete(j.last, game)
		return store.DeleteGame{Number: game}
	case n < 4:
		return store.PutSave{Save: store.Save{Game: game, Entry: last - j.rnd.Uint64N(min(last, 6)+1), Data: "x"}, KeepJournal: n == 2}
	case n == 4:
		return store.Append{Game: game, First: last + 2, Last: last + 2} // a gap
	}
	p := store.Append{Game: game, First: last + 1, Last: last + 1 + j.rnd.Uint64N(2), Data: make([]byte, j.rnd.IntN(40))}
	for i := range p.Data {
		p.Data[i] = byte(j.rnd.Uint32())
	}
	j.last[game] = p.Last
	return p
}

// TestRecent makes changes of journals at random, on a disk that fails at times, opens the store again and again, also as if it was killed, and
// compares it with one in memory.
func TestRecent(t *testing.T) {
	t.Parallel()
	d, disk := newBadDisk(t, "bad-disk-of-journals")
	for seed := range uint64(3) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		opt := disk.Log(16, 1<<30).Recent([]int{20, 400, 2000}[seed])
		dir := t.TempDir()
		s := openWith(t, dir, opt)
		model, j := &store.Memory{}, &journals{rnd, map[int64]uint64{}}
		moved, refused, failed := 0, 0, 0
		for n := range 150 {
			var changes []store.Change
			for range 1 + rnd.IntN(4) {
				changes = append(changes, j.change())
			}
			if rnd.IntN(20) == 0 {
				d.failures.Store(1)
			}
			got := s.Commit(t.Context(), changes...)
			if errors.Is(got, store.ErrUnavailable) {
				failed++
				got = s.Commit(t.Context(), changes...)
			}
			d.failures.Store(0)
			want := model.Commit(t.Context(), changes...)
			if (want == nil) != (got == nil) || got != nil && !errors.Is(got, store.ErrConflict) {
				t.Fatalf("seed %d, commit %d of %+v: error %v, the model's is %v", seed, n, changes, got, want)
			}
			if want != nil {
				refused++
				clear(j.last)
				for game, piece := range lasts(t, model) {
					j.last[game] = piece
				}
			}
			if n%10 == 9 {
				moved += column(t, s, "SELECT count(*) FROM journal")
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = openWith(t, dir, opt)
			}
			if n%10 == 4 {
				s.Close()
				dir = place(t, files(t, dir))
				s = openWith(t, dir, opt)
			}
			if n%10 == 7 {
				r := openReadOnly(t, dir, opt)
				if diff := cmp.Diff(everything(t, s), everything(t, r), cmpopts.EquateEmpty()); diff != "" {
					t.Fatalf("seed %d, commit %d (-store +opened for reading):\n%s", seed, n, diff)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(everything(t, model), everything(t, s), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d, commit %d of %+v (-model +store):\n%s", seed, n, changes, diff)
			}
		}
		if refused == 0 || failed == 0 || moved == 0 {
			t.Errorf("seed %d: %d commits were refused, %d failed, and %d rows were moved", seed, refused, failed, moved)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// lasts are the last entries of games.
func lasts(t *testing.T, s store.Store) map[int64]uint64 {
	t.Helper()
	all := map[int64]uint64{}
	for c, err := range s.Export(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		switch c := c.(type) {
		case store.PutGame:
			all[c.Number] = 0
		case store.Append:
			all[c.Game] = max(all[c.Game], c.Last)
		case store.PutSave:
			all[c.Game] = max(all[c.Game], c.Entry)
		}
	}
	return all
}

// TestRecentIsBounded appends to many journals, and to a single one, which nobody saves, with commits of all sizes.
func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	for _, games := range []int{1, 40} {
		s := openWith(t, t.TempDir(), sqlite.Options{}.Recent(limit))
		var changes []store.Change
		for g := range games {
			changes = append(changes, store.PutGame{Number: int64(g), Name: fmt.Sprint(g)})
		}
		commit(t, s, changes...)
		last := make([]uint64, games)
		for total := 0; total < 20*limit; {
			changes = changes[:0]
			for range 1 + rand.IntN(200) {
				g := rand.IntN(games)
				last[g]++
				data := make([]byte, rand.IntN(150))
				total += len(data)
				changes = append(changes, store.Append{Game: int64(g), First: last[g], Last: last[g], Data: data})
			}
			commit(t, s, changes...)
			if bytes := column(t, s, "SELECT sum(length(data)) FROM recent"); bytes > 3*limit {
				t.Fatalf("%d games: %d bytes are in the table, and %d were written", games, bytes, total)
			}
		}
		if rows, entries := column(t, s, "SELECT count(*) FROM journal"), column(t, s, "SELECT sum(before + 1) FROM journal"); entries < 5*rows {
			t.Errorf("%d games: %d entries were moved, and made %d rows", games, entries, rows)
		}
		for g := range games {
			n := uint64(0)
			for p, err := range s.Journal(t.Context(), int64(g), 0) {
				if n++; err != nil || p.First != n {
					t.Fatalf("%d games: game %d has %+v as its piece %d, error %v", games, g, p, n, err)
				}
			}
			if n != last[g] {
				t.Errorf("%d games: game %d has %d pieces of %d", games, g, n, last[g])
			}
		}
	}
}

// TestSavesOvertake has each game saved before its pieces are moved: hardly any are.
func TestSavesOvertake(t *testing.T) {
	t.Parallel()
	s := openWith(t, t.TempDir(), sqlite.Options{}.Recent(20_000))
	commit(t, s, store.PutGame{Number: 1, Name: "a"})
	for n := range uint64(1000) {
		changes := []store.Change{store.Append{Game: 1, First: n + 1, Last: n + 1, Data: make([]byte, 100)}}
		if n%50 == 49 {
			changes = append(changes, store.PutSave{Save: store.Save{Game: 1, Entry: n + 1}})
		}
		commit(t, s, changes...)
	}
	if n := column(t, s, "SELECT max(number) FROM (SELECT number FROM journal UNION SELECT 0)"); n > 2 {
		t.Errorf("%d rows were moved", n)
	}
	if bytes := column(t, s, "SELECT sum(length(data)) FROM recent"); bytes > 30_000 {
		t.Errorf("%d bytes are in the table", bytes)
	}
}

// TestJournalBesideMoves reads journals and exports while pieces are appended, moved, dropped and deleted: each is of one moment.
func TestJournalBesideMoves(t *testing.T) {
	t.Parallel()
	s := openWith(t, t.TempDir(), sqlite.Options{}.Recent(200).Log(64, 1<<30))
	const games, life = 3, 160
	create := func(g int64) []store.Change {
		return []store.Change{store.DeleteGame{Number: g}, store.PutGame{Number: g, Name: fmt.Sprint(g)}, store.PutSave{Save: store.Save{Game: g}}}
	}
	moved := 0
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for g := range int64(games) {
		commit(t, s, create(g)...)
		writers.Go(func() {
			for last := uint64(0); last < 3*life; {
				changes := []store.Change{store.Append{Game: g, First: last%life + 1, Last: last%life + 1, Data: fmt.Append(nil, last/life)}}
				if g == 0 && last%20 == 0 {
					moved = max(moved, column(t, s, "SELECT count(*) FROM journal"))
				}
				switch last++; {
				case last%life == 0:
					changes = append(changes, create(g)...)
				case last%40 == 0:
					changes = append(changes, store.PutSave{Save: store.Save{Game: g, Entry: last % life}})
				}
				if err := s.Commit(t.Context(), changes...); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
		// follows sees to it that the pieces of a game are those of one life of it, one behind the other.
		follows := func(what string, all []store.Piece) {
			for i, p := range all {
				if string(p.Data) != string(all[0].Data) || p.First != all[0].First+uint64(i) {
					t.Errorf("%s: piece %d of %d is %d of life %s, behind %d of life %s", what, i, len(all), p.First, p.Data, all[max(i-1, 0)].First, all[0].Data)
					return
				}
			}
			if len(all) > 0 && (all[0].First-1)%40 != 0 || len(all) > 40 {
				t.Errorf("%s: %d pieces from %d on", what, len(all), all[0].First)
			}
		}
		readers.Go(func() {
			for {
				var all []store.Piece
				for p, err := range s.Journal(t.Context(), g, 0) {
					if err != nil {
						t.Errorf("journal: %v", err)
						return
					}
					all = append(all, p)
				}
				follows("journal", all)
				exported := map[int64][]store.Piece{}
				for c, err := range s.Export(t.Context()) {
					if err != nil {
						t.Errorf("export: %v", err)
						return
					}
					if p, ok := c.(store.Append); ok {
						exported[p.Game] = append(exported[p.Game], store.Piece(p))
					}
				}
				for _, all := range exported {
					follows("export", all)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if moved == 0 {
		t.Error("no piece was moved")
	}
}

// TestDamagedNotes has rows whose pages are right, and whose notes cannot be: they are refused, and left as they are.
func TestDamagedNotes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	commit(t, s, store.PutGame{Number: 1, Name: "a"}, store.Append{Game: 1, First: 1, Last: 1, Data: []byte("one")})
	commit(t, s, store.Append{Game: 1, First: 2, Last: 3, Data: []byte("two")})
	commit(t, s, store.Append{Game: 1, First: 4, Last: 4})
	dir := place(t, files(t, filepath.Dir(s.Path())))
	for what, change := range map[string]string{
		"cut":            "UPDATE recent SET data = substr(data, 1, length(data) - 1)",
		"longer":         "UPDATE recent SET data = CAST(data || x'01' AS BLOB)",
		"a row is gone":  "DELETE FROM recent WHERE number = (SELECT number FROM recent ORDER BY number LIMIT 1 OFFSET 1)",
		"a long number":  "UPDATE recent SET data = x'ffffffffffffffffffffffff'",
		"entries beyond": "UPDATE recent SET data = x'0101ffffffffffffffffff0100'",
	} {
		dir := place(t, files(t, dir))
		s := open(t, dir)
		sql(t, s, change)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		isDamaged(t, what, files(t, dir))
	}
}

// TestDamagedRun is the same of a row of the table journal.
func TestDamagedRun(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]string{
		"cut":             "UPDATE journal SET data = substr(data, 1, length(data) - 1)",
		"longer":          "UPDATE journal SET data = CAST(data || x'0000' AS BLOB)",
		"before too much": "UPDATE journal SET before = 5000",
		"before too few":  "UPDATE journal SET before = 0",
		"negative":        "UPDATE journal SET before = -1",
	} {
		s := openWith(t, t.TempDir(), sqlite.Options{}.Recent(1))
		commit(t, s, store.PutGame{Number: 1, Name: "a"}, store.Append{Game: 1, First: 1, Last: 1, Data: []byte("one")}, store.Append{Game: 1, First: 2, Last: 3})
		commit(t, s, store.Append{Game: 1, First: 4, Last: 4})
		sql(t, s, change)
		var last error
		for _, err := range s.Journal(t.Context(), 1, 0) {
			last = err
		}
		if !errors.Is(last, store.ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", what, last)
		}
		if err := s.Commit(t.Context(), setting("x")); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: commit: error %v, want ErrDamaged", what, err)
		}
	}
}
