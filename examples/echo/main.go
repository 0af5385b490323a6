// Echo is the smallest program with typed packets: a server that sends back what it gets, and a client for it. It
// speaks with peng3dnet's example of the same name.
//
//	go run ./examples/echo server localhost:8080
//	go run ./examples/echo client localhost:8080
//
// The client reads lines: quit, stop (which ends the server), ping, and anything else is echoed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

const usage = `usage:
  echo server ADDRESS    sends back what it gets, until Ctrl-C, or until a client says stop
  echo client ADDRESS    sends the lines that it reads, and prints what comes back;
                         quit ends it, stop ends the server too, ping measures the time

ADDRESS is where the server listens, and where the client finds it. Without a port it is 8080.
  localhost:8080         this machine, for programs on this machine alone
  192.0.2.7:8080         one of a machine's addresses, or its name
  [2001:db8::7]:8080     the same for IPv6
  :8080                  as a server all addresses of this machine, for everybody who can reach
                         one of them; 0.0.0.0:8080 is those of IPv4
  unix:/tmp/echo.sock    a unix socket, for those who may open the file
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
	fmt.Fprintln(os.Stderr, "echo:", err)
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
	case len(args) > 2:
		return usageError(fmt.Sprintf("unexpected argument %q", args[2]))
	}
	if err := checkAddress(args[1]); err != nil {
		return err
	}
	if args[0] == "server" {
		return serve(ctx, args[1], out)
	}
	return talk(ctx, args[1], in, out)
}

func asksForHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }
