// Package game is pgnet's example game (section 15 of its protocol): a shared log of lines, kept when
// everybody has left.
//
// Each new line is pushed to everybody as "line" with {"line": text}, to who says it as well, so that all see the same
// order. "away" and "back" with {"user": name} tell that somebody's connection is lost, or there again; these do not go into the
// log. Who joins, or comes back and has missed something, is pushed the "log" as it is: its last ten lines, and who is away.
// Clients on pgnet's wire, which has no pushes, find these lines in the answers to their heartbeats.
package game

import (
	"slices"
	"strings"
	"unicode/utf8"

	"parlor"
)

// The log is bounded: the oldest lines are dropped, and long ones cut. All of it stays well below what a server
// saves of one game, as a chat that outgrew it would not be saved any more.
const (
	maxLines = 10_000
	maxLine  = 1000      // bytes
	maxLog   = 256 << 10 // bytes of the save
)

// Chat is the game.
type Chat struct {
	room parlor.Room
	away []string // users who may be back soon
	log  []string
	size int // bytes of the log, with a line feed for each line
}

// New makes a chat, or brings back a saved one.
func New(room parlor.Room, save string) (parlor.Game, error) {
	c := &Chat{room: room}
	if save == "" {
		c.add("Game started")
		return c, nil
	}
	for line := range strings.SplitSeq(save, "\n") {
		c.keep(strings.Clone(line)) // and not the whole save with it
	}
	return c, nil
}

// add appends a line, and pushes it to all in the room but those who are to get the whole log.
func (c *Chat) add(line string, except ...string) {
	if len(line) > maxLine {
		line = cut(line, maxLine) + "..."
	}
	c.keep(line)
	c.room.Broadcast("line", parlor.Map{"line": line}, except...)
}

// keep appends a line, and drops the oldest ones that are too many then.
func (c *Chat) keep(line string) {
	c.log = append(c.log, line)
	c.size += len(line) + 1
	for len(c.log) > maxLines || c.size > maxLog {
		c.size -= len(c.log[0]) + 1
		c.log[0] = ""
		c.log = c.log[1:]
	}
}

// cut is the beginning of a text, of n bytes at most and with no half character at its end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Persistent keeps the chat when it is empty.
func (c *Chat) Persistent() bool { return true }

// UserJoined notes it in the log, and shows the log to her.
func (c *Chat) UserJoined(user string) {
	c.add("Joined: "+user, user)
	c.show(user)
}

// UserLeft notes it in the log.
func (c *Chat) UserLeft(user string) {
	c.isThere(user)
	c.add("Left: " + user)
}

// UserAway tells the others. What they say meanwhile waits for her.
func (c *Chat) UserAway(user string) {
	c.away = append(c.away, user)
	c.room.Broadcast("away", parlor.Map{"user": user}, user)
}

// UserBack tells the others, and shows her the log if more was said than could wait.
func (c *Chat) UserBack(user string, missed bool) {
	c.isThere(user)
	c.room.Broadcast("back", parlor.Map{"user": user}, user)
	if missed {
		c.show(user)
	}
}

func (c *Chat) isThere(user string) {
	c.away = slices.DeleteFunc(c.away, func(u string) bool { return u == user })
}

func (c *Chat) show(user string) {
	c.room.Send(user, "log", parlor.Map{"log": c.latest(), "away": c.away})
}

// latest are the last ten lines.
func (c *Chat) latest() []string { return c.log[max(0, len(c.log)-10):] }

// SaveString is the log.
func (c *Chat) SaveString() string { return strings.Join(c.log, "\n") }

// HandleGamePacket adds what a user says. It is cut before it is rendered: rendering the most that a packet can
// hold would keep everybody in the room waiting.
func (c *Chat) HandleGamePacket(p parlor.Packet) parlor.Response {
	c.add(p.Username + " says: " + parlor.Encode(cut(p.Message, maxLine)).String())
	return parlor.OK("Message added.")
}

// HandleHeartbeat answers with the last ten lines.
func (c *Chat) HandleHeartbeat(parlor.Packet) parlor.Response {
	return parlor.OK("Latest log entries.", parlor.Map{"log": c.latest()})
}
