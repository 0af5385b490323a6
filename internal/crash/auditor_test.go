package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/crash"
	"parlor/internal/crash/program/game"
)

// patience is how long a server may take for anything: it is long, as others use this machine too.
const patience = time.Minute

// audit has each game tell its events, and compares them with what people were told. The players go on meanwhile.
func (w *world) audit(r *rand.Rand) error {
	return w.ask(r, w.host, func(ctx context.Context, c *client.Client, r room) error {
		q := w.ledger.Ask(r.name)
		events, end, err := read(ctx, c, r, q)
		if err != nil {
			return err
		}
		return w.ledger.Check(r.name, q, events, end)
	})
}

// ask asks all games of a host in some order, as the auditor.
func (w *world) ask(r *rand.Rand, h *host, one func(context.Context, *client.Client, room) error) error {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	cfg, address := w.config(h, r.IntN(pgnet), game.Auditor) // the answers may be too large for pgnet's wire
	c, err := w.dial(ctx, cfg, address)
	if err != nil {
		return fmt.Errorf("the auditor cannot log in: %w", err)
	}
	w.audited.Do(func() { w.absent.Add(-1) })
	defer func() { c.Close(); c.Wait() }()
	for _, i := range r.Perm(len(w.rooms)) {
		err := one(ctx, c, w.rooms[i])
		for strings.Contains(refusal(err), "could not") && w.pause(100*time.Millisecond) { // a game goes back to what is stored
			err = one(ctx, c, w.rooms[i])
		}
		if err != nil {
			return fmt.Errorf("audit of game %s: %w", w.rooms[i].name, err)
		}
	}
	return nil
}

// read has a game tell its events, and where it ends.
func read(ctx context.Context, c *client.Client, r room, q crash.Question) (events []game.Event, end game.Place, err error) {
	if c.Game() != r.name { // else something was refused before
		if err := c.JoinGame(ctx, r.name, client.GameOptions{Kind: r.kind}); err != nil {
			return nil, end, err
		}
	}
	for {
		resp, err := c.Request(ctx, game.Audit, parlor.Map{"Known": q.Known, "From": q.Known + uint64(len(events))})
		if err == nil && resp.Status != parlor.StatusOK {
			err = &client.RefusedError{Response: resp}
		}
		var told game.Audited
		if err == nil {
			err = resp.Payload.Bind(&told)
		}
		if err != nil {
			return nil, end, err
		}
		events = append(events, told.Events...)
		switch n := q.Known + uint64(len(events)); {
		case n >= told.Place.N:
			return events, told.Place, c.LeaveGame(ctx)
		case len(told.Events) == 0:
			return nil, end, fmt.Errorf("it has %d events and tells %d", told.Place.N, n)
		}
	}
}
