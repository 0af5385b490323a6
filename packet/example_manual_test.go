package packet_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"parlor/packet"
)

// A client with a game loop of its own: handlers and hooks are called by Process, on the loop's goroutine, and need no lock.
// That goes for the end too: as long as nobody calls Process, Done is not closed, and the Close hook not called.
func ExampleClient_Process() {
	reg := packet.NewRegistry()
	var tick *packet.Type[int]
	tick = packet.MustRegister(reg, "game:tick", func(c *packet.Conn, n int) error {
		for i := 1; i <= n; i++ {
			if err := tick.Send(c, i); err != nil {
				return err
			}
		}
		return nil
	})
	srv := packet.NewServer(reg, packet.Config{})
	ln, err := srv.Listen("localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	go srv.Serve(ln) // ends with srv
	defer srv.Close()

	mine, now := packet.NewRegistry(), 0
	ticks := packet.MustRegister(mine, "game:tick", func(_ *packet.Conn, n int) error {
		now = n
		return nil
	})
	client := packet.NewClient(mine, packet.Config{Manual: true, Hooks: packet.Hooks{
		Close: func(_ *packet.Conn, err *packet.CloseError) { fmt.Println(err, "at tick", now) },
	}})
	if err := client.Connect(context.Background(), ln.Addr().String()); err != nil { // needs no Process
		log.Fatal(err)
	}
	if err := ticks.Send(client.Conn, 3); err != nil {
		log.Fatal(err)
	}
	frames := time.NewTicker(time.Second / 60)
	defer frames.Stop()
	for now < 3 && client.Err() == nil { // Err: the server, or the network, may end it as well
		client.Process(0) // all that has come since the last frame; it does not wait
		// Here the frame is drawn.
		<-frames.C
	}

	client.Close("enough") // or nothing, if it has ended by itself
	for err = nil; err == nil; {
		_, err = client.ProcessWait(context.Background(), 0) // at most for Config.CloseTimeout
	}
	<-client.Done() // does not wait any more
	fmt.Println(errors.Is(err, packet.ErrClosed))
	// Output:
	// connection closed: enough at tick 3
	// true
}
