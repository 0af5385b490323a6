// Package pgnetfile keeps what outlives the server in pgnet's save file (section 11 of its protocol), so that
// a server may change over from pgnet, and back, with its users, games and invites.
//
// [Open] takes the file for one server, [File.Load] reads it, [File.Save] replaces it. The bytes are those
// that pgnet 0.2.1 would write. What pgnet has no place for goes into one more top-level key, which pgnet
// ignores and which is written only when it is needed:
//
//	"parlor": {
//	    "kinds": {"chess 7": "chess"},
//	    "data": {"dungeon": "/wABAg=="},
//	    "expires": {"1a2b": "2000000000"},
//	    "creators": {"dungeon": "alice"},
//	    "versions": {"dungeon": "2"}
//	}
//
// kinds says which games are of a kind other than the default. data holds, in base64, saves that are not text
// and that a JSON string therefore cannot hold; the game's own data has U+FFFD in their place, and counts
// if somebody changed it. expires says when invites end, in seconds since 1970, creators who created a game, and
// versions of which version a save is that is not of version 0.
//
// # Files
//
// Beside PATH, at the end of its symbolic links, there are
//
//	PATH.previous  what PATH was at the last start, or an hour ago if that is later
//	PATH.lock      locked while a server uses PATH, and empty; it stays, as removing it would race
//	PATH.tmp-...   what is being written; gone after each Save, or at the next Open
//
// pgnet writes the file in place, so that a crash leaves half of it (defect 26). Here a Save writes beside the
// file, syncs, renames and syncs the folder: whatever is killed at whatever time, PATH is one whole snapshot.
// The folder must therefore be writable, and a file that is mounted on its own cannot be used.
//
// A [File] is used by one goroutine at a time. Names and passwords are text: UTF-8, in which lone surrogates
// may stand as WTF-8; other bytes in them become U+FFFD.
package pgnetfile
