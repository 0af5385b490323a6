package keyset_test

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parlor/internal/keyset"
)

// TestAdd compares with a map of Go, for keys of which many are equal and many nearly so.
func TestAdd(t *testing.T) {
	key := rapid.OneOf(
		rapid.StringMatching(`[ab]{0,9}`),
		rapid.StringMatching(`position_[xyz]{0,2}`),
		rapid.StringMatching(`a{250,260}`),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		var text []byte
		var set keyset.Set
		numbers := map[string]int{}
		for _, k := range rapid.SliceOfN(key, 0, 200).Draw(t, "keys") {
			from := len(text)
			text = append(text, k...)
			want, known := numbers[k]
			if !known {
				want = -1
				numbers[k] = len(numbers)
			}
			if got := set.Add(text, from, len(text)); got != want {
				t.Fatalf("Add(%q) = %d, want %d", k, got, want)
			}
			text = append(text, rapid.SampledFrom([]string{"", "1", "long value"}).Draw(t, "value")...)
		}
	})
}

// TestManyKeys: finding a key takes a look or two, whatever the keys are.
func TestManyKeys(t *testing.T) {
	const n = 50_000
	for name, key := range map[string]func(i int) string{
		"numbers":       strconv.Itoa,
		"one beginning": func(i int) string { return "position" + strconv.Itoa(i) },
		"one letter":    func(i int) string { return strings.Repeat("a", i%1000) + strconv.Itoa(i) },
	} {
		t.Run(name, func(t *testing.T) {
			var text []byte
			var set keyset.Set
			for i := range n {
				from := len(text)
				text = append(text, key(i)...)
				if got := set.Add(text, from, len(text)); got != -1 {
					t.Fatalf("Add(%q) = %d", text[from:], got)
				}
			}
			if steps := set.Steps(); steps < n || steps > 2*n {
				t.Errorf("%d steps for %d keys", steps, n)
			}
		})
	}
}

func TestFewKeysAllocateNothing(t *testing.T) {
	text := []byte("x y id name position_x position_y")
	if n := testing.AllocsPerRun(100, func() {
		var set keyset.Set
		for _, k := range [][2]int{{0, 1}, {2, 3}, {4, 6}, {7, 11}, {12, 22}, {23, 33}} {
			set.Add(text, k[0], k[1])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
