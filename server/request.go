package server

import (
	"errors"
	"fmt"
	"time"

	"parlor"
	"parlor/internal/pyjson"
	"parlor/link"
	"parlor/room"
)

// argument is one argument of a request. Types are named as Python does.
type argument struct {
	name, typ string
	hidden    bool // not pgnet's: accepted, but not listed in help to its clients
}

// spec is one of the lobby's requests (section 7.2).
type spec struct {
	message string
	args    []argument
	admin   bool
	own     bool // Parlor's own: for clients that speak envelopes
	// answer answers the request of a session, at once (done is true), or later by ss.finish. Args are checked.
	answer func(s *Server, ss *session, args arguments) (resp parlor.Response, done bool)
}

// specs are the requests in the order of help and of "commands".
var specs = []spec{
	{message: parlor.RequestHelp, answer: (*Server).help},
	{message: parlor.RequestGameDir, answer: (*Server).gameDir},
	{message: parlor.RequestCreateGame, answer: (*Server).createGame,
		args: []argument{{name: "name", typ: "str"}, {name: "password", typ: "str"}, {name: "kind", typ: "str", hidden: true}}},
	{message: parlor.RequestJoinGame, answer: (*Server).joinGame, // with a password, where pgnet 0.2.1 refuses it (defect 1)
		args: []argument{{name: "name", typ: "str"}, {name: "password", typ: "str"}, {name: "kind", typ: "str", hidden: true}}},
	{message: parlor.RequestLeaveGame, answer: (*Server).leaveGame},
	{message: parlor.RequestDebug, answer: (*Server).debug, admin: true},
	{message: parlor.RequestSave, answer: (*Server).save, admin: true},
	{message: parlor.RequestCreateInvite, answer: (*Server).invite, admin: true,
		args: []argument{{name: "username", typ: "str"}, {name: "uses", typ: "int", hidden: true}, {name: "expires_in", typ: "float", hidden: true}}},
	{message: parlor.RequestDestroyGame, answer: (*Server).destroyGame, admin: true, args: []argument{{name: "name", typ: "str"}}},
	{message: parlor.RequestDeleteUser, answer: (*Server).removal, admin: true, args: []argument{{name: "username", typ: "str"}}},
	{message: parlor.RequestSetRegistration, answer: (*Server).registrationRequest, admin: true, args: []argument{{name: "set_as", typ: "bool"}}},
	{message: parlor.RequestSetVerbose, answer: (*Server).verboseRequest, admin: true, args: []argument{{name: "set_as", typ: "bool"}}},
	{message: parlor.RequestSleep, answer: (*Server).sleep, admin: true, args: []argument{{name: "seconds", typ: "float"}}},
	{message: parlor.RequestShutdown, answer: (*Server).shutdownRequest, admin: true},
	{message: parlor.RequestSubscribe, answer: (*Server).subscribe, own: true},
	{message: parlor.RequestUnsubscribe, answer: (*Server).unsubscribe, own: true},
	{message: parlor.RequestChangePassword, answer: (*Server).changePassword, own: true,
		args: []argument{{name: "old_password", typ: "str"}, {name: "new_password", typ: "str"}}},
	{message: parlor.RequestCreateUser, answer: (*Server).createUser, admin: true, own: true,
		args: []argument{{name: "username", typ: "str"}, {name: "password", typ: "str"}}},
	{message: parlor.RequestSetPassword, answer: (*Server).setPassword, admin: true, own: true,
		args: []argument{{name: "username", typ: "str"}, {name: "password", typ: "str"}}},
	{message: parlor.RequestListUsers, answer: (*Server).listUsers, admin: true, own: true,
		args: []argument{{name: "after", typ: "int"}, {name: "limit", typ: "int"}}},
	{message: parlor.RequestListInvites, answer: (*Server).listInvites, admin: true, own: true, args: []argument{{name: "after", typ: "str"}}},
	{message: parlor.RequestRevokeInvite, answer: (*Server).revokeInvite, admin: true, own: true, args: []argument{{name: "code", typ: "str"}}},
}

// specByMessage is the table by message.
var specByMessage = make(map[string]*spec)

// listing is what help and a packet with nowhere to go answer from the table.
type listing struct {
	commands []string
	help     parlor.Payload
}

// listings are for the clients of pgnet's wire, and for those that speak envelopes.
var listings struct{ pgnet, all listing }

// init fills what is derived from the table, whose functions refer back to it.
func init() {
	for i := range specs {
		specByMessage[specs[i].message] = &specs[i]
	}
	listings.pgnet, listings.all = newListing(false), newListing(true)
}

func newListing(all bool) (l listing) {
	var help []byte
	for i := range specs {
		sp := &specs[i]
		if sp.own && !all {
			continue
		}
		l.commands = append(l.commands, sp.message)
		help = append(help, `, `...)
		help = pyjson.AppendString(help, sp.message)
		help = append(help, `: {`...)
		for j, a := range sp.args {
			if a.hidden && !all {
				continue
			}
			if j > 0 {
				help = append(help, `, `...)
			}
			help = pyjson.AppendString(help, a.name)
			help = append(help, `: `...)
			help = pyjson.AppendString(help, a.typ)
		}
		help = append(help, '}')
	}
	help[0], help[1] = ' ', '{'
	l.help, _ = parlor.ParsePayload(append(help[1:], '}'))
	return l
}

