package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"parlor/internal/memnet"
)

// patience bounds what a test waits for.
const patience = time.Minute

// conn is what both kinds of connection can do.
type conn interface {
	net.Conn
	CloseWrite() error
}

// A world is a network that connections run on: this one, or that of the system. What a test of the suite finds must
// be the same in both.
type world struct {
	name   string
	listen func(t *testing.T) net.Listener
	dial   func(ctx context.Context, addr string) (net.Conn, error)
}

func worlds() []world {
	n := memnet.New(1)
	return []world{{
		"memory",
		func(t *testing.T) net.Listener { return must(n.Listen("127.0.0.1:0")) },
		func(ctx context.Context, addr string) (net.Conn, error) { return n.DialContext(ctx, "tcp", addr) },
	}, {
		"tcp",
		func(t *testing.T) net.Listener { return must(net.Listen("tcp", "127.0.0.1:0")) },
		func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
	}}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// pair is two ends of a connection.
func (w world) pair(t *testing.T) (client, server conn) {
	t.Helper()
	ln := w.listen(t)
	defer ln.Close()
	a, err := w.dial(t.Context(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(conn), b.(conn)
}

// suite runs a test in both worlds.
func suite(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	t.Parallel()
	for _, w := range worlds() {
		t.Run(w.name, func(t *testing.T) {
			if w.name == "tcp" && runtime.GOOS != "linux" {
				t.Skip("the model is TCP on Linux")
			}
			test(t, w)
		})
	}
}

func write(t *testing.T, c io.Writer, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Fatalf("write: %d bytes, %v", n, err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	beforeLong(c)
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
	c.SetReadDeadline(time.Time{})
}

// beforeLong bounds the reading from sockets. In a bubble a test that does not go on ends by itself.
func beforeLong(c net.Conn) {
	var limit time.Time
	if _, socket := c.(*net.TCPConn); socket {
		limit = time.Now().Add(patience)
	}
	c.SetReadDeadline(limit)
}

// readFails reads once, which must fail with an error.
func readFails(t *testing.T, c net.Conn, want error) {
	t.Helper()
	beforeLong(c)
	n, err := c.Read(make([]byte, 10))
	if n != 0 || !errors.Is(err, want) {
		t.Fatalf("read %d bytes, %v; want %v", n, err, want)
	}
	_, wrapped := err.(*net.OpError)
	if wrapped == (want == io.EOF) {
		t.Errorf("the error is %#v", err)
	}
}

// writeFails writes until that fails, which it must with one of these errors.
func writeFails(t *testing.T, c net.Conn, want ...error) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		_, err := io.WriteString(c, "x")
		for _, w := range want {
			if errors.Is(err, w) {
				return
			}
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("write: %v, want %v", err, want)
		}
		time.Sleep(time.Millisecond) // sleep: polls, as the news may be on their way
	}
}

func checkTimeout(t *testing.T, err error) {
	t.Helper()
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}

func TestCloseAfterData(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, a, "hello")
		write(t, b, "to be read")
		read(t, a, "to be read")
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		read(t, b, "hello")
		readFails(t, b, io.EOF)
		readFails(t, b, io.EOF)
		write(t, b, "the first one finds nobody")
		writeFails(t, b, syscall.EPIPE)
		writeFails(t, b, syscall.EPIPE)
		readFails(t, b, io.EOF)
	})
}

func TestCloseWrite(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, a, "request")
		for range 2 {
			if err := a.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
		writeFails(t, a, syscall.EPIPE)
		read(t, b, "request")
		readFails(t, b, io.EOF)
		write(t, b, "answer")
		b.Close()
		read(t, a, "answer")
		readFails(t, a, io.EOF)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestCloseUnread: who closes without having read everything resets the other side, which still reads what came.
func TestCloseUnread(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, a, "last words")
		write(t, b, "never read")
		a.Close()
		read(t, b, "last words")
		readFails(t, b, syscall.ECONNRESET)
		writeFails(t, b, syscall.EPIPE, syscall.ECONNRESET)
		if err := b.CloseWrite(); !errors.Is(err, syscall.ENOTCONN) {
			t.Errorf("CloseWrite: %v", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestWriteThatIsReset: a write notices a reset as well, before any read.
func TestWriteThatIsReset(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, b, "never read")
		a.Close()
		writeFails(t, b, syscall.ECONNRESET)
		writeFails(t, b, syscall.EPIPE, syscall.ECONNRESET)
	})
}

