package host_test

import (
	"strings"
	"testing"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/internal/pypeer"
)

// kicker is a game for what the example game does not show.
type kicker struct{ beats int }

func (k *kicker) HeartbeatRate() float64 { return 20 }
func (k *kicker) HandleHeartbeat(p parlor.Packet) parlor.Response {
	k.beats++
	return parlor.OK("beat", parlor.Map{"n": k.beats, "sent": p.Payload})
}

func (k *kicker) HandleGamePacket(p parlor.Packet) parlor.Response {
	switch p.Message {
	case "kick":
		return parlor.Response{Message: "You were removed.", Payload: p.Payload, Disconnecting: true}
	case "bye":
		r := parlor.OK("bye", nil)
		r.Disconnecting = true
		return r
	case "panic":
		panic("on request")
	case "echo":
		return parlor.OK("echo", parlor.Map{"username": p.Username, "payload": p.Payload})
	}
	return parlor.Unhandled(k)
}

func newKicker(parlor.Room, string) (parlor.Game, error) { return &kicker{}, nil }

// TestPythonClient is a session of pgnet's client.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{Games: map[string]parlor.NewGame{"kicker": newKicker}, AdminPassword: "secret"})
	c := pypeer.StartClient(t)
	c.Do(map[string]any{"op": "heartbeat_payload", "payload": map[string]any{"cursor": 7}})
	c.Do(map[string]any{"op": "connect", "port": s.port(), "username": "alice", "password": "pw", "verify": s.Lobby().PublicKey()})
	c.ExpectWith("connection", map[string]any{"value": true})
	got := c.Call(map[string]any{"op": "create", "name": "room"})
	want(t, got, "Created new game: 'room'.", 0, "room")
	if rate := got["payload"].(map[string]any)["heartbeat_rate"]; rate != 20.0 {
		t.Errorf("heartbeat rate %v", rate)
	}
	beat := c.Expect("heartbeat")["response"].(map[string]any)
	if sent := beat["payload"].(map[string]any)["sent"].(map[string]any); beat["message"] != "beat" || sent["cursor"] != 7.0 {
		t.Errorf("heartbeat %v", beat)
	}
	want(t, c.Call(map[string]any{"op": "send", "message": "else"}), "No packet handling configured for kicker", 2, "room")
	want(t, c.Call(map[string]any{"op": "send", "message": "echo", "payload": map[string]any{"\u00e9": 1}}), "echo", 0, "room")
	if got := c.Call(map[string]any{"op": "send", "message": "panic"}); got["status"] != 1.0 || got["game"] != "room" {
		t.Errorf("a handler that panics: %v", got)
	}
	want(t, c.Call(map[string]any{"op": "send", "message": "kick"}), "You were removed.", 0, nil)
	want(t, c.Call(map[string]any{"op": "send", "message": parlor.RequestHelp}), "See payload for requests.", 0, nil)
	want(t, c.Call(map[string]any{"op": "send", "message": parlor.RequestDebug}), "'__pgnet__.debug' requires admin privileges.", 2, nil)
	c.Do(map[string]any{"op": "disconnect"})
	c.ExpectWith("status", map[string]any{"text": "Disconnected: Client closed connection."})
	c.Expect("ended")

	for _, test := range []struct{ username, password, verify, reason string }{
		{"alice", "wrong", "", "Incorrect password."},
		{"a_b", "", "", "Username not allowed."},
		{"Admin", "secret", "", "Username not allowed."},
		{"admin", "admin", "", "Incorrect password."},
		{"alice", "pw", "x" + s.Lobby().PublicKey(), "Unverified server public key."},
	} {
		c.Do(map[string]any{"op": "connect", "port": s.port(), "username": test.username, "password": test.password, "verify": test.verify})
		c.ExpectWith("status", map[string]any{"text": "Disconnected: " + test.reason})
		if ended := c.Expect("ended"); ended["close_code"] != 1000.0 {
			t.Errorf("%s: %v", test.reason, ended)
		}
	}
}

// TestPythonClientIsKicked: whatever the payload with which a game takes a user out, pgnet's client lives on.
func TestPythonClientIsKicked(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{Games: map[string]parlor.NewGame{"kicker": newKicker}})
	c := pypeer.StartClient(t)
	c.Connect(s.port(), "alice", "pw")
	for _, payload := range []any{nil, 5, []any{}, "text", map[string]any{"heartbeat_rate": 0}, map[string]any{"heartbeat_rate": nil},
		map[string]any{"heartbeat_rate": "10", "score": 3}, map[string]any{"heartbeat_rate": -1}, map[string]any{"heartbeat_rate": 5}} {
		c.Call(map[string]any{"op": "create", "name": "room"})
		want(t, c.Call(map[string]any{"op": "send", "message": "kick", "payload": payload}), "You were removed.", 0, nil)
	}
	c.Call(map[string]any{"op": "create", "name": "room"})
	got := c.Call(map[string]any{"op": "send", "message": "bye"})
	want(t, got, "bye", 0, nil)
	if payload, ok := got["payload"].(map[string]any); !ok || len(payload) != 0 {
		t.Errorf("payload %v, want {}", got["payload"])
	}
	want(t, c.Call(map[string]any{"op": "send", "message": parlor.RequestHelp}), "See payload for requests.", 0, nil)
}

