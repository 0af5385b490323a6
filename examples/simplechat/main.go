// Simplechat is a chat room on typed packets: nicknames, commands, whispers, and a server that answers pings. It
// speaks with peng3dnet's example of the same name.
//
//	go run ./examples/simplechat server localhost:8080
//	go run ./examples/simplechat client localhost:8080 alice
//	go run ./cmd/parlor ping localhost:8080
//
// Without a nickname the client takes the first line that it reads. /help lists the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode"

	"parlor/packet"
)

// join is the packet chat:join, with which a client enters the room.
type join struct {
	Nickname string `msgpack:"nickname"`
}

// said is the packet chat:message from a client to the server.
type said struct {
	Message   string  `msgpack:"message"`
	Timestamp float64 `msgpack:"timestamp"` // seconds since 1970
}

// shown is the packet chat:message from the server to its clients.
type shown struct {
	Message   string  `msgpack:"message"`
	Origin    string  `msgpack:"origin"`   // a nickname, or "server"
	Internal  bool    `msgpack:"internal"` // from the server itself
	Private   bool    `msgpack:"private"`  // for this client alone
	Timestamp float64 `msgpack:"timestamp"`
}

// What both sides say of their packets: messages are for members only, and one joins once.
var (
	forMembers = packet.InMode(packet.ModeChat)
	forJoining = []packet.Option{packet.ReceivedBy(packet.SideServer), packet.InMode(packet.ModeNotSet)}
)

// now is the time in seconds since 1970.
func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

// visible replaces what could play tricks on a terminal, line feeds included.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

var errUsage = errors.New("usage: simplechat server ADDRESS, or simplechat client ADDRESS [NICKNAME]; an address is HOST:PORT, such as localhost:8080")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "simplechat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "server":
		return serve(ctx, args[1], out)
	case len(args) == 2 && args[0] == "client":
		return chat(ctx, args[1], "", in, out)
	case len(args) == 3 && args[0] == "client":
		return chat(ctx, args[1], args[2], in, out)
	}
	return errUsage
}
