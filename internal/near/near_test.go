package near_test

import (
	"testing"

	"parlor/internal/near"
)

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"same", "same", 0},
		{"userjoin", "userjoined", 2}, {"hlep", "help", 2}, {"update", "updat", 1}, {"update", "uqdate", 1},
		{"kitten", "sitting", 3}, {"größe", "grosse", 3},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			if got := near.Distance(pair[0], pair[1]); got != test.want {
				t.Errorf("Distance(%q, %q) = %d, want %d", pair[0], pair[1], got, test.want)
			}
		}
	}
}
