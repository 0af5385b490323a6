package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

const (
	anonymous      = "anonymous" // who has no nickname
	fromServer     = "server"    // the origin of what the server itself says
	stopRequest    = "command"   // the reason for which a server ends whose member says /stop
	longestNick    = 32          // characters
	longestMessage = 4 << 10     // bytes; below that nothing is compressed, for which everybody would wait
	longestReason  = 100         // characters
)

// room is who chats. Each connection calls its methods on a goroutine of its own.
type room struct {
	server *packet.Server

	mu      sync.Mutex // guards members, and keeps messages in one order for all
	members map[*packet.Conn]string
}

func newRoom() (*room, error) {
	r := &room{members: make(map[*packet.Conn]string)}
	reg := packet.NewRegistry()
	packet.MustRegister(reg, "chat:message", r.message, forMembers)
	packet.MustRegister(reg, "chat:join", r.join, forJoining...)
	// Nothing that belongs to a chat comes near these limits.
	r.server = packet.NewServer(reg, packet.Config{MaxFrame: 64 << 10, MaxBody: 64 << 10, MaxElements: 64, Hooks: packet.Hooks{Close: r.left}})
	return r, ping.Serve(r.server, ping.Options{Func: r.status})
}

// serve runs a room until a member says /stop, or ctx ends.
func serve(ctx context.Context, address string, out io.Writer) error {
	r, err := newRoom()
	if err != nil {
		return err
	}
	ln, err := r.server.Listen(address)
	if err != nil {
		return fmt.Errorf("%w%s", err, serverHint(address, err))
	}
	fmt.Fprintf(out, "listening on %s\n", packet.AddressOf(ln.Addr()))

	defer context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.end(packet.ReasonServerShutdown)
	})()
	if err := r.server.Serve(ln); !errors.Is(err, packet.ErrClosed) {
		return err
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return r.server.Shutdown(ending) // waits until all clients know
}

// join takes the packet chat:join.
func (r *room) join(c *packet.Conn, j join) error {
	asked := cleanNick(j.Nickname)
	r.mu.Lock()
	defer r.mu.Unlock()
	c.SetMode(packet.ModeChat)
	nick := r.admit(c, asked)
	r.members[c] = nick
	r.announce(c, fmt.Sprintf("User %s with IP Address %s joined the server", nick, ipOf(c)))
	if asked != nick { // of what cleanNick does nothing is said, as in peng3dnet
		r.reply(c, fmt.Sprintf("The nickname '%s' is taken: yours is '%s'", asked, nick))
	}
	return nil
}

// left is called when a connection has ended, also one that never joined.
func (r *room) left(c *packet.Conn, why *packet.CloseError) {
	reason := reasonText(why.Reason) // which a client can choose, at any length: not while others wait
	r.mu.Lock()
	defer r.mu.Unlock()
	nick, ok := r.members[c]
	if !ok {
		return
	}
	delete(r.members, c)
	r.announce(c, fmt.Sprintf("%s disconnected (%s)", nick, reason))
}

// reasonText is why somebody left, on one short line.
func reasonText(reason any) string {
	text, ok := reason.(string)
	switch {
	case reason == nil:
		return "unknown"
	case !ok:
		text = fmt.Sprint(reason)
	}
	runes := []rune(text[:min(len(text), 4*longestReason)]) // 4 bytes at most are a character
	return visible(string(runes[:min(len(runes), longestReason)]))
}

// message takes the packet chat:message.
func (r *room) message(c *packet.Conn, m said) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	nick, ok := r.members[c]
	switch {
	case !ok || m.Message == "": // it leaves, or says nothing
	case len(m.Message) > longestMessage:
		r.reply(c, fmt.Sprintf("Message too long: it may have %d bytes", longestMessage))
	case strings.HasPrefix(m.Message, "/"):
		r.command(c, nick, m)
	default:
		r.toOthers(c, fromMember(nick, m))
	}
	return nil
}

// fromMember is what others get of a message: the text as it is, and the sender's time, or else the server's.
func fromMember(nick string, m said) shown {
	at := m.Timestamp
	if _, ok := seconds(at); !ok {
		at = now()
	}
	return shown{Message: m.Message, Origin: nick, Timestamp: at}
}

// toOthers sends a message to all members but one, encoded once for all. Who is about to leave misses it.
func (r *room) toOthers(c *packet.Conn, m shown) {
	body, err := msgpack.Append(nil, m)
	if err != nil {
		return // it cannot be: texts, numbers and truth values
	}
	for other := range r.members {
		if other != c {
			_ = other.Send("chat:message", packet.Body(body))
		}
	}
}

// announce has the server itself tell all members but one.
func (r *room) announce(c *packet.Conn, text string) {
	r.toOthers(c, shown{Message: text, Origin: fromServer, Internal: true, Timestamp: now()})
}

// reply answers a command.
func (r *room) reply(c *packet.Conn, text string) {
	_ = c.Send("chat:message", shown{Message: text, Origin: fromServer, Internal: true, Private: true, Timestamp: now()})
}

// end closes all connections, of which nobody shall be told one by one.
func (r *room) end(reason any) {
	clear(r.members)
	r.server.Stop(reason)
}

// status is what the server adds to the answers to pings.
func (r *room) status(*packet.Conn, *packet.Message) map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	nicks := slices.DeleteFunc(slices.Sorted(maps.Values(r.members)), func(nick string) bool { return nick == anonymous })
	return map[string]any{"usercount": len(nicks), "usersample": nicks[:min(len(nicks), 10)], "maxusers": 128, "couldjoin": true}
}

// cleanNick makes a nickname that fits on a line of any terminal, by peng3dnet's rule.
func cleanNick(nick string) string {
	runes := []rune(strings.TrimSpace(nick))
	if len(runes) == 0 {
		return anonymous
	}
	runes = runes[:min(len(runes), longestNick)]
	for i, r := range runes {
		if r < 0x20 || r >= 0x7f {
			runes[i] = '?'
		}
	}
	return string(runes)
}

// admit is the nickname of somebody who joins: what it asks for if that is free, else that with underscores for its
// blanks and perhaps a number, such as alice2; anonymous if nothing of that is free.
func (r *room) admit(c *packet.Conn, nick string) string {
	if nick == anonymous || r.free(c, nick) {
		return nick
	}
	nick = strings.ReplaceAll(nick, " ", "_")
	if r.free(c, nick) {
		return nick
	}
	for n := 2; n <= 9; n++ { // not further: everybody waits
		numbered := fmt.Sprintf("%s%d", nick[:min(len(nick), longestNick-1)], n)
		if r.free(c, numbered) {
			return numbered
		}
	}
	return anonymous
}

// free tells whether c may have a nickname: it must not be taken for the server, for somebody without a name, or for
// another member, also not by a whisper, in which the message follows the name.
func (r *room) free(c *packet.Conn, nick string) bool {
	if clash(nick, fromServer) || clash(nick, anonymous) {
		return false
	}
	for other, name := range r.members {
		if other != c && name != anonymous && clash(nick, name) {
			return false
		}
	}
	return true
}

// clash tells whether two nicknames are the same, but for upper case, or one is the first words of the other.
func clash(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return strings.EqualFold(a, b[:len(a)]) && (len(a) == len(b) || b[len(a)] == ' ')
}

func ipOf(c *packet.Conn) string {
	if host, _, err := net.SplitHostPort(c.RemoteAddr().String()); err == nil {
		return host
	}
	return "unknown" // a unix socket
}
