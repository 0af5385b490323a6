//go:build !js

package client_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/link/wslink"
)

// capture is a scenario file of testdata/pgnet; its README says what the fields mean.
type capture struct {
	Scenario string
	Keys     map[string]struct{ Private string }
	Frames   []frame
	Events   [][]any
}

type frame struct {
	Conn, Dir, Raw string
	Plain          *string
	Event          string
	Code           int
	Reason         string
}

func readCaptures(t *testing.T, pattern string) []capture {
	t.Helper()
	paths, err := filepath.Glob("../testdata/pgnet/" + pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures %s: %v", pattern, err)
	}
	var captures []capture
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c capture
		if json.Unmarshal(text, &c) == nil && len(c.Frames) > 0 {
			captures = append(captures, c)
		}
	}
	return captures
}

// script is one connection of a capture: the k-th frame of the server answers the k-th of the client.
type script struct {
	asked, said []frame
	end         frame // the close; Dir is empty if there was none
}

// scripts are the connections of a capture, by name; one name may have connected several times.
func (c capture) scripts() map[string][]script {
	all := map[string][]script{}
	for _, f := range c.Frames {
		list := all[f.Conn]
		if len(list) == 0 || list[len(list)-1].end.Dir != "" {
			list = append(list, script{})
		}
		s := &list[len(list)-1]
		switch {
		case f.Event == "close":
			s.end = f
		case f.Dir == "c2s":
			s.asked = append(s.asked, f)
		default:
			s.said = append(s.said, f)
		}
		all[f.Conn] = list
	}
	return all
}

var timestamp = regexp.MustCompile(`"created_on": "[^"]*"`)

func masked(text string) string { return timestamp.ReplaceAllString(text, `"created_on": "T"`) }

// expressible tells whether the Go client can send this very text: it is a packet as pgnet's client writes it.
func (f frame) expressible() (parlor.Packet, bool) {
	if f.Plain == nil {
		return parlor.Packet{}, false
	}
	p, err := parlor.DecodePacket([]byte(*f.Plain))
	if err != nil {
		return parlor.Packet{}, false
	}
	text, err := p.AppendJSON(nil)
	return p, err == nil && string(text) == *f.Plain
}

// play replays the server's side: the captured frames, to the byte. What the client sends is compared where
// it can say the same.
func (s script) play(p *player) {
	for i, said := range s.said {
		s.compare(p, i)
		if p.write(said.Raw) != nil {
			return
		}
	}
	if s.end.Dir != "s2c" {
		if code := p.closing(); s.end.Dir == "c2s" && code != websocket.StatusNormalClosure {
			p.t.Errorf("the client closed with %d, want 1000", code)
		}
		return
	}
	if len(s.asked) > len(s.said) {
		s.compare(p, len(s.said))
	}
	p.ws.Close(websocket.StatusCode(s.end.Code), s.end.Reason)
}

func (s script) compare(p *player, i int) {
	got := p.hear()
	if i == 0 {
		packet, err := parlor.DecodePacket([]byte(got))
		public, _ := packet.Payload.Get("pubkey")
		if text, ok := public.(string); err == nil && ok {
			p.tunnel, _ = p.key.Tunnel(text)
		}
	}
	if _, ok := s.asked[i].expressible(); !ok {
		return
	}
	if i == 1 && !isLogin(*s.asked[1].Plain) {
		return
	}
	if want := masked(*s.asked[i].Plain); masked(withoutOffer(got)) != want {
		p.t.Errorf("packet %d:\n\t%s\nwant\n\t%s", i, masked(got), want)
	}
}

// withoutOffer is a login without what it says of the native wire, which pgnet's servers ignore.
func withoutOffer(plain string) string {
	return regexp.MustCompile(`, "parlor": {[^}]*}`).ReplaceAllString(plain, "")
}

// isLogin tells whether a login is one that pgnet's client would send: all three texts.
func isLogin(plain string) bool {
	return regexp.MustCompile(`"message": "handshake", "payload": {"username": ".+", "password": ".*", "invite_code": "[^"]*"}`).MatchString(plain)
}

