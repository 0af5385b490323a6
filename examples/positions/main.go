// Positions serves a field on which players walk, twenty steps a second.
//
//	go run ./examples/positions
//
// and from other terminals, with a line for each change of direction:
//
//	go run ./examples/positions/client localhost:38929 bobby
//	3 -2
//	0 0
//
// or, to see what goes over the wire:
//
//	go run ./cmd/parlor connect --user alice --heartbeats
//	>> .join_game;name=field
//	>> steer;x=3;y=-2
//	>> steer;x=0;y=0
//	>> look
package main

import (
	"parlor/examples/positions/game"
	"parlor/host"
)

func main() { host.Main(game.New) }
