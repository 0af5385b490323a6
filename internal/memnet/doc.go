// Package memnet is a network in memory: listeners, and connections that behave as those of TCP do, with latency,
// stalls, cuts at a byte, slow readers and more where a test asks for them. The real wires run on it in tests.
//
// A [Network] is made by [New]. What listens on it has an address that looks like one of TCP; names stand for addresses
// of their own. A [Dialer] says where a client is and what happens to its bytes:
//
//	synctest.Test(t, func(t *testing.T) {
//		n := memnet.New(1)
//		ln, err := n.Listen("lobby:38929")
//		...
//		go server.Serve(ln)
//		far := memnet.Path{Latency: 80 * time.Millisecond}
//		phone := memnet.Dialer{Network: n, From: "203.0.113.7", Up: far, Down: far}
//		conn, err := phone.Dial(t.Context(), "lobby:38929") // 160 ms later
//		...
//		conn.Out().Stall(time.Minute) // what it sends from now on waits for a minute
//		conn.Reset()                  // and the connection is gone
//	})
//
// # Faults
//
// A [Path] says what one direction of a connection does from its start, with a [Fault] at each byte that a test wants
// one at. [Conn.In] and [Conn.Out] are the directions while they run. With [Path.Record] a direction remembers every
// write, so that a test can run its script undisturbed, look at [Stream.Writes], and then run it again for each byte
// at which to cut:
//
//	cut := memnet.Dialer{Network: n, Up: memnet.Path{Faults: []memnet.Fault{{At: 137, Do: memnet.Reset}}}}
//
// What looks like chance follows from the seed, the addresses of both ends, and the offset in the stream; not from the
// order in which goroutines run. That can still matter where reader and writer act in the same instant: a read
// returns what is there, and a full buffer divides a write.
//
// # Time
//
// All waiting is on channels and timers of the waiting goroutine, and none is done with a lock held: in a bubble of
// testing/synctest time passes when everybody waits. Ends that know each other belong into one bubble. Out of a bubble
// the clock is the usual one. The package starts no goroutines, but for a [Proxy], which does the same to real sockets.
//
// # Where it is not TCP
//
// A direction has one buffer, not one at each end, and no acknowledgements: what happens to one direction does not hold
// up the other. A reset stays: who reads after it gets it again, where Linux reports the end of the stream from the
// second time on. Dialing and its refusal take as long as the latencies of both directions, and know no other faults.
// Nothing is lost, changed or comes twice, as TCP sees to that.
//
// Everything may be called concurrently.
package memnet
