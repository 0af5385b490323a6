// Client walks on the field of examples/positions: it joins the game "field", shows on one line who is where, and takes
// directions from standard input, such as "3 -2" or, to stop, "0 0".
//
//	go run ./examples/positions/client ADDRESS USER [PASSWORD]
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

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

// run plays until the input or the connection ends.
func run(ctx context.Context, address string, cfg client.Config, in io.Reader, out io.Writer) error {
	var view game.View // OnPush and OnHeartbeat are called by one goroutine
	pushed := false
	cfg.OnPush = func(p *parlor.Push) {
		pushed = true
		if view.Push(p) == nil { // what does not fit follows something that was lost: a state comes next
			show(out, view)
		}
	}
	cfg.OnHeartbeat = func(beat parlor.Response) { // of pgnet's wire, which has no pushes
		if !pushed && view.State(beat.Payload) == nil {
			show(out, view)
		}
	}
	c, err := client.Dial(ctx, address, cfg)
	if err != nil {
		return err
	}
	defer c.Wait()
	defer c.Close()
	if err := c.JoinGame(ctx, "field", client.GameOptions{}); err != nil {
		return err
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
