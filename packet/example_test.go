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

// A server tells all but the one who moved where they stand now.
func ExampleType_Broadcast() {
	reg := packet.NewRegistry()
	var srv *packet.Server
	var moved *packet.Type[Move]
	moved = packet.MustRegister(reg, "game:moved", func(from *packet.Conn, m Move) error {
		return moved.Broadcast(func(yield func(*packet.Conn) bool) {
			for _, c := range srv.Conns() {
				if c != from && !yield(c) {
					return
				}
			}
		}, m)
	})
	srv = packet.NewServer(reg, packet.Config{})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	got := make(chan string)
	connect := func(name string) *packet.Client {
		mine := packet.NewRegistry()
		packet.MustRegister(mine, "game:moved", func(_ *packet.Conn, m Move) error {
			got <- fmt.Sprint(name, " sees ", m)
			return nil
		})
		client := packet.NewClient(mine, packet.Config{})
		if err := client.Connect(context.Background(), ln.Addr().String()); err != nil {
			log.Fatal(err)
		}
		return client
	}
	alice, bob := connect("alice"), connect("bob")
	if err := alice.Send("game:moved", Move{5, 6}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-got)
	for _, client := range []*packet.Client{alice, bob} {
		client.Close(nil)
		<-client.Done()
	}
	// Output: bob sees {5 6}
}
