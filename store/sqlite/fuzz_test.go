package sqlite_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/store"
	"parlor/store/sqlite"
)

// FuzzNotes reads rows of journals from any bytes: what can be read is written and read again.
func FuzzNotes(f *testing.F) {
	f.Add([]byte{})
	f.Add(sqlite.AppendDrop(sqlite.AppendPiece(nil, store.Piece{Game: -1, First: 3, Last: 5, Data: []byte("data")}), 7, math.MaxInt64))
	f.Add([]byte{1, 1, 0, 200, 1})
	f.Add(bytes.Repeat([]byte{255}, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := sqlite.Notes(b)
		if err != nil {
			return
		}
		var again []byte
		for _, p := range all {
			switch {
			case p.First == 0:
				again = sqlite.AppendDrop(again, p.Game, p.Last)
			case p.Last < p.First || p.Last > math.MaxInt64:
				t.Fatalf("a piece has the entries %d to %d", p.First, p.Last)
			default:
				again = sqlite.AppendPiece(again, p)
			}
		}
		same, err := sqlite.Notes(again)
		if err != nil || !cmp.Equal(all, same, cmpopts.EquateEmpty()) {
			t.Errorf("%v became %v, error %v", all, same, err)
		}
	})
}

// FuzzLog reads any bytes as a log. It must not be taken for an error of the disk.
func FuzzLog(f *testing.F) {
	dir := f.TempDir()
	s := open(f, filepath.Join(dir, "data"))
	for range 3 {
		commit(f, s, setting("x"))
	}
	log, err := os.ReadFile(s.Path() + "-wal")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(log)
	f.Add(log[:len(log)-5000])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged, err := sqlite.ReadLog(path)
		if err != nil || damaged && bytes.Equal(b, log) {
			t.Errorf("damaged: %v, error %v", damaged, err)
		}
	})
}
