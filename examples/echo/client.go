package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"parlor/packet"
)

// times is the body of echo:ping, in seconds since 1970.
type times struct {
	Client float64 `msgpack:"client_timestamp"`
	Server float64 `msgpack:"server_timestamp,omitempty"`
}

// talk sends lines to a server and prints its answers, one after the other, until the lines or the connection end.
func talk(ctx context.Context, address string, in io.Reader, out io.Writer) error {
	answers := make(chan string, 1)
	reg := packet.NewRegistry()
	echo := packet.MustRegister(reg, "echo:echo", func(_ *packet.Conn, text string) error {
		answer(answers, fmt.Sprintf("echo: %q", text))
		return nil
	}, packet.Smart())
	ping := packet.MustRegister(reg, "echo:ping", func(_ *packet.Conn, t times) error {
		total, there := now()-t.Client, t.Server-t.Client
		answer(answers, fmt.Sprintf("ping: %.3f ms, there %.3f ms, back %.3f ms", total*1e3, there*1e3, (total-there)*1e3))
		return nil
	}, packet.Smart())

	client := packet.NewClient(reg, packet.Config{})
	err := client.Connect(ctx, address)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted before the server has answered")
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w%s", address, err, clientHint(address, err))
	}
	conn := client.Conn
	defer func() { // in order: the server is told why, and has answered
		conn.Close("userrequest")
		<-conn.Done()
	}()
	fmt.Fprintf(out, "connected to %s; lines are echoed, but for ping, stop and quit\n", packet.AddressOf(conn.RemoteAddr()))

	for lines := readLines(in, conn.Done()); ; {
		select {
		case line, more := <-lines:
			if !more || line == "quit" {
				return nil
			}
			var err error
			if line == "ping" {
				err = ping.Send(conn, times{Client: now()})
			} else {
				err = echo.Send(conn, line)
			}
			if errors.Is(err, packet.ErrClosed) {
				return err
			}
			if err != nil { // a line that is no text, or is longer than any packet
				fmt.Fprintln(out, "not sent:", err)
				continue
			}
			if line == "stop" { // it answers by closing; a server of 0.2.0 may not get so far
				select {
				case <-conn.Done():
				case <-ctx.Done():
				case <-time.After(2 * time.Second):
				}
				return nil
			}
			select {
			case text := <-answers:
				fmt.Fprintln(out, text)
			case <-conn.Done():
				return conn.Err()
			case <-ctx.Done():
				return nil
			}
		case <-conn.Done():
			return conn.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// answer hands an answer to whoever waits for it.
func answer(answers chan<- string, text string) {
	select {
	case answers <- text:
	default: // nobody has asked
	}
}

// readLines reads lines on a goroutine of its own, until they or the connection end.
func readLines(in io.Reader, done <-chan struct{}) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(in); ; {
			line, err := r.ReadString('\n') // of any length: what the server does not take, it says
			if err != nil && line == "" {
				return
			}
			select {
			case lines <- strings.TrimRight(line, "\r\n"):
			case <-done:
				return
			}
		}
	}()
	return lines
}