// TestCloseHalfThenUnread: a reset after the end was read does not undo the end.
func TestCloseHalfThenUnread(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		a.CloseWrite()
		readFails(t, b, io.EOF)
		write(t, b, "never read")
		a.Close()
		writeFails(t, b, syscall.EPIPE)
		readFails(t, b, io.EOF)
	})
}

func TestUseAfterClose(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, b, "never read")
		a.Close()
		for op, call := range map[string]func() error{
			"read":  func() error { _, err := a.Read(make([]byte, 1)); return err },
			"write": func() error { _, err := a.Write([]byte("x")); return err },
			"set":   func() error { return a.SetDeadline(time.Now().Add(-time.Second)) },
			"close": func() error { return a.Close() },
		} {
			err := call()
			var oe *net.OpError
			at := a.RemoteAddr()
			if op == "set" {
				at = a.LocalAddr()
			}
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &oe) || oe.Op != op || oe.Net != "tcp" || oe.Addr.String() != at.String() {
				t.Errorf("%s: %#v", op, err)
			}
			if oe, ok := err.(net.Error); ok && oe.Timeout() {
				t.Errorf("%s: a timeout", op)
			}
		}
		if err := a.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("CloseWrite: %v", err)
		}
	})
}

// TestNothing: reads and writes of no bytes.
func TestNothing(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		none := func(what string, f func([]byte) (int, error), want error) {
			t.Helper()
			if n, err := f(nil); n != 0 || !errors.Is(err, want) {
				t.Errorf("%s: %d, %v; want %v", what, n, err, want)
			}
		}
		none("read", a.Read, nil)
		none("write", a.Write, nil)
		past := time.Now().Add(-time.Second)
		a.SetDeadline(past)
		none("read, late", a.Read, nil)
		none("write, late", a.Write, os.ErrDeadlineExceeded)
		write(t, b, "x")
		b.Close()
		none("read, ended", a.Read, nil)
		a.Close()
		none("read, closed", a.Read, net.ErrClosed)
		none("write, closed", a.Write, net.ErrClosed)
	})
}

// TestBlockedAndClosed: Close unblocks what is under way at its own end, and at the other.
func TestBlockedAndClosed(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		for _, own := range []bool{true, false} {
			a, b := w.pair(t)
			var calls sync.WaitGroup
			calls.Go(func() {
				if own {
					if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
						t.Errorf("read: %v", err)
					}
				} else if _, err := a.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
					t.Errorf("read: %v", err) // the end where the write has had the reset
				}
			})
			calls.Go(func() {
				n, err := a.Write(make([]byte, 50<<20))
				if n == 0 || n == 50<<20 || own && !errors.Is(err, net.ErrClosed) || !own && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("write: %d, %v", n, err)
				}
			})
			read(t, b, "\x00\x00")
			if own {
				a.Close()
			} else {
				b.Close()
			}
			calls.Wait()
		}
	})
}

func TestDeadlines(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		write(t, b, "here already")
		a.SetReadDeadline(time.Now().Add(-time.Second))
		n, err := a.Read(make([]byte, 10))
		if n != 0 {
			t.Errorf("%d bytes", n)
		}
		checkTimeout(t, err)
		read(t, a, "here already") // with another deadline

		for _, set := range []func(time.Time) error{a.SetDeadline, a.SetReadDeadline} { // before and during the call
			begun, done := make(chan struct{}), make(chan error)
			go func() {
				close(begun)
				_, err := a.Read(make([]byte, 10))
				done <- err
			}()
			<-begun
			if err := set(time.Now().Add(time.Millisecond)); err != nil {
				t.Error(err)
			}
			checkTimeout(t, <-done)
			a.SetDeadline(time.Time{})
		}

		a.SetWriteDeadline(time.Now().Add(-time.Second))
		if n, err = a.Write([]byte("x")); n != 0 {
			t.Errorf("%d bytes", n)
		}
		checkTimeout(t, err)
		large := make([]byte, 50<<20)
		for wait := 20 * time.Millisecond; n == 0 && wait < patience; wait *= 2 { // it may be over before the call
			a.SetWriteDeadline(time.Now().Add(wait))
			n, err = a.Write(large)
		}
		if n == 0 || n == len(large) {
			t.Errorf("%d bytes", n)
		}
		checkTimeout(t, err)
		a.SetWriteDeadline(time.Time{})
		go func() { // ends with b
			write(t, a, "!")
			a.Close()
		}()
		all, err := io.ReadAll(b) // what the write says it took, and no more
		if len(all) != n+1 || err != nil || all[n] != '!' {
			t.Errorf("%d bytes were written, %d came, %v", n, len(all)-1, err)
		}
	})
}

// TestWritesAreWhole: writes do not mix, and all that is written comes.
func TestWritesAreWhole(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		a, b := w.pair(t)
		const writers, times, size = 8, 20, 30_000
		var all sync.WaitGroup
		for i := range writers {
			all.Go(func() {
				for range times {
					if _, err := a.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		block := make([]byte, size)
		for range writers * times {
			if _, err := io.ReadFull(b, block); err != nil {
				t.Fatal(err)
			}
			if i := block[0]; int(i) >= writers || !bytes.Equal(block, bytes.Repeat([]byte{i}, size)) {
				t.Fatal("writes are mixed")
			}
		}
		all.Wait()
	})
}

func TestListener(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		ln := w.listen(t)
		at := ln.Addr().(*net.TCPAddr)
		if at.Port == 0 || !at.IP.IsLoopback() {
			t.Errorf("listens at %v", at)
		}
		accepted := make(chan error)
		go func() {
			c, err := ln.Accept()
			if err == nil {
				c.Close()
			}
			accepted <- err
		}()
		a := must(w.dial(t.Context(), at.String()))
		defer a.Close()
		if err := <-accepted; err != nil {
			t.Error(err)
		}
		readFails(t, a, io.EOF)
		if a.RemoteAddr().String() != at.String() || a.LocalAddr().(*net.TCPAddr).Port == 0 || !a.LocalAddr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("connected %v to %v", a.LocalAddr(), a.RemoteAddr())
		}

		go func() {
			_, err := ln.Accept()
			accepted <- err
		}()
		ln.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed again: %v", err)
		}
		_, err := w.dial(t.Context(), at.String())
		var oe *net.OpError
		if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &oe) || oe.Op != "dial" || oe.Addr.String() != at.String() || oe.Timeout() {
			t.Errorf("nobody listens: %#v", err)
		}
	})
}

// TestUnaccepted: connections that nobody has accepted are reset with the listener.
func TestUnaccepted(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		ln := w.listen(t)
		a, b := must(w.dial(t.Context(), ln.Addr().String())), must(w.dial(t.Context(), ln.Addr().String()))
		defer a.Close()
		defer b.Close()
		write(t, a, "early")
		ln.Close()
		readFails(t, a, syscall.ECONNRESET)
		readFails(t, b, syscall.ECONNRESET)
	})
}

func TestPortInUse(t *testing.T) {
	n := memnet.New(1)
	ln := must(n.Listen("lobby:38929"))
	if _, err := n.Listen("lobby:38929"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
	must(n.Listen("lobby:38930"))
	must(n.Listen("other:38929"))
	ln.Close()
	must(n.Listen("lobby:38929"))
}

func TestDialContext(t *testing.T) {
	suite(t, func(t *testing.T, w world) {
		ln := w.listen(t)
		defer ln.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.dial(ctx, ln.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), -1)
		defer cancel()
		_, err := w.dial(ctx, ln.Addr().String())
		var ne net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%v", err)
		}
	})
}

