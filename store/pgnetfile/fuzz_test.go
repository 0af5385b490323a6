package pgnetfile_test

import (
	"bytes"
	"testing"

	"parlor/store/pgnetfile"
)

// FuzzLoad: what loads saves to bytes that load to the same snapshot, and save to the same bytes.
func FuzzLoad(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		snap, damaged := pgnetfile.Decode(data)
		if damaged != nil {
			if damaged.Offset > len(data) || damaged.What == "" || damaged.Error() == "" {
				t.Errorf("damage is %+v", damaged)
			}
			return
		}
		first := pgnetfile.Encode(snap)
		again, damaged := pgnetfile.Decode(first)
		if damaged != nil {
			t.Fatalf("what was saved is damaged: %v\n%s", damaged, first)
		}
		if !equal(again, snap) {
			t.Errorf("loaded %+v, want %+v", again, snap)
		}
		if second := pgnetfile.Encode(again); !bytes.Equal(second, first) {
			t.Errorf("saved\n%s\nthen\n%s", first, second)
		}
	})
}
