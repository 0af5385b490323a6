package packet_test

import (
	"context"
	"fmt"
	"log"

	"parlor/packet"
)

// credentials are the body of game:login.
type credentials struct {
	Name     string `msgpack:"name"`
	Password string `msgpack:"password"`
}

// Where each packet is valid is said by both sides, which is why they share it.
var (
	// Smart packets are valid in StateActive, which is before the login, unless they say otherwise.
	beforeLogin = []packet.Option{packet.Smart(), packet.ReceivedBy(packet.SideServer)}
	// The answer comes when the server's state is another one already, but not yet the client's. It could be a plain
	// packet as well, without options.
	ofLogin    = []packet.Option{packet.InAnyState(), packet.ReceivedBy(packet.SideClient)}
	afterLogin = []packet.Option{packet.InState(packet.StateLoggedIn), packet.ReceivedBy(packet.SideServer)}
)

// A login moves the state: some packets are valid before it, others after it. The state is each side's own and never sent,
// so that both change it. What counts are the server's checks: a client of another make may have none.
func ExampleConn_SetState() {
	reg, moved := packet.NewRegistry(), make(chan Move)
	answer := packet.MustRegister[bool](reg, "game:login.answer", nil, ofLogin...)
	packet.MustRegister(reg, "game:login", func(c *packet.Conn, who credentials) error {
		if who.Password != "wonderland" {
			return answer.Send(c, false)
		}
		c.SetState(packet.StateLoggedIn) // before the answer, after which anything may come
		return answer.Send(c, true)
	}, beforeLogin...)
	packet.MustRegister(reg, "game:move", func(_ *packet.Conn, m Move) error { moved <- m; return nil }, afterLogin...)
	srv := packet.NewServer(reg, packet.Config{})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	mine, answers := packet.NewRegistry(), make(chan bool)
	packet.MustRegister(mine, "game:login.answer", func(c *packet.Conn, ok bool) error {
		if ok {
			c.SetState(packet.StateLoggedIn)
		}
		answers <- ok
		return nil
	}, ofLogin...)
	login := packet.MustRegister[credentials](mine, "game:login", nil, beforeLogin...)
	move := packet.MustRegister[Move](mine, "game:move", nil, afterLogin...)
	client := packet.NewClient(mine, packet.Config{})
	if err := client.Connect(context.Background(), ln.Addr().String()); err != nil {
		log.Fatal(err)
	}

	fmt.Println("too early:", move.Send(client.Conn, Move{1, 2})) // wraps ErrInvalidPacket; nothing is sent
	for _, password := range []string{"guess", "wonderland"} {
		if err := login.Send(client.Conn, credentials{"alice", password}); err != nil {
			log.Fatal(err)
		}
		fmt.Println("logged in:", <-answers)
	}
	if err := move.Send(client.Conn, Move{1, 2}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("moved:", <-moved)
	fmt.Println("too late:", login.Send(client.Conn, credentials{"bob", "builder"}))
	client.Close(nil)
	<-client.Done()
	// Output:
	// too early: game:move: packet not valid here: state is 64 (active), must be 65 (logged in) (each side has its own: SetState)
	// logged in: false
	// logged in: true
	// moved: {1 2}
	// too late: game:login: packet not valid here: state is 65 (logged in), must be 64 (active) (each side has its own: SetState)
}
