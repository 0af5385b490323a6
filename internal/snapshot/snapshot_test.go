package snapshot_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCheckVectors checks hashes that the pgnet release made.
func TestCheckVectors(t *testing.T) {
	text, err := os.ReadFile("../../testdata/pgnet/password_hash.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct{ Salt, Password, Hash string }
		Types   []struct {
			Salt, Hash string
			Password   string `json:"same_as_password"`
		} `json:"json_types"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 || len(file.Types) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range file.Vectors {
		check(t, snapshot.User{Salt: v.Salt, Hash: v.Hash}, v.Password)
	}
	for _, v := range file.Types {
		check(t, snapshot.User{Salt: v.Salt, Hash: v.Hash}, v.Password)
	}
}

func check(t *testing.T, u snapshot.User, password string) {
	t.Helper()
	if !u.Check(password) {
		t.Errorf("salt %q: the password %q does not fit", u.Salt, password)
	}
	if u.Check(password+"x") || u.Check("\x00"+password) {
		t.Errorf("salt %q: a wrong password fits", u.Salt)
	}
}

func TestNewUser(t *testing.T) {
	u := snapshot.NewUser("alice", "wonder land")
	if u.Name != "alice" || !u.Check("wonder land") || u.Check("") {
		t.Errorf("NewUser = %+v", u)
	}
	if len(u.Salt) != 40 || strings.Trim(u.Salt, "0123456789abcdef") != "" {
		t.Errorf("salt %q is not 40 hex digits", u.Salt)
	}
	if again := snapshot.NewUser("alice", "wonder land"); again.Salt == u.Salt {
		t.Error("two users have the same salt")
	}
	for _, hash := range []string{"", u.Hash[:63], strings.ToUpper(u.Hash) + "0"} {
		if (snapshot.User{Salt: u.Salt, Hash: hash}).Check("wonder land") {
			t.Errorf("the hash %q fits", hash)
		}
	}
}
