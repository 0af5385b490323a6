//go:build !js

package client_test

import (
	"context"
	"fmt"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/server"
)

// greeter is a small game.
type greeter struct{}

func (greeter) HandleGamePacket(p parlor.Packet) parlor.Response {
	return parlor.OK("Hello, "+p.Username+".", parlor.Map{"heard": p.Message})
}

func newGreeter(parlor.Room, string) (parlor.Game, error) { return greeter{}, nil }

// A session with a server in the same process; without the Dialer it would be one over the network.
func Example() {
	ctx := context.Background()
	local, err := host.NewLocal(server.Config{Games: map[string]parlor.NewGame{"greeter": newGreeter}})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.Dial(ctx, "local", client.Config{
		Username:  "alice",
		Dialer:    local,
		ServerKey: local.PublicKey(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.JoinGame(ctx, "room one", client.GameOptions{}); err != nil {
		fmt.Println(err)
	}
	games, err := c.GameDir(ctx)
	fmt.Println(games, err)
	answer, err := c.Request(ctx, "hi", nil)
	fmt.Println(answer.Message, answer.Payload, err)
	c.Close()
	fmt.Println(c.Wait())
	// Output:
	// [{room one 1 false }] <nil>
	// Hello, alice. {'heard': 'hi'} <nil>
	// disconnected: Client closed connection.
}

// Requests may also be queued, and answered to a callback.
func ExampleClient_Send() {
	ctx := context.Background()
	c, err := host.Local(ctx, newGreeter, client.Config{Username: "alice"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answered := make(chan struct{})
	err = c.Send(parlor.Packet{Message: parlor.RequestLeaveGame}, func(r parlor.Response, err error) {
		fmt.Println(r.Message, r.Status, err)
		close(answered)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	<-answered
	// Output: Not in game. UNEXPECTED <nil>
}

// gong tells everybody when it was struck.
type gong struct{ room parlor.Room }

func newGong(room parlor.Room, _ string) (parlor.Game, error) { return &gong{room}, nil }

func (g *gong) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.room.Broadcast("struck", parlor.Map{"by": p.Username})
	return parlor.OK("You have struck the gong.")
}

// A game that pushes tells what happens by itself; nothing is polled for. Pushes come in order with the answers, between the calls of
// the application's other functions.
func ExampleConfig_onPush() {
	ctx := context.Background()
	heard := make(chan struct{})
	c, err := host.Local(ctx, newGong, client.Config{
		Username: "alice",
		OnPush: func(p *parlor.Push) {
			by, _ := p.Payload.Get("by")
			fmt.Println(p.Game, "was", p.Message, "by", by)
			close(heard)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if err := c.JoinGame(ctx, "temple", client.GameOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	answer, err := c.Request(ctx, "strike", nil)
	<-heard
	fmt.Println(answer.Message, err)
	// Output:
	// temple was struck by alice
	// You have struck the gong. <nil>
}
