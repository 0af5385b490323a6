package packet_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"parlor/packet"
)

// deafConn takes nothing any more once it is told so.
type deafConn struct {
	net.Conn
	deaf chan struct{}
}

var errDeaf = errors.New("of the test: the other side takes nothing")

func (c deafConn) Write(b []byte) (int, error) {
	select {
	case <-c.deaf:
		return 0, errDeaf
	default:
		return c.Conn.Write(b)
	}
}

// TestDeafIsNotTold: where the other side takes nothing any more, nobody is told of a CloseConnection that was sent.
func TestDeafIsNotTold(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := packet.NewServer(regOf(t, "t:a"), packet.Config{Logger: quiet})
			sent := s.Subscribe(10, packet.EventServerSend)
			ln := serveMemory(t, s)
			ours, theirs := net.Pipe()
			conn := deafConn{theirs, make(chan struct{})}
			ln.give(t, conn)
			w := &wire{t, ours}
			w.handshake()
			synctest.Wait()
			c := s.Conn(1)
			if deaf {
				close(conn.deaf)
				must(c.Send("t:a", 1))
				synctest.Wait()
				if err := c.Send("t:a", 2); !errors.Is(err, errDeaf) || !errors.Is(err, packet.ErrClosed) {
					t.Errorf("after a write that failed: %v", err)
				}
			}
			c.Close("bye")
			if !deaf {
				w.want(packet.IDCloseConnection)
			}
			ours.Close()
			<-c.Done()
			told := false
			for len(sent.C) > 0 {
				e := <-sent.C
				told = told || e.ID == packet.IDCloseConnection
			}
			if told == deaf {
				t.Errorf("deaf: %v, and told of CloseConnection: %v", deaf, told)
			}
		})
	}
}
