package memnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
)

// upTo reads to the end, and returns what came and why it ended; nil for a clean end.
func upTo(c net.Conn) (string, error) {
	b, err := io.ReadAll(c)
	return string(b), err
}

// TestCutAtEveryByte: both ends get the reset, the reader after exactly the bytes before it, however they were written and
// whatever the way is like.
func TestCutAtEveryByte(t *testing.T) {
	const text = "one two three four five six"
	for name, p := range map[string]memnet.Path{
		"plain":     {},
		"late":      {Latency: time.Second, Jitter: time.Second},
		"slow":      {Bandwidth: 7},
		"fragments": {Fragment: 3},
		"small":     {Buffer: 4},
	} {
		for at := range len(text) + 1 {
			p.Faults = []memnet.Fault{{At: int64(at), Do: memnet.Reset}}
			bubble(t, p, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
				wrote := make(chan struct{})
				go func() { // ends with the last word, or with the connection
					defer close(wrote)
					for _, word := range strings.SplitAfter(text, " ") {
						if n, err := io.WriteString(client, word); err != nil {
							if !errors.Is(err, syscall.ECONNRESET) {
								t.Errorf("%s, %d: write: %d, %v", name, at, n, err)
							}
							return
						}
					}
				}()
				got, err := upTo(server)
				if got != text[:at] || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s, %d: got %q, %v", name, at, got, err)
				}
				<-wrote
				for _, c := range []*memnet.Conn{client, server} {
					readFails(t, c, syscall.ECONNRESET)
					if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("%s, %d: write: %v", name, at, err)
					}
				}
			})
		}
	}
}

// TestCleanCutAtEveryByte: both read the end of the stream, and who writes later gets a reset.
func TestCleanCutAtEveryByte(t *testing.T) {
	const text = "one two"
	for at := range len(text) + 1 {
		p := memnet.Path{Latency: time.Second, Faults: []memnet.Fault{{At: int64(at), Do: memnet.End}}}
		bubble(t, memnet.Path{}, p, func(t *testing.T, client, server *memnet.Conn) {
			write(t, client, "from the other side")
			if n, err := io.WriteString(server, text); n != len(text) || err != nil {
				t.Errorf("write: %d, %v", n, err)
			}
			if got, err := upTo(client); got != text[:at] || err != nil {
				t.Errorf("%d: got %q, %v", at, got, err)
			}
			if got, err := upTo(server); err != nil || got != "" && at == 0 || got != "from the other side" && at > 0 {
				t.Errorf("%d: the other got %q, %v", at, got, err)
			}
			for _, c := range []*memnet.Conn{client, server} {
				c.Write([]byte("it may be answered already"))
				pause(time.Second)
				writeFails(t, c, syscall.EPIPE)
				readFails(t, c, io.EOF)
			}
		})
	}
}

// TestCutsWakeEverybody: also those that wait for something else.
func TestCutsWakeEverybody(t *testing.T) {
	for name, cut := range map[string]func(c *memnet.Conn){
		"now":      (*memnet.Conn).Reset,
		"at bytes": func(c *memnet.Conn) { c.Out().Add(memnet.Fault{At: 10}) },
		"by write": func(c *memnet.Conn) {
			c.Out().Add(memnet.Fault{At: c.Out().Sent() + 1})
			c.Write([]byte("x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, memnet.Path{Buffer: 1000}, memnet.Path{Buffer: 50}, func(t *testing.T, client, server *memnet.Conn) {
				write(t, client, strings.Repeat("x", 20))
				pause(time.Second)
				ended := make(chan error, 4)
				go func() { _, err := client.Read(make([]byte, 1)); ended <- err }()
				go func() { _, err := upTo(server); ended <- err }()
				go func() { _, err := server.Write(make([]byte, 100)); ended <- err }()
				go func() { // the client reads, so that this waits
					for {
						if _, err := server.Write(make([]byte, 100)); err != nil {
							ended <- err
							return
						}
					}
				}()
				client.In().Stall(0)
				synctest.Wait()
				cut(client)
				n := 0
				for range 4 {
					err := <-ended
					if n++; err != nil && !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("%v", err)
					}
				}
			})
		})
	}
}

// TestCutLosesWhatIsUnderWay and keeps what has arrived.
func TestCutLosesWhatIsUnderWay(t *testing.T) {
	bubble(t, memnet.Path{Latency: time.Second}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "there ")
		pause(time.Second)
		write(t, client, "lost")
		client.CloseWrite()
		client.Reset()
		pause(time.Hour)
		if got, err := upTo(server); got != "there " || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v", got, err)
		}
	})
	bubble(t, memnet.Path{Latency: time.Second}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "on its way")
		client.End()
		write(t, client, "too late")
		if got, err := upTo(server); got != "on its way" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestCleanCutKeepsEndsApart: what one end does later is nothing to the other, also where a direction was stalled.
