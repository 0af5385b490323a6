// Package game is pgnet's example game (section 15 of its protocol): a shared log of lines, kept when
// everybody has left.
package game

import (
	"strings"

	"parlor"
)

// The log is bounded: the oldest lines are dropped, and long ones cut.
const (
	maxLines = 10_000
	maxLine  = 1000 // bytes
)

// Chat is the game.
type Chat struct{ log []string }

// New makes a chat, or brings back a saved one.
func New(_ parlor.Room, save string) (parlor.Game, error) {
	if save == "" {
		return &Chat{log: []string{"Game started"}}, nil
	}
	return &Chat{log: strings.Split(save, "\n")}, nil
}

func (c *Chat) add(line string) {
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "..."
	}
	c.log = append(c.log, line)
	c.log = c.log[max(0, len(c.log)-maxLines):]
}

// Persistent keeps the chat when it is empty.
func (c *Chat) Persistent() bool { return true }

// UserJoined notes it in the log.
func (c *Chat) UserJoined(user string) { c.add("Joined: " + user) }

// UserLeft notes it in the log.
func (c *Chat) UserLeft(user string) { c.add("Left: " + user) }

// SaveString is the log.
func (c *Chat) SaveString() string { return strings.Join(c.log, "\n") }

// HandleGamePacket adds what a user says.
func (c *Chat) HandleGamePacket(p parlor.Packet) parlor.Response {
	c.add(p.Username + " says: " + parlor.Encode(p.Message).String())
	return parlor.OK("Message added.")
}

// HandleHeartbeat answers with the last ten lines.
func (c *Chat) HandleHeartbeat(parlor.Packet) parlor.Response {
	return parlor.OK("Latest log entries.", parlor.Map{"log": c.log[max(0, len(c.log)-10):]})
}
