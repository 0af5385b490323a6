package packet_test

import (
	"context"
	"fmt"
	"log"

	"parlor/packet"
)

type Move struct {
	X int `msgpack:"x"`
	Y int `msgpack:"y"`
}

func Example() {
	reg := packet.NewRegistry()
	var move *packet.Type[Move]
	move = packet.MustRegister(reg, "chess:move", func(c *packet.Conn, m Move) error {
		return move.Send(c, Move{m.Y, m.X}) // on the connection's own goroutine
	})
	srv := packet.NewServer(reg, packet.Config{})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln)  // ends with srv
	defer srv.Close() // Shutdown would tell the clients why

	mine, got := packet.NewRegistry(), make(chan Move)
	hers := packet.MustRegister(mine, "chess:move", func(_ *packet.Conn, m Move) error { got <- m; return nil })
	client := packet.NewClient(mine, packet.Config{})
	if err := client.Connect(context.Background(), ln.Addr().String()); err != nil {
		log.Fatal(err)
	}
	if err := hers.Send(client.Conn, Move{1, 2}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-got)
	client.Close("done")
	<-client.Done()
	// Output: {2 1}
}

// A game loop handles packets when it wants to: no handler needs a lock.
func ExampleServer_Process() {
	reg := packet.NewRegistry()
	where := make(map[int64]Move) // by connection
	packet.MustRegister(reg, "game:move", func(c *packet.Conn, m Move) error {
		where[c.CID()] = m
		return nil
	}, packet.Smart(), packet.ReceivedBy(packet.SideServer))
	srv := packet.NewServer(reg, packet.Config{Manual: true})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	client := packet.NewClient(reg, packet.Config{})
	if err := client.Connect(context.Background(), ln.Addr().String()); err != nil {
		log.Fatal(err)
	}
	if err := client.Send("game:move", Move{3, 4}); err != nil {
		log.Fatal(err)
	}
	// A loop would call Process(0), which does not wait, at each tick.
	for len(where) == 0 {
		if _, err := srv.ProcessWait(context.Background(), 0); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(where)
	client.Close(nil)
	<-client.Done()
	// Output: map[1:{3 4}]
}
