package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
)

// pause lets time go by in a bubble, which it does only if everybody else waits in a way that a bubble knows.
func pause(d time.Duration) {
	time.Sleep(d) // sleep: in a bubble, where it takes no time
}

// took checks how long it is since a time.
func took(t *testing.T, what string, since time.Time, want time.Duration) {
	t.Helper()
	if d := time.Since(since); d != want {
		t.Errorf("%s took %v, want %v", what, d, want)
	}
}

// bubble runs a test with a pair of ends in a bubble.
func bubble(t *testing.T, up, down memnet.Path, test func(t *testing.T, client, server *memnet.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := memnet.Dialer{Network: memnet.New(1), Up: up, Down: down}.Pair()
		defer client.Close()
		defer server.Close()
		test(t, client, server)
	})
}

// TestEveryWait: whatever waits lets time go by in a bubble.
func TestEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln, full := must(n.Listen("lobby:1")), must(n.Listen("lobby:2"))
		full.SetBacklog(1)
		first := must(n.Dial(t.Context(), "lobby:2"))
		client, server := n.Pair()
		ended := make(chan string, 10)
		wait := func(what string, f func() error) {
			go func() {
				f()
				ended <- what
			}()
		}
		wait("Accept", func() error { _, err := ln.Accept(); return err })
		ctx, cancel := context.WithCancel(t.Context())
		wait("Dial", func() error { _, err := n.Dial(ctx, "lobby:2"); return err })
		wait("Read", func() error { _, err := client.Read(make([]byte, 1)); return err })
		wait("Write", func() error { _, err := client.Write(make([]byte, 1<<20)); return err })
		wait("Write behind it", func() error { _, err := client.Write(make([]byte, 1<<20)); return err })
		server.Out().Stall(0)
		write(t, server, "stalled")
		begun := time.Now()
		pause(1000 * time.Hour)
		synctest.Wait()
		if len(ended) > 0 {
			t.Errorf("%s did not wait", <-ended)
		}
		took(t, "the pause", begun, 1000*time.Hour)
		ln.Close()
		cancel()
		client.Close()
		synctest.Wait()
		if len(ended) != 5 {
			t.Errorf("%d have ended", len(ended))
		}
		for _, c := range []*memnet.Conn{server, first} {
			c.Close()
		}
		full.Close()
	})
}

func TestLatency(t *testing.T) {
	up, down := memnet.Path{Latency: 30 * time.Millisecond}, memnet.Path{Latency: 50 * time.Millisecond}
	bubble(t, up, down, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		for range 3 { // they do not wait for each other
			write(t, client, "x")
			pause(10 * time.Millisecond)
		}
		for i := range 3 {
			read(t, server, "x")
			took(t, "a byte up", begun, 30*time.Millisecond+time.Duration(i)*10*time.Millisecond)
		}
		begun = time.Now()
		write(t, server, "y")
		server.Close()
		read(t, client, "y")
		took(t, "a byte down", begun, 50*time.Millisecond)
		readFails(t, client, io.EOF)
		took(t, "the end", begun, 50*time.Millisecond)

		begun = time.Now()
		write(t, client, "to nobody")
		pause(80*time.Millisecond - 1)
		write(t, client, "still nothing is known")
		pause(1)
		writeFails(t, client, syscall.EPIPE)
		took(t, "the answer", begun, 80*time.Millisecond)
	})
}

// TestLateReset: a reset needs its time too, and comes behind what was written before.
func TestLateReset(t *testing.T) {
	slow := memnet.Path{Latency: time.Second}
	bubble(t, slow, slow, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "never read")
		write(t, server, "last words")
		pause(1500 * time.Millisecond)
		server.Close()
		read(t, client, "last words")
		begun := time.Now()
		readFails(t, client, syscall.ECONNRESET)
		took(t, "the reset", begun, time.Second)
	})
	bubble(t, slow, slow, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "comes after the close")
		server.Close()
		begun := time.Now()
		readFails(t, client, io.EOF)
		took(t, "the end", begun, time.Second)
		write(t, client, "in time")
		pause(time.Second)
		writeFails(t, client, syscall.EPIPE)
		took(t, "the reset", begun, 2*time.Second)
	})
}

func TestDialTakesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln := must(n.Listen("lobby:1"))
		d := memnet.Dialer{Network: n, Up: memnet.Path{Latency: 300 * time.Millisecond}, Down: memnet.Path{Latency: 700 * time.Millisecond}}
		begun := time.Now()
		go func() { // ends with the connection
			c := must(ln.Accept())
			took(t, "Accept", begun, 300*time.Millisecond)
			write(t, c, "hello")
			c.Close()
		}()
		c := must(d.Dial(t.Context(), "lobby:1"))
		took(t, "Dial", begun, time.Second)
		read(t, c, "hello")
		took(t, "the first bytes", begun, time.Second)
		c.Close()

		begun = time.Now()
		if _, err := d.Dial(t.Context(), "lobby:2"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v", err)
		}
		took(t, "the refusal", begun, time.Second)

		for _, limit := range []time.Duration{100 * time.Millisecond, 900 * time.Millisecond} { // before and after it was accepted
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			begun = time.Now()
			_, err := d.Dial(ctx, "lobby:1")
			took(t, "giving up", begun, limit)
			var ne net.Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("%v", err)
			}
			cancel()
		}
		given := must(ln.Accept())
		begun = time.Now()
		readFails(t, given, io.EOF)
		given.Close()
		ln.Close()
		if all := n.Conns(); len(all) > 0 {
			t.Errorf("%d connections are left", len(all))
		}
	})
}

// TestBacklog: who finds it full waits until there is room, the listener closes, or he does not want to any more.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		ln := must(n.Listen("lobby:1"))
		ln.SetBacklog(2)
		results := make(chan error, 10)
		dial := func() {
			c, err := n.Dial(t.Context(), "lobby:1")
			if err == nil {
				c.Close()
			}
			results <- err
		}
		for range 5 {
			go dial()
		}
		synctest.Wait()
		if len(results) != 2 || len(n.Conns()) != 2 {
			t.Errorf("%d got in, %d connections", len(results), len(n.Conns()))
		}
		must(ln.Accept()).Close()
		synctest.Wait()
		if len(results) != 3 {
			t.Errorf("%d got in", len(results))
		}
		ln.SetBacklog(3)
		synctest.Wait()
		if len(results) != 4 {
			t.Errorf("%d got in", len(results))
		}
		ln.Close()
		for i := range 5 {
			if err := <-results; i < 4 && err != nil || i == 4 && !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("dial %d: %v", i, err)
			}
		}
	})
}

// arrivals writes so many times, one a millisecond, and says when each comes.
func arrivals(t *testing.T, seed uint64, from string, p memnet.Path, writes int) (at []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := memnet.Dialer{Network: memnet.New(seed), From: from, Up: p}.Pair()
		defer client.Close()
		defer server.Close()
		begun := time.Now()
		go func() { // ends with the last
			for range writes {
				write(t, client, "x")
				pause(time.Millisecond)
			}
		}()
		for range writes {
			read(t, server, "x")
			at = append(at, time.Since(begun))
		}
	})
	return at
}

func TestJitter(t *testing.T) {
	p := memnet.Path{Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}
	const from = "203.0.113.7:4242"
	got := arrivals(t, 1, from, p, 100)
	if !slices.Equal(got, arrivals(t, 1, from, p, 100)) {
		t.Error("it is not the same again")
	}
	if slices.Equal(got, arrivals(t, 2, from, p, 100)) || slices.Equal(got, arrivals(t, 1, "203.0.113.7:4243", p, 100)) {
		t.Error("another seed, or address, makes no difference")
	}
	n := memnet.New(1)
	ln := must(n.Listen("lobby:1"))
	again := memnet.Dialer{Network: n, From: from, Up: memnet.Path{Fragment: 1000}}
	reads := make(map[int]bool)
	for range 5 { // the same client comes back
		a := must(again.Dial(t.Context(), "lobby:1"))
		b := must(ln.Accept())
		write(t, a, strings.Repeat("x", 1000))
		n, _ := b.Read(make([]byte, 1000))
		reads[n] = true
		a.Close()
		b.Close()
	}
	if len(reads) < 2 {
		t.Error("every connection of a client is the same")
	}
	gaps := make(map[time.Duration]bool)
	for i, at := range got {
		late := at - time.Duration(i)*time.Millisecond
		if late < 20*time.Millisecond || late > 30*time.Millisecond || i > 0 && at < got[i-1] {
			t.Errorf("byte %d came after %v", i, at)
		}
		gaps[late] = true
	}
	if len(gaps) < 10 {
		t.Errorf("%d different delays", len(gaps))
	}
}

