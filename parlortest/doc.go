// Package parlortest tests games: a server and several clients in one test, in virtual time.
//
// [Run] starts a server for a game. [Lobby.Client] logs users in, over the real wires and an in-memory network;
// [Client.Ask] makes requests, [Client.Expect] checks what a client was told, in its order. Time passes only when the test says so
// with [Lobby.Step], or when everybody waits: an hour of a game is over in milliseconds, and a test that passes once passes always.
//
//	func TestTurns(t *testing.T) {
//		parlortest.Run(t, NewGame, func(t *testing.T, l *parlortest.Lobby) {
//			ann, bob := l.Client("ann"), l.Client("bob")
//			ann.Join("table 1")
//			bob.Join("table 1")
//			ann.Ask("move", parlor.Map{"cell": 4})
//			bob.Expect("connected", "in game table 1", `push moved {"by": "ann", "cell": 4}`)
//		})
//	}
//
// [Client.Cut], [Client.Offline] and [Client.Lag] do what networks do to players; [Lobby.Stop] and [Lobby.Start] restart the
// server. [Lobby.Dial] logs in over any of the wires, so that a game can be tested with all of them at once.
//
// The room's clock is virtual too, and its random source is the same in each run. What the game does must not
// depend on anything out of the test, such as the network or goroutines that wait for it.
//
// All methods are for the goroutine of the test.
package parlortest
