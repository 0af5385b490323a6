// Client walks on the field of examples/positions: it joins the game "field", shows on one line who is where, and takes
// directions from standard input, such as "3 -2" or, to stop, "0 0".
//
//	go run ./examples/positions/client ADDRESS USER [PASSWORD]
//
// The server is that of examples/positions, or parlor serve, which has the game among others.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"parlor"
	"parlor/client"
	"parlor/examples/positions/game"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: client ADDRESS USER [PASSWORD], for example: client localhost:38929 alice wonderland")
		os.Exit(2)
	}
	args := append(os.Args[1:], "")
	cfg := client.Config{Username: args[1], Password: args[2]}
	if err := run(context.Background(), args[0], cfg, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errOther means a game that is not positions.
var errOther = errors.New(`the game "field" there is none of positions: start "go run ./examples/positions", or "parlor serve", which has several kinds`)

// firstWait is how long the game may take to say where everybody is.
const firstWait = 5 * time.Second

// run plays until the input or the connection ends.
func run(ctx context.Context, address string, cfg client.Config, in io.Reader, out io.Writer) error {
	var view game.View // OnPush and OnHeartbeat are called by one goroutine
	pushed := false
	first := make(chan error, 1) // has what came of the first news
	news := func(err error) {
		select {
		case first <- err:
		default: // what does not fit later on follows something that was lost: a state comes next
		}
		if err == nil {
			show(out, view)
		}
	}
	cfg.OnPush = func(p *parlor.Push) {
		if p.Game == "" {
			return // the lobby says it
		}
		pushed = true
		news(view.Push(p))
	}
	cfg.OnHeartbeat = func(beat parlor.Response) { // of pgnet's wire, which has no pushes
		if !pushed && beat.Game != "" {
			news(view.State(beat.Payload))
		}
	}
	c, err := client.Dial(ctx, address, cfg)
	if err != nil {
		return err
	}
	defer c.Wait()
	defer c.Close()
	if err := join(ctx, c); err != nil {
		return err
	}
	select {
	case err := <-first:
		if err != nil {
			return fmt.Errorf("%w (%w)", errOther, err)
		}
	case <-time.After(firstWait):
		return fmt.Errorf("%w (it says nothing)", errOther)
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var x, y int
		if _, err := fmt.Sscan(lines.Text(), &x, &y); err != nil {
			fmt.Fprintf(out, "\nwhere to? two numbers from %d to %d\n", -game.Speed, game.Speed)
			continue
		}
		r, err := c.Request(ctx, "steer", parlor.Map{"x": x, "y": y})
		if err != nil {
			return err
		}
		if r.Status != parlor.StatusOK {
			fmt.Fprintf(out, "\n%s\n", r.Message)
		}
	}
	return nil
}

// join joins the game. The kind matters where there are several; a server with one only may have no name for it, and pgnet's take none.
func join(ctx context.Context, c *client.Client) error {
	err := c.JoinGame(ctx, "field", client.GameOptions{Kind: "positions"})
	if refused := (*client.RefusedError)(nil); errors.As(err, &refused) && refused.Response.Game == "" {
		switch text := refused.Response.Message; {
		case strings.HasPrefix(text, "No such kind of game"), strings.HasPrefix(text, "Unexpected argument"):
			return c.JoinGame(ctx, "field", client.GameOptions{})
		case strings.Contains(text, "It is of the kind"):
			return fmt.Errorf("%w (%w)", errOther, err)
		}
	}
	return err
}

// show writes the line again.
func show(out io.Writer, v game.View) {
	const again, rest = "\r", "\x1b[K" // to the start of the line, and what is left of it off
	var b strings.Builder
	fmt.Fprintf(&b, "%sstep %d", again, v.Step)
	for _, name := range slices.Sorted(maps.Keys(v.Players)) {
		at := v.Players[name]
		fmt.Fprintf(&b, "  %s %d,%d", name, at.X, at.Y)
		if at.Away {
			b.WriteString(" (away)")
		}
	}
	io.WriteString(out, b.String()+rest)
}