// login is how the client has to be configured for the script.
func (s script) login() client.Config {
	cfg := client.Config{Username: "someone"}
	if len(s.asked) > 1 && s.asked[1].Plain != nil {
		p, _ := parlor.DecodePacket([]byte(*s.asked[1].Plain))
		for key, into := range map[string]*string{"username": &cfg.Username, "password": &cfg.Password, "invite_code": &cfg.InviteCode} {
			v, _ := p.Payload.Get(key)
			*into, _ = v.(string)
		}
	}
	return cfg
}

// told is what the application is to be told (sections 13.1 to 13.4), and the reason of the end.
func (s script) told(t *testing.T, username string) (events []string, reason string) {
	events = []string{"status Connecting to lobby:38929...", "status Logging in..."}
	answers := make([]parlor.Response, len(s.said))
	for i, f := range s.said {
		var err error
		if answers[i], err = parlor.DecodeResponse([]byte(*f.Plain)); err != nil {
			t.Fatal(err)
		}
	}
	disconnected := func(reason string) ([]string, string) {
		return append(events, "status Disconnected: "+reason), reason
	}
	if len(answers) == 0 {
		return disconnected(client.ReasonClosed)
	}
	if _, ok := answers[0].Payload.Get("pubkey"); !ok {
		return disconnected(client.ReasonNoKey)
	}
	if len(answers) == 1 {
		return disconnected(client.ReasonClosed)
	}
	if answers[1].Status != parlor.StatusOK {
		return disconnected(answers[1].Message)
	}
	events = append(events, "connection true", "status Logged in as "+username+" @ 198.18.0.1:38929")
	game := ""
	for _, r := range answers[2:] {
		if r.Game != game {
			if r.Game == "" {
				events = append(events, "status Left game: "+game)
			} else {
				events = append(events, "status Joined game: "+r.Game)
			}
			game = r.Game
			events = append(events, "game "+game)
		}
		events = append(events, "answer "+masked(describe(r)))
		if r.Disconnecting {
			reason = r.Message
		}
	}
	if reason == "" {
		reason = client.ReasonByClient
		if s.end.Dir == "s2c" {
			reason = client.ReasonClosed
		}
	}
	if len(s.asked) > len(s.said) {
		events = append(events, "no answer: "+reason)
	}
	if game != "" {
		events = append(events, "game ")
	}
	events = append(events, "connection false")
	return disconnected(reason)
}

// describe is all of a response.
func describe(r parlor.Response) string {
	text, err := r.AppendJSON(nil, time.Time{})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestCapturedServers plays every captured connection of a 0.2.1 server to the client.
func TestCapturedServers(t *testing.T) {
	connections := 0
	for _, c := range readCaptures(t, "*.json") {
		for conn, scripts := range c.scripts() {
			for _, s := range scripts {
				connections++
				t.Run(c.Scenario+"/"+conn, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						replay(t, s, parseKey(t, c.Keys["server"].Private), parseKey(t, c.Keys[conn].Private))
					})
				})
			}
		}
	}
	if connections < 139 {
		t.Errorf("only %d connections were found", connections)
	}
}

