package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"parlor/store"
	"parlor/store/sqlite"
)

// aimUsers is how long a start may take with 1,000,000 users, until the first is logged in.
const aimUsers = 2 * time.Second

// measureUsers is the part of a start with many users.
func measureUsers(ctx context.Context, o options, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "bench-users-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	place := filepath.Join(dir, "store")
	if err := register(ctx, place, o.users); err != nil {
		return fmt.Errorf("register users: %w", err)
	}
	fmt.Fprintf(w, "A store of %d users on SQLite, with hashes as they are. Load average: %s\n", o.users, loadAverage())
	var took, logins, memory []float64
	for range o.pairs {
		began := time.Now()
		server, err := start(ctx, o.profiledAs(".users", "server", "-hashes", "-early", "-store", place)...)
		if err != nil {
			return err
		}
		err = mustLogin(nthOf(homes, 0), server.addr, userName(o.users/2))
		took = append(took, time.Since(began).Seconds())
		for i := 0; i < 20 && err == nil; i++ {
			before := time.Now()
			err = mustLogin(nthOf(homes, 0), server.addr, userName(i*o.users/20))
			logins = append(logins, time.Since(before).Seconds())
		}
		if runtime.GOOS == "linux" && err == nil {
			var rss float64
			rss, err = server.rss()
			memory = append(memory, rss/1000)
		}
		if err = errors.Join(err, server.close()); err != nil {
			return err
		}
	}
	m := median(took)
	fmt.Fprintf(w, "  from the start of the process until the first is logged in: %.2f s (%.2f..%.2f)%s\n", m, slices.Min(took), slices.Max(took),
		verdict(true, m <= aimUsers.Seconds(), fmt.Sprintf("at most %v", aimUsers)))
	fmt.Fprintf(w, "  logins then, one after the other, of others: %.0f ms each (%.0f..%.0f)", 1000*median(logins), 1000*slices.Min(logins), 1000*slices.Max(logins))
	if len(memory) > 0 {
		fmt.Fprintf(w, "; resident memory %.0f MB", median(memory))
	}
	fmt.Fprintf(w, "; load average %s\n\n", loadAverage())
	return nil
}

func userName(i int) string { return fmt.Sprintf("user%07d", i) }

// register makes a store of so many users. One of them has registered with a server: the others have her hash.
func register(ctx context.Context, place string, users int) (err error) {
	server, err := start(ctx, "server", "-hashes", "-store", place)
	if err != nil {
		return err
	}
	err = mustLogin(nthOf(homes, 0), server.addr, userName(0))
	if err = errors.Join(err, server.close()); err != nil {
		return err
	}
	st, err := sqlite.Open(ctx, place, sqlite.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	first, err := st.User(ctx, userName(0))
	if err != nil {
		return err
	}
	const together = 10_000
	changes := make([]store.Change, 0, together)
	for i := 1; i < users; i++ {
		u := store.PutUser{Name: userName(i), Folded: userName(i), Secret: first.Secret}
		if changes = append(changes, u); len(changes) == together || i == users-1 {
			if err := st.Commit(ctx, changes...); err != nil {
				return err
			}
			changes = changes[:0]
		}
	}
	return nil
}
