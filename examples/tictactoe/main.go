// Tictactoe serves a game for two players and any number of spectators.
package main

import (
	"parlor/examples/tictactoe/game"
	"parlor/host"
)

func main() { host.Main(game.New) }
