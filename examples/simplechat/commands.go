package main

import (
	"fmt"
	"strings"

	"parlor/packet"
)

const help = `Command help:
/help             Lists basic help for all commands
/quit             Quits the client
/stop             Stops the server
/nick <name>      Changes the nickname
/whisper <name>   Sends a private message`

// command does what a message says that begins with a slash. The room is locked.
func (r *room) command(c *packet.Conn, nick string, m said) {
	name, rest, _ := strings.Cut(m.Message, " ")
	rest = strings.TrimSpace(rest)
	switch name {
	case "/help":
		r.reply(c, help)
	case "/stop":
		r.announce(c, fmt.Sprintf("Server will shutdown by request of user %s", nick))
		r.end(stopRequest)
	case "/nick":
		r.rename(c, nick, strings.Fields(rest))
	case "/anon":
		if nick == anonymous {
			r.reply(c, "Already anonymous")
			return
		}
		r.members[c] = anonymous
		r.reply(c, "Gone anonymous")
		r.announce(c, fmt.Sprintf("%s has gone anonymous", nick))
	case "/whisper":
		r.whisper(c, nick, said{rest, m.Timestamp})
	default:
		r.reply(c, fmt.Sprintf("Unknown command '%s'", name))
	}
}

func (r *room) rename(c *packet.Conn, old string, args []string) {
	if len(args) != 1 {
		r.reply(c, "/nick expects exactly one argument")
		return
	}
	nick := cleanNick(args[0])
	if !r.free(c, nick) {
		r.reply(c, "Forbidden nickname")
		return
	}
	r.members[c] = nick
	r.reply(c, fmt.Sprintf("Changed nickname to '%s'", nick))
	if old == anonymous {
		r.announce(c, fmt.Sprintf("%s has revealed themselves", nick))
	} else {
		r.announce(c, fmt.Sprintf("%s is now called %s", old, nick))
	}
}

// whisper sends a message that begins with a nickname to whoever has that. Nicknames may have blanks in them, but none
// is the first words of another.
func (r *room) whisper(c *packet.Conn, nick string, m said) {
	first, _, ok := strings.Cut(m.Message, " ")
	if !ok {
		r.reply(c, "/whisper expects a name and a message")
		return
	}
	for member, name := range r.members {
		if text, ok := strings.CutPrefix(m.Message, name+" "); ok && name != anonymous {
			heard := fromMember(nick, said{strings.TrimSpace(text), m.Timestamp})
			heard.Private = true
			_ = member.Send("chat:message", heard)
			return
		}
	}
	r.reply(c, fmt.Sprintf("There is no user '%s'", first))
}
