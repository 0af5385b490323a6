// Client is pgnet's example client (section 15 of its protocol): it joins the chat "test", prints what is said
// there, and says what it reads from standard input.
//
//	go run ./examples/chat/client ADDRESS USER [PASSWORD]
package main

import (
	"bufio"
	"context"
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
	cfg.OnGame = func(game string) { fmt.Fprintln(out, ">> GAME:", game) }
	cfg.OnConnection = func(connected bool) { fmt.Fprintln(out, ">> CONNECTION:", connected) }
	cfg.OnHeartbeat = func(beat parlor.Response) {
		var news struct {
			Log []string `json:"log"`
		}
		if beat.Payload.Bind(&news) != nil || slices.Equal(news.Log, seen) {
			return
		}
		seen = news.Log
		fmt.Fprintln(out, "New log:")
		for _, line := range seen {
			fmt.Fprintln(out, "--", line)
		}
	}
	c, err := client.Dial(ctx, address, cfg)
	if err != nil {
		return err
	}
	defer c.Wait()
	defer c.Close()
	if err := c.JoinGame(ctx, "test", client.GameOptions{}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if _, err := c.Request(ctx, lines.Text(), nil); err != nil {
			return err
		}
	}
	return nil
}
