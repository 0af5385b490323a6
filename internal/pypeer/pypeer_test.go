package pypeer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor/internal/pypeer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSession(t *testing.T) {
	server := pypeer.StartServer(t, pypeer.ServerOptions{})
	client := pypeer.StartClient(t)
	client.Do(map[string]any{"op": "heartbeat_payload", "payload": map[string]any{"cursor": 7}})
	client.Do(map[string]any{
		"op": "connect", "port": server.Port, "username": "alice", "verify": server.PubKey,
	})
	client.ExpectWith("connection", map[string]any{"value": true})

	got := client.Call(map[string]any{"op": "create", "name": "room"})
	wantValue(t, got, "message", "Created new game: 'room'.")
	wantValue(t, got, "status", 0.0)
	wantValue(t, client.Expect("game"), "name", "room")
	beat := client.Expect("heartbeat")["response"].(map[string]any)
	wantValue(t, beat, "message", "beat")
	wantValue(t, beat, "game", "room")

	client.Do(map[string]any{"op": "raw", "text": `{"message": "echo", "unknown": 1}`})
	wantValue(t, client.Expect("raw"), "close_code", 1011.0)
	client.ExpectWith("status", map[string]any{"text": "Disconnected: Connection closed."})
	client.ExpectWith("connection", map[string]any{"value": false})
	client.Expect("ended")
	if code := client.Quit(); code != 0 {
		t.Errorf("client ended with %d, want 0", code)
	}
}

func TestSaveAndExitCodes(t *testing.T) {
	save := filepath.Join(t.TempDir(), "save.json")
	server := pypeer.StartServer(t, pypeer.ServerOptions{SaveFile: save})
	client := pypeer.StartClient(t)
	client.Connect(server.Port, "alice", "pw")
	client.Call(map[string]any{"op": "create", "name": "keep this"})
	if code := server.Stop(); code != 0 {
		t.Errorf("server ended with %d, want 0", code)
	}
	wantValue(t, client.Expect("ended"), "close_code", 1001.0)
	data, err := os.ReadFile(save)
	if err != nil || !strings.Contains(string(data), `"data": "state of keep this"`) {
		t.Errorf("save file %q, error %v", data, err)
	}

	server = pypeer.StartServer(t, pypeer.ServerOptions{SaveFile: save, RequirePassword: true})
	client = pypeer.StartClient(t)
	client.Connect(server.Port, "alice", "pw")
	got := client.Call(map[string]any{"op": "join", "name": "keep this"})
	wantValue(t, got, "message", "Joined game: 'keep this'.")
	server.Shutdown(7)
	if code := server.Wait(); code != 7 {
		t.Errorf("server ended with %d, want 7", code)
	}
}

// TestPeers runs the peers' own test, with the captures of $PARLOR_CAPTURES if set.
func TestPeers(t *testing.T) {
	args := []string{"-B", "selftest.py"}
	if dir := os.Getenv("PARLOR_CAPTURES"); dir != "" {
		args = append(args, dir)
	}
	out, err := exec.Command(pypeer.Find(t), args...).CombinedOutput()
	if err != nil {
		t.Errorf("selftest.py: %v\n%s", err, out)
	}
}

func TestSearch(t *testing.T) {
	python := pypeer.Find(t)
	if got, err := pypeer.Search("", "/no/such/python", python); got != python || err != nil {
		t.Errorf("Search = %q, %v, want %q", got, err, python)
	}
	_, err := pypeer.Search("/no/such/python", "false")
	for _, hint := range []string{"make test", "apt-get install python3-websockets python3-nacl python3-msgpack", "/no/such/python"} {
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("Search without a usable interpreter: %v, want a hint on %q", err, hint)
		}
	}
}

func wantValue(t *testing.T, got map[string]any, key string, want any) {
	t.Helper()
	if got[key] != want {
		t.Errorf("%s = %v, want %v; all of it: %v", key, got[key], want, got)
	}
}
