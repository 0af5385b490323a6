package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"parlor"
	"parlor/client"
	"parlor/internal/near"
	"parlor/link"
	"parlor/link/packetlink"
)

// connectError is why a connection was not made or is lost, in words that may be shown, and what to try, if the reason
// does not say that itself.
type connectError struct {
	what, reason, hint string
	err                error
}

func (e *connectError) Error() string {
	if e.hint == "" {
		return e.what + ": " + e.reason
	}
	return e.what + ": " + e.reason + " (" + e.hint + ")"
}

func (e *connectError) Unwrap() error { return e.err }

// The rules for names (section 9), for people.
const (
	userNameRule = "3 to 20 letters A-Z a-z and digits, without the word admin"
	gameNameRule = "3 to 50 letters A-Z a-z, digits and spaces between them, without the word admin"
)

// textPassword is what a server answers to a wrong password (section 5.3).
const textPassword = "Incorrect password."

// adminPasswordHint says where the administrator's password is from.
const adminPasswordHint = "it is the one that the server was given, or has shown at its first start; parlor user passwd admin sets another, on the store of a server that is stopped"

// refusalHints are what to try after each refusal of a login (section 5.3).
var refusalHints = map[string]string{
	"User deleted.":                      "the administrator has deleted this user: take another --user",
	"Username already connected.":        "end the other session of this user, or take another --user",
	textPassword:                         "give the user's own password with PARLOR_PASSWORD or --password; that of admin: " + adminPasswordHint,
	"Incorrect username or invite code.": "check --invite, and that the code was made for this --user",
	"Registration blocked.":              "ask the administrator for an invite code, and give it with --invite",
	"User password required.":            "choose a password, and give it with PARLOR_PASSWORD or --password",
	"Username not allowed.":              "choose a --user of " + userNameRule,
	"Login without TLS refused, as the password would cross the network in clear: connect with TLS.": "try tls://HOST:PORT or --tls; " +
		"a server that has no TLS takes logins of the packet wire over the loopback only, unless it is given --tls-cert and --tls-key, or --packet-insecure",
}

// reasonHints are what to try after a client's own reasons (section 13.2).
var reasonHints = map[string]string{
	client.ReasonNoKey:       "what answers there is no lobby of this protocol: check the address and port",
	client.ReasonUnexpected:  "what answers there speaks another protocol or version: check the address and port",
	client.ReasonUndecrypted: "what answers there speaks another protocol or version: check the address and port",
	client.ReasonTimeout:     "the server is too busy, or the network too slow: try again later",
	client.ReasonWrongKey: "the server has another key than --pubkey: check the key that the server printed at its start " +
		"(one that has its store in a folder, --save or --key keeps it); if that is not it, somebody else is answering",
	client.ReasonByClient: "it was given up before the server had answered: try again",
	reasonNotNative:       "leave out --wire native, or take --wire pgnet, which all servers speak",
	client.ReasonClosed:   "check that the address is that of a lobby, and look at the server's log",
}

// loginError explains why there is no connection. To a server that could be reached and is no lobby it may connect again.
func loginError(ctx context.Context, o connectOptions, err error) error {
	var d *client.DisconnectedError
	if !errors.As(err, &d) {
		return err
	}
	e := &connectError{what: "connect to " + o.address, reason: visible(reason(d)), err: err}
	hint, refused := refusalHints[d.Reason]
	switch {
	case d.Reason == client.ReasonCallFailed:
		if e.hint = callHint(d.Err); e.hint == "" || e.hint == addressHint && o.wire == wirePacket && ctx.Err() == nil {
			e.explainCall(ctx, o)
		}
	case errors.Is(err, packetlink.ErrClear):
		e.reason = "not logged in, as the password would cross the network in clear"
		e.hint = "connect with TLS, by tls://HOST:PORT or --tls; or with --packet-insecure where the network itself protects what crosses it"
	case d.Reason == client.ReasonClosed && o.wire == wirePacket:
		e.explainCall(ctx, o)
	case refused:
		e.what, e.hint = "log in as "+visible(o.user)+" at "+o.address, hint
	case reasonHints[d.Reason] != "":
		e.hint = reasonHints[d.Reason]
	default:
		e.what, e.hint = "log in as "+visible(o.user)+" at "+o.address, "these are the server's words: ask who runs it"
	}
	e.what = visible(e.what)
	return e
}

// reason is why a connection ended, with the cause if there is one that says more to people.
func reason(d *client.DisconnectedError) string {
	if d.Err == nil || d.Reason == client.ReasonClosed {
		return d.Reason
	}
	return strings.TrimSuffix(d.Reason, ".") + ": " + d.Err.Error()
}

const nobodyHint = `no server listens there: check the port, start one with "parlor serve"`

