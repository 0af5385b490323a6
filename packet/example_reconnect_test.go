package packet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"time"

	"parlor/packet"
)

// stay keeps a client connected until ctx ends, or the connection ends for a reason against which trying again does
// not help. Each new connection is given to begin, to say again what the server has to know.
func stay(ctx context.Context, addr string, reg *packet.Registry, cfg packet.Config, begin func(*packet.Conn) error) error {
	const least, most = 250 * time.Millisecond, 30 * time.Second
	for wait := least; ; wait = min(2*wait, most) {
		begun := time.Now()
		err := connection(ctx, addr, reg, cfg, begin)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !mayPass(err) {
			return err
		}
		if time.Since(begun) > time.Minute { // not: connected. A server may accept, and close at once.
			wait = least
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2)): // a crowd that was cut off shall not come back as one
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connection is one connection from its beginning to its end, and returns why it ended.
func connection(ctx context.Context, addr string, reg *packet.Registry, cfg packet.Config, begin func(*packet.Conn) error) error {
	client := packet.NewClient(reg, cfg) // good for one connection, with a copy of the registry
	if err := client.Connect(ctx, addr); err != nil {
		return err
	}
	if err := begin(client.Conn); err != nil && !errors.Is(err, packet.ErrClosed) {
		client.Close(nil)
		<-client.Done()
		return err
	}
	select {
	case <-client.Done():
	case <-ctx.Done():
		client.Close(nil)
		<-client.Done() // the server knows
	}
	return client.Err()
}

// mayPass tells whether it may go better the next time.
func mayPass(err error) bool {
	op, network := errors.AsType[*net.OpError](err)
	if network && op.Op == "remote error" {
		return false // of TLS: the server does not take this side's certificate, or has no version in common
	}
	if closed, ok := errors.AsType[*packet.CloseError](err); ok {
		switch closed.Reason {
		case packet.ReasonServerShutdown, packet.ReasonServerFull, packet.ReasonSocketClose,
			packet.ReasonHandshakeTimeout, packet.ReasonIdleTimeout,
			packet.ReasonWriteTimeout, packet.ReasonWriteQueueFull:
			return true
		}
		return false // versions or packets that differ, an error of the program, or the server's own wish
	}
	return network || errors.Is(err, io.EOF) || errors.Is(err, packet.ErrTimeout)
}

// A client that comes back after its server was restarted, and ends when that does not want it any more.
func ExampleClient_reconnect() {
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "game:join", func(c *packet.Conn, name string) error {
		if c.CID() == 1 {
			c.Close(packet.ReasonServerShutdown)
		} else {
			c.Close("kicked")
		}
		return nil
	}, packet.Smart())
	srv := packet.NewServer(reg, packet.Config{})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	err = stay(context.Background(), ln.Addr().String(), reg, packet.Config{}, func(c *packet.Conn) error {
		fmt.Println("connected")
		return c.Send("game:join", "alice")
	})
	fmt.Println(err)
	// Output:
	// connected
	// connected
	// connection closed by the other side: kicked
}
