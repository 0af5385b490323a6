// Package parlortest tests games: a server and several clients in one test, in virtual time.
//
// [Run] starts a server for a game. [Lobby.Client] logs users in, over the real wires and an in-memory network;
// [Client.Ask] makes requests, [Client.Expect] checks what a client was told, in its order. Time passes only when the test says so
// with [Lobby.Step], or when everybody waits: an idle hour is over in about 100 milliseconds, and a test that passes once passes always.
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
// A push that is made in UserJoined comes before the answer to the join, so that it is seen before "in game ...".
//
// [Client.Await] waits for something to be told, for a minute at most. [Client.Cut], [Client.CutAfter], [Client.Offline] and
// [Client.Lag] do what networks do to players; [Lobby.Stop] and [Lobby.Start] restart the server, and
// [Lobby.Crash] ends it without a save: tests of durable games need that. [Lobby.Dial] logs in over any
// of the wires, so that a game can be tested with all of them at once; [Lobby.New] is for logins that are to fail. The administrator
// is l.Client(parlor.AdminName).
//
// The room's clock is virtual too, and its random source is the same in each run. What the game does must not
// depend on anything out of the test, such as the network or goroutines that wait for it. The fields of a game may be looked at behind
// [Lobby.Settle] and [Lobby.Step], when it is idle.
//
// A test fails, and ends, also if the game panics, or does not return. One that itself waits for what never happens, on a channel
// for instance, goes on until the limit of go test (-timeout), as the virtual time of its server goes on.
//
// All methods are for the goroutine of the test.
package parlortest
