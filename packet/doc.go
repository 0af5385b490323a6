// Package packet is typed packets on a stream: the protocol of peng3dnet 0.2, over TCP, TLS and unix sockets.
//
// Both sides register their packets under names in a [Registry]; at the handshake the client takes over the
// server's numbers. From then on either side sends any packet at any time:
//
//	type Move struct{ X, Y int }
//
//	reg := packet.NewRegistry()
//	move, err := packet.Register(reg, "chess:move", func(c *packet.Conn, m Move) error { ... })
//
//	srv := packet.NewServer(reg, packet.Config{})
//	err = srv.ListenAndServe("localhost:8080")
//
//	client := packet.NewClient(reg, packet.Config{})
//	err = client.Connect(ctx, "localhost:8080")
//	err = move.Send(client.Conn, Move{1, 2})
//
// A handler takes its body as a struct of its own, as Go maps (any), or undecoded ([Body], [Registry.Handle]).
// Packets can say where they are valid ([InState], [ReceivedBy], [OnConnType] and so on), connections have types
// ([ConnType]), and everything that happens can be followed ([Hooks], [Server.Subscribe]).
//
// # Concurrency
//
// Everything exported is safe for concurrent use, unless it says otherwise. Handlers and hooks of one
// connection are called one after the other on that connection's goroutine; with Config.Manual the packets wait
// until the program calls Process, and are handled there. What looks at packets that are sent (Hooks.Send, OnSend,
// ConnType.Send) is called by the sender, Hooks.Accept by Serve, and a client's Hooks.Connect by Connect; section 17 of
// docs/peng3dnet.md has them all. A handler must not wait for its own connection. Sending never blocks: what the other side does not
// read waits in a bounded queue, and who lets it fill up is disconnected.
//
// # The end of a connection
//
// [Conn.Done] tells that it is over, and [Conn.Err] why: a [*CloseError] with the reason, and which side gave it. With
// Config.Manual it is over when Process has come to the last of it, so call that until ProcessWait says ErrClosed. A
// client is good for one connection. To come back make another one, with the same registry, after a pause that
// grows, and unless the reason tells that it will not help.
//
// # Examples
//
// They are programs that run, in files beside this one, which go doc does not show:
//
//   - example_test.go: a server and a client, a game loop of a server, a packet for many
//   - example_login_test.go: packets that are valid before a login, and others after it
//   - example_tls_test.go: TLS with certificates of both sides
//   - example_manual_test.go: a client with a game loop of its own, and its end
//   - example_reconnect_test.go: a client that comes back after its server was restarted
//
// # Limits
//
// Frames, inflated bodies, nesting and elements are bounded before memory is taken for them (Config), and so are
// connections and queues; [Stats] counts what was over. Bytes from the network close their own connection at worst.
//
// Section numbers in comments are those of docs/peng3dnet.md, the page of the protocol, and D1 to D33 its
// recorded defects (docs/defects-peng3dnet.md). Its section 18 lists limits with their defaults, counters and reasons.
// docs/names-peng3dnet.md lists peng3dnet's names in Go.
package packet
