// Client is pgnet's example client (section 15 of its protocol): it creates the chat "test", or joins it if it
// is there, prints what is said in it, and says what it reads from standard input.
//
//	go run ./examples/chat/client ADDRESS USER [PASSWORD]
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"parlor"
	"parlor/client"
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

// run chats until the input or the connection ends.
func run(ctx context.Context, address string, cfg client.Config, in io.Reader, out io.Writer) error {
	var seen []string
	cfg.OnStatus = func(status string) { fmt.Fprintln(out, ">> STATUS:", status) }
	cfg.OnGame = func(game string) { fmt.Fprintln(out, ">> GAME:", cmp.Or(game, "None")) } // as Python prints it
	cfg.OnConnection = func(connected bool) {
		text := "False"
		if connected {
			text = "True"
		}
		fmt.Fprintln(out, ">> CONNECTION:", text)
	}
	show := func(p parlor.Payload) {
		var news struct {
			Log []string `json:"log"`
		}
		if p.Bind(&news) != nil || slices.Equal(news.Log, seen) {
			return
		}
		seen = news.Log
		fmt.Fprintln(out, "New log:")
		for _, line := range seen {
			fmt.Fprintln(out, "--", line)
		}
	}
	// On pgnet's wire the news are in the answers to heartbeats; others push them, and have no need of heartbeats.
	pushed := false
	cfg.OnHeartbeat = func(beat parlor.Response) {
		if !pushed {
			show(beat.Payload)
		}
	}
	cfg.OnPush = func(p *parlor.Push) {
		pushed = true
		var news struct {
			Line string `json:"line"`
			User string `json:"user"`
		}
		switch {
		case p.Message == "log":
			show(p.Payload)
		case p.Payload.Bind(&news) != nil:
		case p.Message == "line":
			fmt.Fprintln(out, "--", news.Line)
		case p.Message == "away", p.Message == "back":
			fmt.Fprintln(out, "--", news.User, "is", p.Message)
		}
	}
	c, err := client.Dial(ctx, address, cfg)
	if err != nil {
		return err
	}
	defer c.Wait()
	defer c.Close()
	err = c.CreateGame(ctx, "test", client.GameOptions{})
	if refused := (*client.RefusedError)(nil); errors.As(err, &refused) && refused.Response.Message == "Game name already exists." {
		err = c.JoinGame(ctx, "test", client.GameOptions{})
	}
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if _, err := c.Request(ctx, lines.Text(), nil); err != nil {
			return err
		}
	}
	return nil
}