// TestLikeTCP plays the same moves by chance in memory and over TCP, and compares what comes of each.
func TestLikeTCP(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the model is TCP on Linux")
	}
	tcp := worlds()[1]
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			moves := someMoves(rand.New(rand.NewPCG(seed, 0)))
			results := playInMemory(t, moves)
			var ends [2]conn
			ends[0], ends[1] = tcp.pair(t)
			for i, m := range moves {
				if problem := m.compare(ends[m.end], results[i]); problem != "" {
					t.Fatalf("move %d, %s of %d by %d: %s", i, m.op, m.n, m.end, problem)
				}
			}
		})
	}
}

// move is what an end does.
type move struct {
	end int
	op  string
	n   int // bytes
}

// result is what comes of it.
type result struct {
	read    []byte
	err     error
	unknown bool // a reset was reported before: from there on TCP says end of stream
}

func someMoves(random *rand.Rand) (moves []move) {
	ops := []string{"Close", "Close", "CloseWrite", "CloseWrite"}
	for range 8 {
		ops = append(ops, "Read", "Write")
	}
	for range 25 {
		moves = append(moves, move{random.IntN(2), ops[random.IntN(len(ops))], random.IntN(3000)})
	}
	return moves
}

// playInMemory does it in a bubble, where no machine is too slow for a deadline.
func playInMemory(t *testing.T, moves []move) (results []result) {
	synctest.Test(t, func(t *testing.T) {
		var ends [2]*memnet.Conn
		ends[0], ends[1] = memnet.New(1).Pair()
		var reset [2]bool
		for _, m := range moves {
			c := ends[m.end]
			c.SetDeadline(time.Now().Add(time.Second))
			r := result{unknown: reset[m.end] && m.op == "Read"}
			switch m.op {
			case "Read":
				r.read = make([]byte, m.n)
				var n int
				n, r.err = c.Read(r.read)
				r.read = r.read[:n]
			default:
				r.err = m.do(c)
			}
			reset[m.end] = reset[m.end] || kind(r.err) == "gone"
			results = append(results, r)
		}
		ends[0].Close()
		ends[1].Close()
	})
	return results
}

// do makes a move other than Read.
func (m move) do(c conn) error {
	switch m.op {
	case "Write":
		b := make([]byte, m.n)
		for i := range b {
			b[i] = byte(i)
		}
		_, err := c.Write(b)
		return err
	case "Close":
		return c.Close()
	}
	return c.CloseWrite()
}

// compare makes a move over TCP, and says what is different there.
func (m move) compare(c conn, want result) (problem string) {
	if m.op != "Read" {
		return same(want.err, func() error { return m.do(c) })
	}
	if want.unknown && kind(want.err) != "closed" {
		return ""
	}
	wait := patience
	if kind(want.err) == "timeout" {
		wait = time.Millisecond
	}
	c.SetReadDeadline(time.Now().Add(wait))
	if want.err == nil {
		got := make([]byte, len(want.read))
		if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want.read) {
			return fmt.Sprintf("%d bytes in memory, %d over TCP, %v", len(want.read), n, err)
		}
		return ""
	}
	return same(want.err, func() error {
		n, err := c.Read(make([]byte, 1+m.n))
		if n > 0 {
			return fmt.Errorf("%d bytes", n)
		}
		return err
	})
}

// same compares an error with that of TCP, to which news may come a little later.
func same(want error, again func() error) (problem string) {
	for end := time.Now().Add(patience); ; {
		got := again()
		if kind(got) == kind(want) {
			return ""
		}
		if got != nil || time.Now().After(end) {
			return fmt.Sprintf("%v, over TCP %v", want, got)
		}
	}
}

// kind is what two errors have in common that are the same to a program.
func kind(err error) string {
	switch {
	case err == nil:
		return ""
	case err == io.EOF:
		return "end"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return "gone"
	case errors.Is(err, syscall.ENOTCONN):
		return "not connected"
	}
	return err.Error()
}