func TestCleanCutKeepsEndsApart(t *testing.T) {
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "never read")
		server.Out().Stall(0)
		write(t, server, "held")
		client.End()
		server.Close()
		pause(time.Hour)
		readFails(t, client, io.EOF)
		write(t, client, "nobody has answered before")
		writeFails(t, client, syscall.EPIPE)
	})
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		server.Out().Stall(0)
		client.End()
		write(t, server, "answered")
		writeFails(t, server, syscall.EPIPE)
	})
}

func TestStall(t *testing.T) {
	bubble(t, memnet.Path{Buffer: 100}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		write(t, client, "before")
		client.Out().Stall(time.Minute)
		write(t, client, "and after")
		write(t, server, "the other direction goes on")
		read(t, client, "the other direction goes on")
		read(t, server, "before")
		took(t, "what was before", begun, 0)
		client.SetWriteDeadline(begun.Add(time.Second))
		n, err := client.Write(make([]byte, 1000))
		if n != 100-len("and after") {
			t.Errorf("%d bytes fit", n)
		}
		checkTimeout(t, err)
		client.Close() // the end waits too
		read(t, server, "and after")
		took(t, "what was after", begun, time.Minute)
		if rest, err := upTo(server); len(rest) != n || err != nil {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
		took(t, "the end", begun, time.Minute)
	})
	bubble(t, memnet.Path{Latency: time.Second}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		write(t, client, "a")
		client.Out().Stall(0)
		write(t, client, "b")
		read(t, server, "a")
		took(t, "what was under way", begun, time.Second)
		pause(time.Hour)
		client.Out().Release()
		read(t, server, "b")
		took(t, "what was held", begun, time.Hour+2*time.Second)
		client.Out().Stall(time.Hour)
		write(t, client, "c")
		client.Out().Release() // before its time
		read(t, server, "c")
		took(t, "what was released", begun, time.Hour+3*time.Second)
		pause(2 * time.Hour)
		write(t, client, "d")
		read(t, server, "d")
		took(t, "what came later", begun, 3*time.Hour+4*time.Second)
		client.Out().SetPath(memnet.Path{Latency: time.Minute})
		client.Out().Stall(time.Minute)
		write(t, client, "e")
		pause(90 * time.Second) // nobody looks when the stall ends
		read(t, server, "e")
		took(t, "what was stalled meanwhile", begun, 3*time.Hour+2*time.Minute+4*time.Second)
	})
}

// TestStallAtBytes: one fault after the other, each at its byte.
func TestStallAtBytes(t *testing.T) {
	p := memnet.Path{Faults: []memnet.Fault{
		{At: 9, Do: memnet.Reset},
		{At: 6, Do: memnet.Stall, For: 20 * time.Second},
		{At: 3, Do: memnet.Stall, For: 10 * time.Second},
	}}
	bubble(t, p, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		write(t, client, "onetwothree")
		for i, word := range []string{"one", "two", "thr"} {
			read(t, server, word)
			took(t, word, begun, []time.Duration{0, 10 * time.Second, 30 * time.Second}[i])
		}
		readFails(t, server, syscall.ECONNRESET)
		took(t, "the reset", begun, 30*time.Second)
		readFails(t, client, syscall.ECONNRESET)
	})
	// All of it is due when somebody looks again.
	bubble(t, p, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "onetwothree")
		pause(time.Hour)
		if got, err := upTo(server); got != "onetwothr" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// TestStalledReset: a reset that the other side sends waits, too.
func TestStalledReset(t *testing.T) {
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "never read")
		server.Out().Stall(0)
		write(t, server, "dropped, as a reset drops what was not sent")
		server.Close()
		client.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := client.Read(make([]byte, 1))
		checkTimeout(t, err)
		client.SetReadDeadline(time.Time{})
		write(t, client, "nothing is known")
		server.Out().Release()
		readFails(t, client, syscall.ECONNRESET)
	})
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		server.Out().Stall(time.Minute)
		write(t, server, "goodbye")
		server.Close()
		write(t, client, "to nobody")
		begun := time.Now()
		read(t, client, "goodbye")
		readFails(t, client, io.EOF)
		took(t, "the goodbye", begun, time.Minute)
		writeFails(t, client, syscall.EPIPE)
	})
}

