// Package parlor is the vocabulary of Parlor, a framework and a ready server for multiplayer games: a game
// written once is open to every client.
//
// An author writes one type with one method, [Game.HandleGamePacket], and hands a [NewGame] function to
// host.Main, which makes it a server program. Every other ability is a small interface that the type may
// also have, and that is found by assertion: [UserJoiner], [UserLeaver], [UserVanisher], [UserReturner],
// [HeartbeatHandler], [HeartbeatRater], [HeartbeatPusher], [Persister], [Saver], [LobbyInformer], [Updater],
// [UpdateRater], [PacketHandler], [Limiter], [Resumer], [Drainer].
//
// A game answers each packet, and speaks by itself through its [Room]: Send and Broadcast push messages to
// users, After and Every call it back.
//
// # Concurrency
//
// All calls into one game come from its room's goroutine, one after the other: a game needs no locks, and a
// slow game delays only itself. The methods of a [Room] are for that goroutine too. Packets, responses,
// pushes and payloads are values; a [Payload] is never changed once made and may be shared freely.
//
// # Glossary
//
//   - packet: one request of a user, [Packet]: message and payload
//   - response: the one answer that a packet gets, [Response]
//   - push: a message to a user that answers no request, [Push]
//   - payload: the data of any of these, kept encoded until asked for, [Payload]
//   - link: one path to a client, whatever carries it (package link)
//   - session: a logged-in user on the server
//   - game: the author's rules and state of one hosted instance, [Game]
//   - room: where a game runs: its goroutine, users, clock and random source, [Room]
//   - lobby: all rooms and users of one server
//   - save: a game's snapshot, pgnet's save string
//   - user: a name with a password
//
// The texts, names and JSON forms are those of pgnet 0.2.1, so that its clients and servers work with
// Parlor unchanged. Section numbers in comments are those of docs/pgnet.md, the page of its protocol, and
// numbers of defects those of docs/defects-pgnet.md.
package parlor
