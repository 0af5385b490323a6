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
	"syscall"
)

var errUsage = errors.New("usage: echo server ADDRESS, or echo client ADDRESS; an address is HOST:PORT, such as localhost:8080")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errUsage
	}
	switch args[0] {
	case "server":
		return serve(ctx, args[1], out)
	case "client":
		return talk(ctx, args[1], in, out)
	}
	return errUsage
}