// listing is what the session's client is shown of the table.
func (ss *session) listing() *listing {
	if ss.speaks.Load() {
		return &listings.all
	}
	return &listings.pgnet
}

// spec is the lobby's request of that name, if there is one for the session's client.
func (ss *session) spec(message string) *spec {
	sp := specByMessage[message]
	if sp != nil && sp.own && !ss.speaks.Load() {
		return nil
	}
	return sp
}

// handle works on one request of a session; done is false if it is finished later.
func (s *Server) handle(ss *session, r request) (resp parlor.Response, done bool) {
	ss.number = r.number
	if ss.user == "" {
		if r.err != nil {
			ss.close(link.CloseInternal, "")
			ss.proceed()
			return parlor.Response{}, false
		}
		return s.login(ss, r.packet)
	}
	p := r.packet
	p.Username = ss.user
	if p.CreatedOn == "" && r.err == nil {
		p.CreatedOn = parlor.Timestamp(time.Now()) // the receiver's time, if the sender gave none (section 3.3)
	}
	switch {
	case ss.deleted.Load():
		return userDeleted(), true
	case r.err != nil:
		return malformed(r.err), true
	}
	if resp, was := ss.again(r.number); was {
		return resp, true
	}
	switch {
	case ss.limiter != nil && !r.paid && !ss.limiter.Allow():
		s.stats.RequestsRefused.Add(1)
		return parlor.Unexpected("Limit of requests per second reached."), true
	}
	if s.verbose.Load() {
		s.logPacket(ss, p)
	}
	if sp := ss.spec(p.Message); sp != nil {
		return s.builtIn(ss, sp, p)
	}
	g := ss.game.Load()
	if g == nil {
		return ss.nowhere(p), true
	}
	if err := ss.hand(g, p); errors.Is(err, room.ErrBusy) {
		return errBusy, true
	}
	return parlor.Response{}, false
}

// malformed answers a message that was not a packet.
func malformed(err error) parlor.Response {
	reason := err.Error()
	var m *parlor.MalformedError
	if errors.As(err, &m) {
		reason = m.Reason
	}
	return parlor.Unexpected("Malformed packet: " + reason)
}

// Beginnings of messages behind which something of the packet is quoted.
const (
	textArgumentType = "Expected argument type "
	textNowhere      = "Please create/join a game."
)

// nowhere answers a packet that neither the lobby nor a game takes (section 6.2).
func (ss *session) nowhere(p parlor.Packet) parlor.Response {
	var payload struct {
		Commands []string `json:"commands"`
		Packet   string   `json:"packet"`
	}
	payload.Commands, payload.Packet = ss.listing().commands, p.DebugText()
	return parlor.Unexpected(textNowhere, payload)
}

// userDeleted keeps the old status 0 (section 6.2, defect 13).
func userDeleted() parlor.Response {
	return parlor.Response{Message: "User deleted.", Disconnecting: true}
}

// builtIn makes the checks of section 7.1 and answers a request of the lobby's own.
func (s *Server) builtIn(ss *session, sp *spec, p parlor.Packet) (parlor.Response, bool) {
	if sp.admin && ss.user != parlor.AdminName {
		return parlor.Unexpected(pyjson.ReprString(sp.message) + " requires admin privileges."), true
	}
	args := arguments{packet: p}
	if err := args.check(sp); err != nil {
		return parlor.Unexpected(err.Error()), true
	}
	return sp.answer(s, ss, args)
}

// arguments are the checked arguments of a request.
type arguments struct {
	packet parlor.Packet
	values map[string][]byte // raw JSON by name
}

// check takes the payload's members as arguments, in the order sent; the first offence ends it.
func (a *arguments) check(sp *spec) error {
	err := pyjson.Members(a.packet.Payload.JSON(), 1<<10, func(key, value []byte) error {
		i := 0
		for i < len(sp.args) && sp.args[i].name != string(key) {
			i++
		}
		if i == len(sp.args) {
			return errors.New("Unexpected argument " + pyjson.ReprString(string(key)) + " for request " + pyjson.ReprString(sp.message))
		}
		if got := pyjson.KindOf(value).PythonType(); !fits(sp.args[i].typ, got) {
			return errors.New(textArgumentType + "<class '" + sp.args[i].typ + "'> for argument " + pyjson.ReprString(string(key)) +
				". Instead got: <class '" + got + "'> " + valueText(value))
		}
		if a.values == nil {
			a.values = make(map[string][]byte)
		}
		a.values[sp.args[i].name] = value
		return nil
	})
	if errors.Is(err, pyjson.ErrNotObject) {
		return errors.New("Malformed packet: the payload of " + pyjson.ReprString(sp.message) + " must be an object")
	}
	return err
}

// maxValueText bounds the argument that an answer renders, in bytes; of a larger one the size is told.
const maxValueText = 16 << 10

func valueText(raw []byte) string {
	if len(raw) > maxValueText {
		return fmt.Sprintf("(%d bytes)", len(raw))
	}
	return string(pyjson.AppendRepr(nil, raw))
}

// fits tells whether a value of a type is one of the type wanted. An integer is good where a float is wanted
// (defect 14); otherwise types must be the same.
func fits(want, got string) bool {
	return want == got || want == "float" && got == "int"
}

func (a *arguments) text(name string) string {
	text, _ := pyjson.Unquote(a.values[name])
	return text
}

func (a *arguments) bool(name string) bool { return string(a.values[name]) == "true" }