// callHint is what to try when a server could not be called; nothing if another server may be there than was meant.
func callHint(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	switch {
	case errors.As(err, &dns):
		return "check how the host is spelt, and that this machine is on the network"
	case errors.Is(err, syscall.ECONNREFUSED):
		return nobodyHint + `, or try --local`
	case errors.As(err, &authority):
		return "its certificate is self-signed, or of an authority unknown here: name the file of the certificate or " +
			"authority with --ca. On WebSocket sessions are sealed without TLS too, and --pubkey proves the server"
	case errors.As(err, &hostname):
		return "use a name that the certificate is for"
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "the server has no TLS: try the address without wss://"
	case errors.As(err, &op) && op.Op == "dial":
		return "check the address, and that this machine can reach it"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return addressHint
	}
	return ""
}

// reasonTakenOver is what a server closes the link of a session with that another login has taken over (docs/PROTOCOL.md, section 2.5).
const reasonTakenOver = "taken over"

// lostError explains why a connection has ended.
func lostError(err error) error {
	var d *client.DisconnectedError
	if !errors.As(err, &d) {
		return err
	}
	e := &connectError{
		what: "connection lost", reason: visible(reason(d)), err: err,
		hint: "the server may have stopped, or ended this session: look at its log, and connect again",
	}
	var closed *link.CloseError
	switch {
	case d.Reason == client.ReasonTimeout:
		e.reason = "the server or the game took more than 5 s"
		e.hint = "a request that was not answered may still be carried out; connect again"
	case d.Reason == client.ReasonWrongKey:
		e.reason = "the server that answers now has another key"
		e.hint = "a server without --key, and with --store memory or in PostgreSQL, makes a new one at each start: connect again if it was started anew; if not, somebody else is answering"
	case d.Reason == client.ReasonCallFailed:
		e.reason, e.hint = "the server could not be reached again", "connect again when it is back"
	case refusalHints[d.Reason] != "":
		e.hint = refusalHints[d.Reason] // of the login that would have brought it back, or the user is gone
	case d.Reason != client.ReasonClosed || !errors.As(d.Err, &closed):
	case closed.Code == link.CloseGoingAway:
		e.reason, e.hint = "the server has stopped", "connect again when it is back"
	case closed.Code == link.ClosePolicy && closed.Reason == reasonTakenOver:
		e.reason, e.hint = "another login of this user has taken the session over", "it had the password: connect again to take it back"
	case closed.Code == link.CloseNormal && closed.Reason == "":
		e.reason = "the server ended this session"
		e.hint = "another login of this user with --takeover, idle for an hour, or the user was deleted: connect again"
	case closed.Reason != "":
		e.reason = "the server ended this session: " + visible(closed.Reason)
	}
	if errors.Is(err, client.ErrUncertain) {
		e.hint += "; the request that was under way may have been carried out, or not"
	}
	return e
}

// answerHint is what a person may want to know beyond the answer to a request; mostly nothing. Streams tells whether the connection is on
// one of Parlor's own wires.
func answerHint(p parlor.Packet, r parlor.Response, streams bool) string {
	text, _ := p.Payload.Get("username")
	user, _ := text.(string)
	switch {
	case !streams && isOwn(p.Message):
		return p.Message + " is for the native and the packet wire, and this connection is on pgnet's: leave out --wire pgnet, if the server knows another"
	case r.Message == "Game name not allowed.":
		return "a game's name has " + gameNameRule
	case p.Message == parlor.RequestCreateInvite && r.Status == parlor.StatusOK && user != "" && !parlor.UserNameAllowed(user):
		return "nobody can register as " + visible(user) + ": a user's name has " + userNameRule
	case p.Message == parlor.RequestCreateInvite && r.Status == parlor.StatusOK && !says(p, "uses") && !says(p, "expires_in"):
		return "the code is good once, and for 30 days if the server has no other --invite-life"
	}
	return requestHint(p.Message)
}

// says tells whether a request has an argument.
func says(p parlor.Packet, name string) bool {
	_, there := p.Payload.Get(name)
	return there
}

// requestHint is what to say of a request that begins as the lobby's own do and is none of them. A game may know
// it all the same, so that it is sent.
func requestHint(message string) string {
	name, reserved := strings.CutPrefix(message, parlor.RequestPrefix+".")
	if !reserved || message == parlor.RequestHeartbeat {
		return ""
	}
	if full := parlor.RequestOwnPrefix + "." + name; isOwn(full) {
		return "no such request: ." + name + "; did you mean " + full + "?"
	}
	best, distance := "", 3 // letters that may be wrong
	for _, r := range requests {
		known := strings.TrimPrefix(r.name, parlor.RequestPrefix+".")
		if known == name {
			return ""
		}
		if d := near.Distance(strings.ToLower(name), known); d < distance {
			best, distance = known, d
		}
	}
	if best == "" {
		return "no such request: ." + visible(name) + "; .help lists them"
	}
	return "no such request: ." + visible(name) + "; did you mean ." + best + "? .help lists them"
}

// visibleLines escapes all but line feeds.
func visibleLines(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, l := range lines {
		lines[i] = visible(l)
	}
	return strings.Join(lines, "\n")
}
