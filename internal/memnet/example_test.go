package memnet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
)

// shout is a server that answers each line in capitals.
func shout(ln *memnet.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for lines := bufio.NewScanner(c); lines.Scan(); {
				fmt.Fprintln(c, strings.ToUpper(lines.Text()))
			}
		}()
	}
}

// A server and a client, and the connection is cut.
func Example() {
	n := memnet.New(1)
	ln, err := n.Listen("lobby:38929")
	if err != nil {
		panic(err)
	}
	go shout(ln) // ends with ln
	defer ln.Close()

	phone := memnet.Dialer{Network: n, From: "203.0.113.7:4242", Down: memnet.Path{
		Faults: []memnet.Fault{{At: 10, Do: memnet.Reset}},
	}}
	conn, err := phone.Dial(context.Background(), "lobby:38929")
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Println(conn.LocalAddr(), "is connected to", conn.RemoteAddr())
	fmt.Fprintln(conn, "hello")
	fmt.Fprintln(conn, "parlor")
	answer, err := io.ReadAll(conn)
	fmt.Printf("%q, reset: %v\n", answer, errors.Is(err, syscall.ECONNRESET))
	// Output:
	// 203.0.113.7:4242 is connected to 198.18.0.1:38929
	// "HELLO\nPARL", reset: true
}

// TestExample is what the package's documentation shows, in virtual time; an Example has no bubble.
func TestExample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln, err := n.Listen("lobby:38929")
		if err != nil {
			t.Fatal(err)
		}
		go shout(ln) // ends with ln
		defer ln.Close()
		far := memnet.Path{Latency: 80 * time.Millisecond}
		phone := memnet.Dialer{Network: n, From: "203.0.113.7", Up: far, Down: far}
		begun := time.Now()
		conn, err := phone.Dial(t.Context(), "lobby:38929")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		took(t, "Dial", begun, 160*time.Millisecond)
		conn.Out().Stall(time.Minute)
		write(t, conn, "hello\n")
		read(t, conn, "HELLO\n")
		took(t, "the answer", begun, time.Minute+320*time.Millisecond)
		conn.Reset()
		readFails(t, conn, syscall.ECONNRESET)
	})
}

func BenchmarkEcho(b *testing.B) {
	client, server := memnet.New(1).Pair()
	defer client.Close()
	go func() { // ends with the client
		io.Copy(server, server)
		server.Close()
	}()
	message := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, message); err != nil {
			b.Fatal(err)
		}
	}
}
