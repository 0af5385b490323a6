package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"parlor/packet"
)

// chat joins the room of a server, prints what is said there and says what it reads, until the lines or the
// connection end.
func chat(ctx context.Context, address, nick string, in io.Reader, out io.Writer) error {
	ended := make(chan struct{})
	defer close(ended)
	lines := readLines(in, ended)
	if nick == "" {
		fmt.Fprintln(out, "your nickname:")
		select {
		case nick = <-lines: // at the end of the input: anonymous
		case <-ctx.Done():
			return nil
		}
	}

	reg := packet.NewRegistry()
	packet.MustRegister(reg, "chat:message", func(_ *packet.Conn, m shown) error {
		_, err := fmt.Fprintln(out, line(m))
		return err
	}, forMembers)
	joining := packet.MustRegister[join](reg, "chat:join", nil, forJoining...)

	client := packet.NewClient(reg, packet.Config{Hooks: packet.Hooks{
		Handshake: func(c *packet.Conn) { // before any message can come
			if err := joining.Send(c, join{nick}); err != nil {
				c.Abort(err.Error())
				return
			}
			c.SetMode(packet.ModeChat)
		},
	}})
	err := client.Connect(ctx, address)
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted before the server has answered")
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w%s", address, err, hint(err))
	}
	conn := client.Conn
	fmt.Fprintf(out, "connected to %s; /help lists the commands\n", conn.RemoteAddr())
	defer func() { // in order: the server is told why, and has answered
		conn.Close("userrequest")
		<-conn.Done()
	}()

	stopped := false
	for {
		select {
		case text, more := <-lines:
			if !more || text == "/quit" {
				return nil
			}
			stopped = text == "/stop"
			if err := conn.Send("chat:message", said{text, now()}); err != nil {
				return err
			}
		case <-conn.Done():
			if stopped {
				return nil
			}
			return conn.Err()
		case <-ctx.Done():
			return nil
		}
	}
}

// line is a message as it is printed.
func line(m shown) string {
	text := visible(m.Message)
	switch {
	case m.Internal: // the server's own texts may have several lines
		parts := strings.Split(m.Message, "\n")
		for i, part := range parts {
			parts[i] = visible(part)
		}
		text = strings.Join(parts, "\n")
	case m.Private:
		text = visible(m.Origin) + " whispers: " + text
	default:
		text = visible(m.Origin) + ": " + text
	}
	return time.UnixMicro(int64(m.Timestamp*1e6)).Format("[15:04:05] ") + text
}

// readLines reads lines on a goroutine of its own, until they or the program end.
func readLines(in io.Reader, ended <-chan struct{}) <-chan string {
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
			case <-ended:
				return
			}
		}
	}()
	return lines
}

// hint says what to try after a connect has failed.
func hint(err error) string {
	var closed *packet.CloseError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": nothing listens there: start a server with: simplechat server ADDRESS"
	case errors.As(err, &closed) && closed.Reason == packet.ReasonRegistryMismatch:
		return ": the server there is another one than simplechat"
	}
	return ": check the address, such as localhost:8080"
}
