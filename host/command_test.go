package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/internal/certtest"
)

// output is what a command prints, readable while it runs.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// field is the value of a line "NAME: VALUE"; empty if there is none yet.
func (o *output) field(name string) string {
	m := regexp.MustCompile("(?m)^" + name + ": (.*)$").FindStringSubmatch(o.String())
	if m == nil {
		return ""
	}
	return m[1]
}

var kinds = map[string]parlor.NewGame{"chat": chat.New, "other": chat.New}

// serve runs the command in the test, without a store if it is given none, and returns what it prints and a function that ends it.
func serve(t *testing.T, args ...string) (out *output, stop func() error) {
	t.Helper()
	out = &output{}
	cmd := host.ServeCommand(kinds, "chat")
	if !slices.Contains(args, "--save") && !slices.Contains(args, "--store") {
		args = append(args, "--store", "memory")
	}
	cmd.SetArgs(append([]string{"--listen", "localhost:0"}, args...))
	cmd.SetOut(out)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	until(t, func() bool {
		select {
		case err := <-done:
			t.Fatalf("serve ended: %v", err)
		default:
		}
		return out.field("store") != "" || out.field("nothing is saved") != "" // which come last
	})
	return out, stop
}

// TestServeCommand prints what people need, once.
func TestServeCommand(t *testing.T) {
	out, stop := serve(t)
	until(t, func() bool { return strings.Contains(out.String(), "nothing is saved") })
	const password = "administrator password, made up for this run and shown once"
	c := dial(t, out.field("address"), client.Config{Username: "admin", Password: out.field(password), ServerKey: out.field("public key")})
	c.Close()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if strings.Count(out.String(), out.field(password)) != 1 || !strings.HasSuffix(out.String(), "\nended\n") {
		t.Errorf("printed:\n%s", out)
	}

	save := filepath.Join(t.TempDir(), "save.json")
	out, stop = serve(t, "--admin-password", "secret", "--save", save, "--no-registration", "--game", "other")
	if text := out.String(); strings.Contains(text, "secret") || strings.Contains(text, "password") || strings.Contains(text, "saved") || !strings.Contains(text, "\nstore: "+save+"\n") {
		t.Errorf("printed:\n%s", text)
	}
	refused(t, out.field("address"), client.Config{Username: "alice"}, "Registration blocked.")
	admin := dial(t, out.field("address"), client.Config{Username: "admin", Password: "secret"})
	wantAnswer(t, admin, parlor.RequestShutdown, nil, "Shutting down...", 0)
	admin.Wait()
	if err := stop(); err != nil {
		t.Error(err)
	}

	cert, key := certtest.Make(t)
	out, _ = serve(t, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(out.field("address"), "wss://127.0.0.1:") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestServeCommandErrors(t *testing.T) {
	for want, args := range map[string][]string{
		`unexpected argument "x"`:                                    {"x"},
		"--game chess: there is no such":                             {"--game", "chess"},
		"try one of chat, other":                                     {"--game", "chess"},
		"--nothing; see serve --help":                                {"--nothing"},
		`; see serve --help`:                                         {"--max-users", "many"},
		"can be reached":                                             {"--listen", ":0"},
		"the port must be a number":                                  {"--listen", "localhost:http"},
		`--autosave: "x" is not a duration`:                          {"--autosave", "x"},
		`--max-users: "abc" is not a whole number; see serve --help`: {"--max-users", "abc"},
		"trusted proxy \"example.org\" is":                           {"--trusted-proxy", "example.org"},
		"give one of them":                                           {"--save", "x", "--store", "y"},
		"--store is empty":                                           {"--store", ""},
		"--standby is for a store":                                   {"--standby", "--store", "memory"},
		"there are no such stores":                                   {"--store", "redis://localhost"},
		"this is a file, and not a folder":                           {"--store", "command_test.go"},
	} {
		cmd := host.ServeCommand(kinds, "chat")
		cmd.SetArgs(append([]string{"--listen", "localhost:0"}, args...))
		cmd.SetOut(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		wantError(t, cmd.ExecuteContext(t.Context()), want)
	}
	for want, cmd := range map[string]*cobra.Command{
		`game "game": the function that makes it is nil`: host.ServeCommand(map[string]parlor.NewGame{"game": nil}, "game"), // Main(nil)
		"give --game, one of chat, other":                host.ServeCommand(kinds, ""),
		"no games":                                       host.ServeCommand(nil, ""),
	} {
		cmd.SetArgs([]string{"--listen", "localhost:0", "--store", "memory"})
		cmd.SetOut(io.Discard)
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		wantError(t, cmd.ExecuteContext(t.Context()), want)
	}
	if host.ServeCommand(chats, "chat").Flags().Lookup("game") != nil {
		t.Error("there is a flag for the kind of game where there is one kind only")
	}
}

// TestBindEnv: every flag may be given in the environment; what is on the command line wins.
func TestBindEnv(t *testing.T) {
	t.Setenv("PARLOR_ADMIN_PASSWORD", "from env")
	t.Setenv("PARLOR_LISTEN", "localhost:1")
	t.Setenv("PARLOR_MAX_GAMES", "12")
	t.Setenv("PARLOR_TAKEOVER", "true")
	t.Setenv("PARLOR_TRUSTED_PROXY", "127.0.0.1,10.0.0.0/8")
	cmd := host.ServeCommand(kinds, "chat")
	if err := cmd.ParseFlags([]string{"--listen", "localhost:2"}); err != nil {
		t.Fatal(err)
	}
	if err := host.BindEnv(cmd); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"admin-password": "from env", "listen": "localhost:2", "max-games": "12", "takeover": "true",
		"trusted-proxy": "[127.0.0.1,10.0.0.0/8]", "save": "",
	} {
		if got := cmd.Flags().Lookup(name).Value.String(); got != want {
			t.Errorf("--%s is %q, want %q", name, got, want)
		}
	}
	for name, test := range map[string]struct{ value, wanted string }{
		"MAX_USERS":     {"many", "a whole number"},
		"AUTOSAVE":      {"often", "a duration, such as 30s or 5m"},
		"VERBOSE":       {"perhaps", "true or false"},
		"MAX_REQUESTS":  {"few", "a number"},
		"ALLOW_ORIGIN":  {`"open`, "a list with commas between"},
		"MAX_GAMES":     {"1.5", "a whole number"},
		"TRUSTED_PROXY": {`a"b`, "a list with commas between"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PARLOR_"+name, test.value)
			err := host.BindEnv(host.ServeCommand(kinds, "chat"))
			want := fmt.Sprintf("environment variable PARLOR_%s: %q is not %s", name, test.value, test.wanted)
			if err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		})
	}
}

// TestBindEnvUnknown: a variable that is misspelt would be ignored without a word. Its value is not shown.
func TestBindEnvUnknown(t *testing.T) {
	t.Setenv("PARLOR_ADMINPASSWORD", "secret")
	t.Setenv("PARLOR_PORT", "38930")
	t.Setenv("PARLOR_MAX_USERS", "5")
	t.Setenv("PARLOR_OTHER", "of the other command")
	root, other := &cobra.Command{Use: "program"}, &cobra.Command{Use: "other"}
	other.Flags().String("other", "", "")
	serve := host.ServeCommand(kinds, "chat")
	root.AddCommand(serve, other)
	var stderr bytes.Buffer
	root.SetErr(&stderr)
	if err := host.BindEnv(serve); err != nil {
		t.Fatal(err)
	}
	const want = "program: ignored in the environment, as there is no such flag: PARLOR_ADMINPASSWORD, PARLOR_PORT; see program serve --help\n"
	if stderr.String() != want {
		t.Errorf("warned %q, want %q", &stderr, want)
	}
}

// TestBindEnvEmpty: a variable that is empty gives flags that are text only.
func TestBindEnvEmpty(t *testing.T) {
	cmd := host.ServeCommand(kinds, "chat")
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		t.Setenv("PARLOR_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), "")
	})
	if err := host.BindEnv(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if text := f.Value.Type() == "string"; f.Changed != text || !text && f.Value.String() != f.DefValue {
			t.Errorf("--%s, a %s, is %q; given: %v", f.Name, f.Value.Type(), f.Value, f.Changed)
		}
	})
}

func TestExecute(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		code   int
		stderr string
	}{
		"success": {nil, 0, ""},
		"error":   {errors.New("no luck"), 1, "program: no luck\n"},
		"restart": {host.ExitError(-1), -1, ""},
	} {
		cmd := &cobra.Command{Use: "program", RunE: func(*cobra.Command, []string) error { return test.err }}
		cmd.SetArgs([]string{})
		var stdout, stderr bytes.Buffer
		cmd.SetOut(&stdout)
		cmd.SetErr(&stderr)
		if code := host.Execute(cmd); code != test.code || stderr.String() != test.stderr || stdout.Len() > 0 {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", name, code, stdout.String(), stderr.String())
		}
	}
	if text := host.ExitError(-1).Error(); text != "exit code -1" {
		t.Error(text)
	}
}
