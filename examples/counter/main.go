// Counter is the smallest game: it counts the packets that it is sent, all players' together.
package main

import (
	"parlor"
	"parlor/host"
)

type counter struct{ n int }

func (c *counter) HandleGamePacket(parlor.Packet) parlor.Response {
	c.n++
	return parlor.OK("counted", parlor.Map{"n": c.n})
}

func newCounter(parlor.Room, string) (parlor.Game, error) { return &counter{}, nil }

func main() { host.Main(newCounter) }