// TestSwallow: nothing comes, and nobody learns of it.
func TestSwallow(t *testing.T) {
	p := memnet.Path{Buffer: 10, Latency: time.Second, Faults: []memnet.Fault{{At: 5, Do: memnet.Swallow}}}
	bubble(t, p, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		for range 100 {
			write(t, client, "12345678")
		}
		if n := client.Out().Sent(); n != 800 {
			t.Errorf("%d bytes were sent", n)
		}
		client.CloseWrite()
		client.Close()
		read(t, server, "12345")
		server.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := server.Read(make([]byte, 1))
		checkTimeout(t, err)
		if n := server.In().Received(); n != 5 {
			t.Errorf("%d bytes were received", n)
		}
		write(t, server, "is anybody there?") // no reset comes back
		pause(time.Hour)
		write(t, server, "hello?")
	})
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "a")
		client.Out().Stall(0)
		write(t, client, "held")
		client.Out().Swallow()
		client.Out().Release()
		write(t, client, "b")
		read(t, server, "a")
		server.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := server.Read(make([]byte, 1))
		checkTimeout(t, err)
		server.SetReadDeadline(time.Time{})
		client.Reset() // the test itself can still cut it
		readFails(t, server, syscall.ECONNRESET)
	})
}

func TestSetPath(t *testing.T) {
	bubble(t, memnet.Path{}, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		client.Out().SetPath(memnet.Path{Latency: time.Hour})
		write(t, client, "a")
		client.Out().SetPath(memnet.Path{Buffer: 1, Faults: []memnet.Fault{{At: 2}}})
		write(t, client, "") // no room, and none is needed
		read(t, server, "a")
		took(t, "a", begun, time.Hour)
		write(t, client, "b")
		read(t, server, "b")
		readFails(t, server, syscall.ECONNRESET)
	})
}

// TestRecord is how a test learns where to cut.
func TestRecord(t *testing.T) {
	up := memnet.Path{Record: true, Buffer: 5}
	bubble(t, up, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		done := make(chan string)
		go func() { // ends with the stream
			pause(time.Second)
			got, _ := upTo(server)
			done <- got
		}()
		for _, frame := range []string{"one", "", "three", "seven"} {
			write(t, client, frame)
		}
		client.Close()
		if got := <-done; got != "onethreeseven" {
			t.Errorf("got %q", got)
		}
		var got bytes.Buffer
		for _, w := range client.Out().Writes() {
			fmt.Fprintf(&got, "%d %s %v\n", w.Offset, w.Bytes, w.Time.Sub(begun))
		}
		if want := "0 one 0s\n3 three 0s\n8 seven 1s\n"; got.String() != want {
			t.Errorf("got\n%swant\n%s", got.String(), want)
		}
		if up, down := client.Out(), client.In(); up.Sent() != 13 || up.Received() != 13 || down.Sent() != 0 || len(down.Writes()) != 0 {
			t.Errorf("%d, %d, %d, %d", up.Sent(), up.Received(), down.Sent(), len(down.Writes()))
		}
	})
}

// TestScriptCutEverywhere is the whole use: a script runs once undisturbed, and then with a cut at each end of a write
// and within each.
func TestScriptCutEverywhere(t *testing.T) {
	script := func(t *testing.T, up, down memnet.Path) (client *memnet.Conn, heard string) {
		n := memnet.New(1)
		ln := must(n.Listen("lobby:1"))
		defer ln.Close()
		served := make(chan struct{})
		go func() { // ends with the connection
			defer close(served)
			c := must(ln.AcceptConn())
			defer c.Close()
			for b := make([]byte, 100); ; {
				k, err := c.Read(b)
				if err != nil {
					return
				}
				c.Write(bytes.ToUpper(b[:k]))
			}
		}()
		c := must(memnet.Dialer{Network: n, Up: up, Down: down}.Dial(t.Context(), "lobby:1"))
		for _, word := range []string{"hello", "parlor"} {
			io.WriteString(c, word)
			b := make([]byte, len(word))
			k, _ := io.ReadFull(c, b)
			heard += string(b[:k])
		}
		c.Close()
		<-served
		return c, heard
	}
	synctest.Test(t, func(t *testing.T) {
		c, heard := script(t, memnet.Path{Record: true}, memnet.Path{Record: true})
		if heard != "HELLOPARLOR" {
			t.Fatalf("heard %q", heard)
		}
		cuts := 0
		for _, w := range c.In().Writes() {
			for _, at := range []int64{w.Offset, w.Offset + int64(len(w.Bytes))/2, w.Offset + int64(len(w.Bytes))} {
				cuts++
				if _, got := script(t, memnet.Path{}, memnet.Path{Faults: []memnet.Fault{{At: at}}}); got != heard[:at] {
					t.Errorf("cut at %d: heard %q", at, got)
				}
			}
		}
		if cuts != 6 {
			t.Errorf("%d cuts", cuts)
		}
	})
}
