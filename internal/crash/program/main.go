// Program is the server that the kill test kills.
package main

import (
	"os"

	"parlor/host"
	"parlor/internal/crash/program/game"
)

func main() { os.Exit(host.Execute(host.ServeCommand(game.Kinds, game.Tally))) }
