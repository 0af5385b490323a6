package room_test

import (
	"reflect"
	"testing"
	"testing/synctest"

	"parlor/room"
)

// TestEntries: what is said of a journal.
func TestEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := played(t, room.Config{Seed: [2]uint64{1, 3}}, "one", "save")
		var all []string
		for e, err := range st.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e.String())
		}
		want := []string{`1 0s begin`, `2 0s join "zoe"`, `3 1s packet "zoe" "one" {"of": "zoe"}`}
		if !reflect.DeepEqual(all, want) {
			t.Errorf("%q, want %q", all, want)
		}
		if began := st.Save.Began().Format("2006-01-02 15:04:05 MST"); began != "2000-01-01 00:00:00 UTC" {
			t.Errorf("it began %s", began)
		}
	})
}

// FuzzEntries: bytes that are no entries are told of, and what are entries is the same again when it is written again.
func FuzzEntries(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x80})
	f.Add(room.OneOfEach())
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := room.Rewrite(b)
		if err != nil {
			return
		}
		twice, err := room.Rewrite(again)
		if err != nil || !reflect.DeepEqual(room.EntriesOf(b), room.EntriesOf(again)) || string(twice) != string(again) {
			t.Errorf("%x is written as %x, and then %x, %v", b, again, twice, err)
		}
	})
}
