package sqlite

import (
	"slices"

	"github.com/ncruces/go-sqlite3"

	"parlor/store"
)

// What the last commits did to journals is in the table recent: one row for each commit, with notes of the pieces that it
// appended and of those that it dropped, of all games. A row for each piece would have a commit write a page of the database
// for nearly every piece, as each game's are somewhere else. It is in memory, too: the table is read when the store is opened, and by who may only read.
//
// When it has grown to some size, each commit first moves some pieces to the table journal: those of the game whose
// piece is the oldest, together. That is a note that they are dropped, as is that of a save. A row goes when nothing of it, and of all
// before it, is left: so a note that something is dropped lasts as long as what it drops.

const (
	recentBytes = 8 << 20  // of rows, from which on pieces are moved
	runBytes    = 64 << 10 // of pieces that become one row of the table journal, and of those that a commit moves at least
)

// recent is what the table of that name comes to. The zero value is that of an empty one.
type recent struct {
	rows  []*row            // from the first that has something left, in the order of their commits
	games map[int64][]piece // what is left, in order. A slice is appended to or replaced: who has it may keep it
	bytes int               // of all rows
}

type row struct {
	number int64 // of the commit
	data   []byte
	left   int // pieces
}

// piece is one that is left.
type piece struct {
	store.Piece
	row *row
}

// add adds the row of a commit, whose bytes it keeps.
func (r *recent) add(number int64, data []byte) error {
	if r.games == nil {
		r.games = make(map[int64][]piece)
	}
	at := &row{number: number, data: data}
	r.rows = append(r.rows, at)
	r.bytes += len(data)
	n := notes{b: data}
	for n.more() {
		p := n.note()
		if n.err != nil {
			break
		}
		if p.First == 0 {
			r.drop(p.Game, p.Last)
			continue
		}
		all := r.games[p.Game]
		if len(all) > 0 && all[len(all)-1].Last+1 != p.First {
			n.fail()
			break
		}
		r.games[p.Game] = append(all, piece{p, at})
		at.left++
	}
	return n.err
}

// drop drops the pieces of a game that end with an entry or before.
func (r *recent) drop(game int64, last uint64) {
	all := r.games[game]
	n := 0
	for n < len(all) && all[n].Last <= last {
		all[n].row.left--
		n++
	}
	if n == len(all) {
		delete(r.games, game)
	} else if n > 0 {
		r.games[game] = slices.Clone(all[n:])
	}
}

// spent are the rows at the beginning of which nothing is left, and their bytes.
func (r *recent) spent() (rows, bytes int) {
	for rows < len(r.rows) && r.rows[rows].left == 0 {
		bytes += len(r.rows[rows].data)
		rows++
	}
	return rows, bytes
}

// load reads the table.
func (r *recent) load(c *conn) error {
	*r = recent{}
	return c.run("SELECT number, data FROM recent ORDER BY number", func(s *sqlite3.Stmt) error {
		return r.add(s.ColumnInt64(0), blob(s, 1))
	})
}

// move makes room in the table, in a transaction before its changes. It writes the notes of that to b.
func (s *Store) move(b []byte, limit int) ([]byte, error) {
	r := &s.recent
	if n, bytes := r.spent(); bytes > s.opt.test.recent/64 {
		// If the transaction fails, these rows go with those behind them.
		if err := s.writer.run("DELETE FROM recent WHERE number <= ?", nil, r.rows[n-1].number); err != nil {
			return b, err
		}
		r.rows = slices.Delete(r.rows, 0, n)
		r.bytes -= bytes
	}
	if r.bytes <= limit {
		return b, nil
	}
	moved := make(map[int64]int)                               // pieces of a game
	budget := max(runBytes, 2*len(r.rows[len(r.rows)-1].data)) // it grows no further, however much each commit appends
	for _, at := range r.rows {
		for n := (notes{b: at.data}); at.left > 0 && n.more(); {
			game := n.note().Game
			all := r.games[game][moved[game]:]
			if len(all) == 0 || all[0].row != at {
				continue // it is not here any more
			}
			pieces, bytes, err := s.moveRun(all)
			if err != nil {
				return b, err
			}
			moved[game] += pieces
			b = appendDrop(b, game, all[pieces-1].Last)
			if budget -= bytes; budget <= 0 {
				return b, nil
			}
		}
	}
	return b, nil
}

// moveRun makes a row of the table journal of the first pieces of a game.
func (s *Store) moveRun(all []piece) (n, bytes int, err error) {
	size := 0
	for n < len(all) && (n == 0 || size+len(all[n].Data) <= runBytes) {
		size += len(all[n].Data) + 4
		n++
	}
	run := make([]byte, 0, size)
	for _, p := range all[:n] {
		run = appendEntries(run, p.Piece)
	}
	last := all[n-1].Last
	return n, len(run), s.writer.run("INSERT INTO journal (game, last, before, data) VALUES (?, ?, ?, ?)", nil,
		all[0].Game, int64(last), int64(last-all[0].First), run)
}

// cut drops the pieces of a game in the table journal that end with an entry or before.
func (s *Store) cut(game int64, entry uint64) error {
	c := s.writer
	if err := c.run("DELETE FROM journal WHERE game = ? AND last <= ?", nil, game, int64(entry)); err != nil {
		return err
	}
	var all []store.Piece
	err := c.run("SELECT last, before, data FROM journal WHERE game = ? AND last > ? ORDER BY last LIMIT 1", func(r *sqlite3.Stmt) (err error) {
		last, before := uint64(r.ColumnInt64(0)), uint64(r.ColumnInt64(1))
		if last-before <= entry {
			all, err = readRun(game, last, before, blob(r, 2))
		}
		return err
	}, game, int64(entry))
	if err != nil || len(all) == 0 {
		return err
	}
	last := all[len(all)-1].Last
	all = slices.DeleteFunc(all, func(p store.Piece) bool { return p.Last <= entry })
	var run []byte
	for _, p := range all {
		run = appendEntries(run, p)
	}
	return c.run("UPDATE journal SET before = ?, data = ? WHERE game = ? AND last = ?", nil, int64(last-all[0].First), run, game, int64(last))
}
