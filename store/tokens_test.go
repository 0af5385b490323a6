package store_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"parlor/store"
)

// FuzzTokens reads the tokens of a session from any bytes: those that can be read are written and read again.
func FuzzTokens(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 7, 2, 8, 9})
	f.Add([]byte{3, 1})
	f.Add(bytes.Repeat([]byte{255}, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, ok := store.UnpackTokens(b)
		if !ok {
			return
		}
		again, ok := store.UnpackTokens(store.PackTokens(all))
		if !ok || !cmp.Equal(all, again, cmpopts.EquateEmpty()) {
			t.Errorf("%v became %v, %t", all, again, ok)
		}
	})
}

// TestTokens: what is cut off is refused, and what was read is its reader's own.
func TestTokens(t *testing.T) {
	want := [][]byte{{1}, {}, bytes.Repeat([]byte{2}, 200)}
	b := store.PackTokens(want)
	got, ok := store.UnpackTokens(b)
	clear(b)
	if !ok || !cmp.Equal(got, want, cmpopts.EquateEmpty()) {
		t.Errorf("%v became %v, %t", want, got, ok)
	}
	b = store.PackTokens(want)
	whole := map[int]bool{0: true, 2: true, 3: true, len(b): true}
	for n := range len(b) + 1 {
		if _, ok := store.UnpackTokens(b[:n]); ok != whole[n] {
			t.Errorf("%d bytes of %d: %t", n, len(b), ok)
		}
	}
}