func TestBandwidth(t *testing.T) {
	up := memnet.Path{Bandwidth: 1000, Buffer: 500, Latency: time.Second}
	bubble(t, up, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		go func() { // ends with the last byte
			write(t, client, strings.Repeat("x", 300)) // there is room
			took(t, "the first write", begun, 0)
			write(t, client, strings.Repeat("x", 300))
			took(t, "the second", begun, time.Second+100*time.Millisecond) // room comes as bytes are read
			client.CloseWrite()
		}()
		read(t, server, strings.Repeat("x", 10))
		took(t, "10 bytes", begun, time.Second+10*time.Millisecond)
		read(t, server, strings.Repeat("x", 490))
		took(t, "500 bytes", begun, time.Second+500*time.Millisecond)
		all := must(io.ReadAll(server))
		if len(all) != 100 {
			t.Errorf("%d bytes more", len(all))
		}
		// The last 100 have departed when room for them came, a second after the first.
		took(t, "the end", begun, 2*time.Second+110*time.Millisecond)
	})
}

// TestSlowReader: a write waits for a reader that takes its time, although everything is there.
func TestSlowReader(t *testing.T) {
	up := memnet.Path{ReadRate: 100, Buffer: 1000}
	bubble(t, up, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		got := make(chan int)
		go func() { // ends with the stream
			n, err := io.Copy(io.Discard, struct{ io.Reader }{server})
			if err != nil {
				t.Error(err)
			}
			got <- int(n)
		}()
		write(t, client, strings.Repeat("x", 3000))
		if d := time.Since(begun); d < 10*time.Second || d > 20*time.Second {
			t.Errorf("the write took %v", d)
		}
		client.Close()
		if n := <-got; n != 3000 {
			t.Errorf("%d bytes", n)
		}
		if d := time.Since(begun); d < 20*time.Second || d > 30*time.Second {
			t.Errorf("it took %v", d)
		}
	})
	bubble(t, up, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		write(t, client, "some")
		read(t, server, "so")
		server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := server.Read(make([]byte, 10))
		checkTimeout(t, err)
		server.SetReadDeadline(time.Time{})
		client.In().SetPath(memnet.Path{}) // the other direction
		client.Out().SetPath(memnet.Path{})
		begun := time.Now()
		read(t, server, "me")
		took(t, "a read that is not slow any more", begun, 0)
	})
}

func TestFragments(t *testing.T) {
	sizes := func(seed uint64, b []byte) (all []int) {
		client, server := memnet.Dialer{Network: memnet.New(seed), From: "203.0.113.7:1", Up: memnet.Path{Fragment: 5}}.Pair()
		text := strings.Repeat("0123456789", 100)
		go func() { // ends with the last byte
			write(t, client, text)
			client.Close()
		}()
		var got []byte
		for {
			n, err := server.Read(b)
			if err == io.EOF {
				break
			}
			all, got = append(all, n), append(got, b[:n]...)
		}
		server.Close()
		if string(got) != text {
			t.Error("the bytes are not the same")
		}
		return all
	}
	got := sizes(1, make([]byte, 100))
	if slices.Min(got) != 1 || slices.Max(got) != 5 {
		t.Errorf("reads of %d to %d bytes", slices.Min(got), slices.Max(got))
	}
	if !slices.Equal(got, sizes(1, make([]byte, 5))) || slices.Equal(got, sizes(2, make([]byte, 100))) {
		t.Error("they do not follow from the seed")
	}
}

func TestDeadlinesAreExact(t *testing.T) {
	up := memnet.Path{Latency: time.Minute, Buffer: 10}
	bubble(t, up, memnet.Path{}, func(t *testing.T, client, server *memnet.Conn) {
		begun := time.Now()
		client.SetWriteDeadline(begun.Add(5 * time.Second))
		n, err := client.Write(make([]byte, 11))
		if n != 10 {
			t.Errorf("%d bytes", n)
		}
		checkTimeout(t, err)
		took(t, "the write", begun, 5*time.Second)
		server.SetReadDeadline(begun.Add(59 * time.Second))
		_, err = server.Read(make([]byte, 20))
		checkTimeout(t, err)
		took(t, "the read", begun, 59*time.Second)
		server.SetReadDeadline(time.Time{})
		if n, err := server.Read(make([]byte, 20)); n != 10 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		took(t, "the bytes", begun, time.Minute)
	})
}