func parseKey(t *testing.T, text string) *box.Key {
	t.Helper()
	key, err := box.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func replay(t *testing.T, s script, serverKey, clientKey *box.Key) {
	n := newNetwork(t)
	n.servePlayer(t, serverKey, s.play)
	var events journal
	cfg := events.config(s.login())
	username := cfg.Username
	cfg.Dialer = wslink.Dialer{Key: clientKey, DialContext: n.DialContext, PgnetOnly: true}
	c, err := client.New("lobby", cfg)
	if err != nil {
		t.Fatal(err)
	}
	want, reason := s.told(t, username)
	if c.Connect(t.Context()) == nil {
		for i := 2; i < max(len(s.asked), len(s.said)); i++ {
			request := parlor.Packet{Message: "what the Go client cannot say"}
			if i < len(s.asked) {
				if p, ok := s.asked[i].expressible(); ok {
					request = p
					request.CreatedOn, request.Username = "", ""
				}
			}
			answered := make(chan struct{})
			c.Send(request, func(r parlor.Response, err error) {
				if err != nil {
					events.add("no answer: %s", err.(*client.DisconnectedError).Reason)
				} else {
					events.add("answer %s", masked(describe(r)))
				}
				close(answered)
			})
			<-answered
		}
		if reason == client.ReasonByClient {
			c.Close()
		}
	}
	wantReason(t, c.Wait(), reason)
	events.want(t, want...)
}

// TestPythonClientSession makes the calls of a captured session of the release's own client, at the same
// times: the packets are the same, and so are the events.
func TestPythonClientSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		capture := readCaptures(t, "python_client_session.json")[0]
		s := capture.scripts()["python"][0]
		n := networkAt(t, "localhost:22091")
		n.servePlayer(t, parseKey(t, capture.Keys["server"].Private), s.play)
		var events journal
		key := parseKey(t, capture.Keys["python"].Private)
		cfg := events.config(client.Config{
			Username: "alice", Password: "pw",
			ServerKey:        parseKey(t, capture.Keys["server"].Private).Public(),
			HeartbeatPayload: func() any { return parlor.Map{"cursor": 7} },
			Dialer:           wslink.Dialer{Key: key, DialContext: n.DialContext, PgnetOnly: true},
		})
		cfg.OnHeartbeat = func(r parlor.Response) { events.add("heartbeat %s %s", r.Message, r.Payload) }
		c, err := client.Dial(t.Context(), "localhost:22091", cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		at := func(after time.Duration, do func() error) {
			time.Sleep(time.Until(start.Add(after))) // sleep: virtual; what the capture waited
			if err := do(); err != nil {
				events.add("refused: %v", err)
			}
			synctest.Wait()
		}
		ctx := t.Context()
		send := func(message string, payload any) func() error {
			return func() error {
				return c.Send(parlor.Packet{Message: message, Payload: parlor.Encode(payload)}, events.callback(message))
			}
		}
		ms := time.Millisecond
		at(7*ms, func() error { _, err := c.GameDir(ctx); return err })
		at(108*ms, func() error { return c.CreateGame(ctx, "slow room", client.GameOptions{Password: "pw"}) })
		at(208*ms, send("echo", parlor.Map{"hello": "w\u00f6rld"}))
		at(1209*ms, func() error { return c.LeaveGame(ctx) })
		at(1310*ms, func() error { return c.JoinGame(ctx, "room two", client.GameOptions{}) })
		at(1565*ms, send("kick", parlor.Map{}))
		at(1665*ms, func() error { return c.JoinGame(ctx, "room two", client.GameOptions{Password: "x"}) })
		c.Close()
		c.Wait()
		events.want(t, capture.told()...)
	})
}

// told are the captured events in the words of a journal; of the calls that wait for their answers only the
// refused ones.
func (c capture) told() []string {
	var lines []string
	for _, e := range c.Events {
		switch kind := e[0].(string); kind {
		case "callback":
			if name := e[1].(string); name == "send" || name == "kick" {
				lines = append(lines, strings.Replace(name, "send", "echo", 1)+": "+e[3].(string))
			} else if e[2].(float64) != 0 {
				lines = append(lines, "refused: "+e[3].(string))
			}
		case "on_heartbeat":
			payload := e[2].(map[string]any)
			text, _ := parlor.ParsePayload([]byte(`{"n": ` + jsonText(payload["n"]) + `, "sent": ` + jsonText(payload["sent"]) + `}`))
			lines = append(lines, "heartbeat "+e[1].(string)+" "+text.String())
		case "on_game":
			name, _ := e[1].(string)
			lines = append(lines, "game "+name)
		default:
			lines = append(lines, strings.TrimPrefix(kind, "on_")+" "+strings.Trim(jsonText(e[1]), `"`))
		}
	}
	return lines
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
