// Chat serves pgnet's example game: a shared log of lines.
package main

import (
	"parlor/examples/chat/game"
	"parlor/host"
)

func main() { host.Main(game.New) }
