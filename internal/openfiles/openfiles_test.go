//go:build unix

package openfiles_test

import (
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"parlor/internal/openfiles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAtMost(t *testing.T) {
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Skip(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was)
	for _, c := range []struct {
		limit   syscall.Rlimit
		n, want int
	}{
		{syscall.Rlimit{Cur: 64}, 100_000, 32},
		{syscall.Rlimit{Cur: 200}, 100_000, 100},
		{syscall.Rlimit{Cur: 512}, 100_000, 412},
		{syscall.Rlimit{Cur: 512}, 412, 412},
		{syscall.Rlimit{Cur: 512}, 10, 10},
	} {
		l := c.limit
		l.Max = was.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			t.Skipf("limit %d: %v", l.Cur, err)
		}
		if got := openfiles.AtMost(c.n); got != c.want {
			t.Errorf("limit %d: %d connections of %d, want %d", l.Cur, got, c.n, c.want)
		}
	}
}