// TestPythonClientOddities are what only pgnet's client of the tests can be made to send.
func TestPythonClientOddities(t *testing.T) {
	t.Parallel()
	s := start(t, host.Config{})
	c := pypeer.StartClient(t)
	c.Do(map[string]any{
		"op": "connect", "port": s.port(), "username": "alice",
		"path": "/any/path?x=1", "binary_key_trade": true, "fragment": 7, "compression": false,
	})
	c.ExpectWith("connection", map[string]any{"value": true})
	for _, raw := range []string{
		`hello`, `[1, 2]`, `{}`, `{"message": `, `{"message": ["a"]}`, `{"payload": {}}`, `null`, `"x"`, ``,
		`{"message": "__pgnet__.join_game", "payload": [1]}`,
	} {
		c.Do(map[string]any{"op": "raw", "text": raw})
		text, _ := c.Expect("raw")["text"].(string)
		if r, err := parlor.DecodeResponse([]byte(text)); err != nil || r.Status != parlor.StatusUnexpected || r.Disconnecting {
			t.Errorf("%s was answered with %s", raw, text)
		}
	}
	for _, raw := range []string{
		`{"message": "__pgnet__.help", "unknown": 1}`,
		`{"message":"__pgnet__.help","payload":{},"username":"admin","created_on":5}`,
	} {
		c.Do(map[string]any{"op": "raw", "text": raw})
		if text, _ := c.Expect("raw")["text"].(string); !strings.Contains(text, "See payload for requests.") {
			t.Errorf("%s was answered with %s", raw, text)
		}
	}
	want(t, c.Call(map[string]any{"op": "join", "name": "room"}), "Created new game: 'room'.", 0, "room")
	c.Do(map[string]any{"op": "raw", "text": "not sealed", "seal": false})
	if raw := c.Expect("raw"); raw["close_code"] != 1000.0 {
		t.Errorf("a message that cannot be opened: %v", raw)
	}
	c.ExpectWith("status", map[string]any{"text": "Disconnected: Connection closed."})
}

// TestPythonAdmin are the administrator's requests of pgnet's client.
func TestPythonAdmin(t *testing.T) {
	t.Parallel()
	save := t.TempDir() + "/save.json"
	s := start(t, host.Config{AdminPassword: "secret", SaveFile: save})
	admin := pypeer.StartClient(t)
	admin.Connect(s.port(), "admin", "secret")
	call := func(message string, payload map[string]any) map[string]any {
		t.Helper()
		return admin.Call(map[string]any{"op": "send", "message": message, "payload": payload})
	}
	alice := dial(t, s.addr(), client.Config{Username: "alice", Password: "pw"})
	if err := alice.CreateGame(t.Context(), "room", client.GameOptions{}); err != nil {
		t.Fatal(err)
	}
	dir := admin.Call(map[string]any{"op": "game_dir"})
	room := dir["payload"].(map[string]any)["games"].(map[string]any)["room"].(map[string]any)
	if room["users"] != 1.0 || room["password_protected"] != false {
		t.Errorf("directory %v", dir)
	}
	want(t, call(parlor.RequestSave, map[string]any{}), "Saved success=True server data to disk: "+save, 0, nil)
	want(t, call(parlor.RequestSleep, map[string]any{"seconds": 0.25}), "Slept for 0.25 seconds", 0, nil)
	want(t, call(parlor.RequestSetRegistration, map[string]any{"set_as": false}), "Registration enabled: False", 0, nil)
	bob := pypeer.StartClient(t)
	bob.Do(map[string]any{"op": "connect", "port": s.port(), "username": "bobby"})
	bob.ExpectWith("status", map[string]any{"text": "Disconnected: Registration blocked."})
	bob.Expect("ended")
	code := strings.TrimPrefix(call(parlor.RequestCreateInvite, map[string]any{"username": "bobby"})["message"].(string), "Created invite code: ")
	bob.Do(map[string]any{"op": "connect", "port": s.port(), "username": "bobby", "invite_code": code})
	bob.ExpectWith("connection", map[string]any{"value": true})
	debug := call(parlor.RequestDebug, map[string]any{})["payload"].(map[string]any)
	if debug["pubkey"] != s.Lobby().PublicKey() || debug["registration"] != false {
		t.Errorf("debug %v", debug)
	}
	want(t, call(parlor.RequestDestroyGame, map[string]any{"name": "room"}), "Destroyed game: 'room'", 0, nil)
	want(t, call(parlor.RequestDeleteUser, map[string]any{"username": "alice"}), "Requested delete user 'alice'", 0, nil)
	<-alice.Done()
	want(t, call(parlor.RequestShutdown, map[string]any{}), "Shutting down...", 0, nil)
	s.ends(t, 0)
	for _, c := range []*pypeer.Client{admin, bob} {
		c.Do(map[string]any{"op": "send", "message": "x"}) // outside a game it notices nothing by itself
		if ended := c.Expect("ended"); ended["close_code"] != 1001.0 {
			t.Errorf("the client saw %v", ended)
		}
	}
}
