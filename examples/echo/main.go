// Echo is the smallest game: it answers every packet with what it was sent.
package main

import (
	"parlor"
	"parlor/host"
)

type echo struct{}

func (echo) HandleGamePacket(p parlor.Packet) parlor.Response { return parlor.OK(p.Message, p.Payload) }

func main() {
	host.Main(func(parlor.Room, string) (parlor.Game, error) { return echo{}, nil })
}
