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
	"sync"
	"sync/atomic"
	"time"

	"parlor"
)

// aimRecovery is how long a start may take with 10,000 durable games of 100 entries each.
const aimRecovery = 10 * time.Second

// recoveredMoves are those of each game: with its beginning, the user who joins and leaves, it has a hundred entries.
const recoveredMoves = 100 - entriesBeforeMoves - 1

// recoveryClients are how many play at once while the store is filled.
const recoveryClients = 400

// measureRecovery is the part of games that are made again after a crash.
func measureRecovery(ctx context.Context, o options, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "bench-recovery-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	place := filepath.Join(dir, "store")
	began := time.Now()
	if err := playGames(ctx, place, o.recovered); err != nil {
		return fmt.Errorf("play games to be recovered: %w", err)
	}
	fmt.Fprintf(w, "%d durable games of 100 entries each, whose server was killed when all was played, after %.0f s. Load average: %s\n",
		o.recovered, time.Since(began).Seconds(), loadAverage())
	var took, answered, cpus, peaks []float64
	for range o.pairs {
		r, err := recovers(ctx, o, place)
		if err != nil {
			return err
		}
		took, answered, cpus, peaks = append(took, r.open), append(answered, r.answered), append(cpus, r.cpu), append(peaks, r.peak)
	}
	m := median(took)
	fmt.Fprintf(w, "  from the start of the process until all are open and somebody is logged in: %.2f s (%.2f..%.2f)%s\n", m, slices.Min(took), slices.Max(took),
		verdict(true, m <= aimRecovery.Seconds(), fmt.Sprintf("at most %v", aimRecovery)))
	fmt.Fprintf(w, "  until the login alone: %.2f s; CPU time until then: %.2f s", median(answered), median(cpus))
	if runtime.GOOS == "linux" {
		fmt.Fprintf(w, "; peak of resident memory: %.0f MB", median(peaks))
	}
	fmt.Fprintf(w, "; load average %s\n\n", loadAverage())
	return nil
}

// playGames has clients play games, one after the other, on a server that is killed in the end.
func playGames(ctx context.Context, place string, games int) error {
	server, err := start(ctx, "server", "-game", "durable", "-store", place)
	if err != nil {
		return err
	}
	defer server.kill()
	var wg sync.WaitGroup
	var next atomic.Int64
	clients := min(recoveryClients, games)
	errs := make([]error, clients)
	for i := range clients {
		s, err := loginNative(server.addr, fmt.Sprint("player", i), "", crowdBuffer)
		if err != nil {
			return err
		}
		defer s.Close()
		wg.Go(func() { // ends with the last game
			for game := next.Add(1) - 1; game < int64(games) && errs[i] == nil; game = next.Add(1) - 1 {
				errs[i] = s.playThrough(ctx, gameName(int(game)))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// playThrough joins a game, makes all moves, and leaves.
func (s *speaker) playThrough(ctx context.Context, game string) error {
	s.size = messageSize // the answer to who joins is no move's
	if err := s.enter(game); err != nil {
		return err
	}
	s.size = len(newMove())
	r := &stint{message: newMove()}
	for range recoveredMoves {
		if err := s.SetDeadline(time.Now().Add(slack)); err != nil {
			return err
		}
		if err := errors.Join(ctx.Err(), r.move(s)); err != nil {
			return err
		}
	}
	s.id++
	return s.ask(parlor.RequestLeaveGame, parlor.Payload{})
}

// move makes one move.
func (r *stint) move(p peer) error {
	if err := p.send(1, r.message); err != nil {
		return err
	}
	_, err := p.receive(func(message []byte) { r.wrong = r.wrong || string(message) != string(r.message) })
	if err == nil && r.wrong {
		err = errors.New("what came back is not what was sent")
	}
	return err
}

// recovered is what came of a start, in seconds and MB.
type recovered struct{ answered, open, cpu, peak float64 }

// recovers starts a server on the store of one that was killed, and kills it too.
func recovers(ctx context.Context, o options, place string) (r recovered, err error) {
	began := time.Now()
	server, err := start(ctx, o.profiledAs(".recovery", "server", "-early", "-game", "durable", "-store", place)...)
	if err != nil {
		return r, err
	}
	defer server.kill()
	s, err := loginNative(server.addr, fmt.Sprintf("visitor%x", began.Unix()), "", crowdBuffer)
	if err != nil {
		return r, err
	}
	r.answered = time.Since(began).Seconds()
	defer s.Close()
	for {
		stats, err := server.ask(commandStats)
		if err != nil {
			return r, err
		}
		r.open, r.cpu = time.Since(began).Seconds(), stats.CPU.Seconds()
		if all := int64(o.recovered) * recoveredMoves; stats.Played >= all {
			break
		} else if r.open > time.Minute.Seconds() {
			return r, fmt.Errorf("%d of %d moves were made again within a minute", stats.Played, all)
		}
		pause(ctx, 10*time.Millisecond)
	}
	for i := 0; i < o.recovered; i += max(1, o.recovered/10) { // some of them, which must be open
		if err := s.playThrough(ctx, gameName(i)); err != nil {
			return r, fmt.Errorf("a game that was made again: %w", err)
		}
	}
	if o.cpuProfile+o.memProfile != "" {
		_, err = server.ask(commandProfiled)
	}
	if runtime.GOOS == "linux" {
		var peak float64
		peak, failed := server.memory("VmHWM:")
		r.peak, err = peak/1000, errors.Join(err, failed)
	}
	return r, err
}
