// Package game is pgnet's example game (section 15 of its protocol): a shared log of lines, kept when
// everybody has left.
package game

import (
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
	log  []string
	size int // bytes of the log, with a line feed for each line
}

// New makes a chat, or brings back a saved one.
func New(_ parlor.Room, save string) (parlor.Game, error) {
	if save == "" {
		c := new(Chat)
		c.add("Game started")
		return c, nil
	}
	c := new(Chat)
	for line := range strings.SplitSeq(save, "\n") {
		c.keep(strings.Clone(line)) // and not the whole save with it
	}
	return c, nil
}

func (c *Chat) add(line string) {
	if len(line) > maxLine {
		line = cut(line, maxLine) + "..."
	}
	c.keep(line)
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

// UserJoined notes it in the log.
func (c *Chat) UserJoined(user string) { c.add("Joined: " + user) }

// UserLeft notes it in the log.
func (c *Chat) UserLeft(user string) { c.add("Left: " + user) }

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
	return parlor.OK("Latest log entries.", parlor.Map{"log": c.log[max(0, len(c.log)-10):]})
}
