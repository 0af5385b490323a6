package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// footprint is what users cost in resident memory.
type footprint struct {
	users         int
	native        bool    // they are on the native wire; else on pgnet's
	playing       bool    // they are in games, of ten users each; else in none
	before, after float64 // kB
}

func (f footprint) perUser() float64 { return (f.after - f.before) / float64(f.users) }

// perGame is how many of the users that play share a game.
const perGame = 10

// memory measures idle users, each time on a server of their own.
func memory(ctx context.Context, o options) (all []footprint, err error) {
	if runtime.GOOS != "linux" {
		return nil, nil // there is no /proc to read
	}
	counts := []int{o.idle}
	if more := 5 * o.idle; !o.seldom && openFiles() > more+100 {
		counts = append(counts, more)
	}
	for _, users := range counts {
		for _, f := range []footprint{{}, {playing: true}, {native: true}, {native: true, playing: true}} {
			f.users = users
			if err := f.measure(ctx); err != nil {
				return all, fmt.Errorf("memory of %d users: %w", users, err)
			}
			all = append(all, f)
		}
	}
	return all, nil
}

func (f *footprint) measure(ctx context.Context) (err error) {
	lobby, err := start(ctx, "server")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lobby.close()) }()
	if f.before, err = settled(lobby); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var clients []idler
	defer func() {
		closeAll(clients)
		wg.Wait()
	}()
	for i := range f.users {
		if err := ctx.Err(); err != nil {
			return err
		}
		game := ""
		if f.playing {
			game = gameName(i / perGame)
		}
		c, err := f.login(lobby.addr, fmt.Sprintf("player%d", i), game)
		if err != nil {
			return err
		}
		clients = append(clients, c)
		wg.Go(c.idle) // ends with the connection
	}
	f.after, err = settled(lobby)
	return err
}

// idler is a user who does nothing.
type idler interface {
	// idle answers pings until the connection ends.
	idle()
	io.Closer
}

func (f *footprint) login(addr, user, game string) (idler, error) {
	if f.native {
		return loginNative(addr, user, game, crowdBuffer)
	}
	return login(addr, user, game)
}

// settled is a child's resident memory once it has cleaned up.
func settled(c *child) (kB float64, err error) {
	if _, err := c.ask(commandSettle); err != nil {
		return 0, err
	}
	return c.rss()
}
