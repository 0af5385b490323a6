// Simplechat is a chat room on typed packets: nicknames, commands, whispers, and a server that answers pings. It
// speaks with peng3dnet's example of the same name.
//
//	go run ./examples/simplechat server localhost:8080
//	go run ./examples/simplechat client localhost:8080 alice
//	go run ./cmd/parlor ping localhost:8080
//
// Without a nickname the client takes the first line that it reads. /help lists the commands.
//
// The server does as peng3dnet's does, frame for frame, but on purpose for this:
//
//   - Nicknames are unique, and nobody is called server, as whispers go by name and none shall pass for another.
//     Whoever joins with such a name gets it with a number, or underscores for blanks, and is told so; /nick answers "Forbidden nickname".
//     A name that begins with the words of another counts as taken, too. Upper and lower case are the same.
//   - /whisper works, and is told what is missing; that somebody has left arrives, which is a defect there.
//   - Of the reason for which somebody leaves there are 100 characters, and no control characters: it stands in a text
//     of the server's own, in which a line feed could forge another one.
//   - Messages have 4096 bytes at most; a longer one is answered by "Message too long", and a frame of more than 64 KiB
//     ends the connection. All others would wait for it.
//   - A timestamp that is no time, such as NaN, becomes that of the server, as programs that show it might fail.
//
// What people say is passed on as it came, control characters included; the client shows them as question marks.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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
	Message   string `msgpack:"message"`
	Timestamp any    `msgpack:"timestamp"` // seconds since 1970, or whatever else a client sends
}

// shown is the packet chat:message from the server to its clients.
type shown struct {
	Message   string `msgpack:"message"`
	Origin    string `msgpack:"origin"`   // a nickname, or "server"
	Internal  bool   `msgpack:"internal"` // from the server itself
	Private   bool   `msgpack:"private"`  // for this client alone
	Timestamp any    `msgpack:"timestamp"`
}

// What both sides say of their packets: messages are for members only, and one joins once.
var (
	forMembers = packet.InMode(packet.ModeChat)
	forJoining = []packet.Option{packet.ReceivedBy(packet.SideServer), packet.InMode(packet.ModeNotSet)}
)

// earliest and latest bound what counts as a time, in the years 5 and 9892: a little beyond, Python's dates end.
const earliest, latest = -62e9, 250e9

// seconds is a time that came, if it is one: not nil, a text, or a number with which a program that shows it might fail,
// as those in Python do with NaN.
func seconds(timestamp any) (t float64, ok bool) {
	switch n := timestamp.(type) {
	case float64:
		t = n
	case int64:
		t = float64(n)
	default:
		return 0, false
	}
	return t, t > earliest && t < latest
}

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

const usage = `usage:
  simplechat server ADDRESS               runs the room, until Ctrl-C, or until a member says /stop
  simplechat client ADDRESS [NICKNAME]    joins it; without a nickname the first line is it,
                                          and /help lists the commands

ADDRESS is where the server listens, and where the client finds it. Without a port it is 8080.
  localhost:8080               this machine, for programs on this machine alone
  192.0.2.7:8080               one of a machine's addresses, or its name
  [2001:db8::7]:8080           the same for IPv6
  :8080                        as a server all addresses of this machine, for everybody who can
                               reach one of them; 0.0.0.0:8080 is those of IPv4
  unix:/tmp/simplechat.sock    a unix socket, for those who may open the file
`

// usageError is what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "simplechat:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprint(os.Stderr, "\n", usage)
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if slices.ContainsFunc(args, asksForHelp) {
		fmt.Fprint(out, usage)
		return nil
	}
	switch {
	case len(args) == 0:
		return usageError("server or client?")
	case args[0] != "server" && args[0] != "client":
		return usageError(fmt.Sprintf("unknown command %q: server or client?", args[0]))
	case len(args) == 1 || args[1] == "": // no default: who listens for everybody shall say so
		return usageError(args[0] + " takes an address")
	case args[0] == "server" && len(args) > 2:
		return usageError(fmt.Sprintf("unexpected argument %q", args[2]))
	case len(args) > 3:
		return usageError(fmt.Sprintf("unexpected argument %q: a nickname with blanks stands in quotes", args[3]))
	}
	if err := checkAddress(args[1]); err != nil {
		return err
	}
	if args[0] == "server" {
		return serve(ctx, args[1], out)
	}
	nick := "" // is asked for
	if len(args) == 3 {
		nick = args[2]
	}
	return chat(ctx, args[1], nick, in, out)
}

func asksForHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }
