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
		return fmt.Errorf("connect to %s: %w%s", address, err, clientHint(address, err))
	}
	conn := client.Conn
	fmt.Fprintf(out, "connected to %s; /help lists the commands\n", packet.AddressOf(conn.RemoteAddr()))
	if asked := strings.TrimSpace(nick); asked != "" && asked != cleanNick(asked) { // the server does not tell
		fmt.Fprintf(out, "your nickname is '%s': it can have %d characters, of ASCII\n", cleanNick(asked), longestNick)
	}
	stopped := sendLines(ctx, conn, lines, out)
	conn.Close(userRequest) // unless it has ended already
	<-conn.Done()           // in order: the server is told why, and has answered
	why := whyEnded(conn.Err())
	if stopped && why != nil { // as this member wanted
		fmt.Fprintln(out, why)
		return nil
	}
	return why
}

// userRequest is the reason for which a client closes.
const userRequest = "userrequest"

// sendLines sends lines until they or the connection end, or one of them is /quit. It tells whether the last one was
// /stop.
func sendLines(ctx context.Context, conn *packet.Conn, lines <-chan string, out io.Writer) (stopped bool) {
	for {
		select {
		case text, more := <-lines:
			if !more || text == "/quit" {
				return stopped
			}
			stopped = text == "/stop"
			err := conn.Send("chat:message", said{text, now()})
			if errors.Is(err, packet.ErrClosed) {
				return stopped
			}
			if err != nil { // a text that is none, or is longer than any packet
				fmt.Fprintln(out, "not sent:", err)
			}
		case <-conn.Done():
			return stopped
		case <-ctx.Done():
			return false
		}
	}
}

// whyEnded says why the server, or the network, has ended the connection; nil if this client has.
func whyEnded(err error) error {
	closed, ok := errors.AsType[*packet.CloseError](err)
	if !ok || !closed.Remote && closed.Reason == userRequest {
		return nil
	}
	text := visible(closed.Error()) // the server chooses the reason
	switch closed.Reason {
	case stopRequest:
		text += ": a member has stopped the server"
	case packet.ReasonServerShutdown:
		text += ": the server was ended"
	case packet.ReasonSocketClose:
		text += ": the server or the network has gone, without a word"
	}
	return errors.New(text)
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
	at, ok := seconds(m.Timestamp)
	if !ok {
		at = now()
	}
	return time.UnixMicro(int64(at*1e6)).Format("[15:04:05] ") + text
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
