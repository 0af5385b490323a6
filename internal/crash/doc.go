// Package crash kills servers and looks whether anything that they had answered is lost.
//
//	make crash                      # 200 kills with SQLite, 50 with PostgreSQL, and the variants
//	make crash CRASH="-seed 7 -kills 20"
//
// A real server process (program) hosts games (program/game) that keep a chain of all that happened in them: each event has a number and a
// hash over all before it, and answers and pushes name the last one. Players of each wire make moves, go from room to room, and write down
// what they are told in a [Ledger]. Others register, create invites, change settings, create and destroy games. The server is killed
// at random moments and started again, while the players go on by themselves. Then an auditor has each game tell its chain, and compares: what
// was answered is there, at its place, once; what was refused is not; and what anybody was told of is still so.
//
// Nothing passes because nothing has happened: a cycle with too few answered moves does not count.
package crash
