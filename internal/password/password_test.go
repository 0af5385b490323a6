package password_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"parlor/internal/password"
	"parlor/internal/pypeer"
)

// cheap is for tests that need no hash that lasts.
var cheap = password.Cost{Memory: 64, Passes: 1}

// libsodium made these. The last one costs less than those of today.
var libsodium = []struct {
	password, text string
	old            bool
}{
	{"correct horse", "$argon2id$v=19$m=19456,t=2,p=1$aRmdrlbNNnxmHQ2fMVtGew$mDwiV2FXtLERFmzxlZgsRCK9xwiUyUk9HrKsw7Y07bA", false},
	{"pässwörd 日本", "$argon2id$v=19$m=19456,t=2,p=1$YHnOs0xmUO9WkPjI6A52Xw$BtE74b3KQKmF2SyO+aEhfOsg31FTSEtkG5aX2esnokk", false},
	{"", "$argon2id$v=19$m=19456,t=2,p=1$HuD7gq7dRQOPu6pDGiqEZA$yxbOVz2bHr5G1u6Yo9BH4Y0mmZXaUnHZ5EB58G2dNtE", false},
	{"old", "$argon2id$v=19$m=8192,t=1,p=1$ehrDX6kACexvaa3pKm8ROQ$Xw5g5l0mJeX/V3hOsj+SONTKZq+xhgpUbeMm3zZCUqs", true},
}

func TestLibsodium(t *testing.T) {
	t.Parallel()
	for _, v := range libsodium {
		check(t, v.text, v.password, true, v.old)
		check(t, v.text, v.password+"\x00", false, v.old)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"", "日本😀\x00\xff", strings.Repeat("long ", 1000)} {
		text := password.Hash(word)
		if !strings.HasPrefix(text, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Fatalf("the hash is %s", text)
		}
		parts := strings.Split(text, "$")
		salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
		sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
		if err1 != nil || err2 != nil || len(salt) != 16 || len(sum) != 32 {
			t.Fatalf("salt and hash of %s are of %d and %d bytes (%v, %v)", text, len(salt), len(sum), err1, err2)
		}
		if want := argon2.IDKey([]byte(word), salt, 2, 19*1024, 1, 32); !bytes.Equal(sum, want) {
			t.Errorf("the hash of %q is %x, want %x", word, sum, want)
		}
		check(t, text, word, true, false)
		check(t, text, word+" ", false, false)
		if again := password.Hash(word); again == text {
			t.Errorf("two hashes of %q have the same salt", word)
		}
	}
}

func check(t *testing.T, text, word string, fits, old bool) {
	t.Helper()
	gotFits, gotOld, err := password.Cost{}.Check(text, word)
	if err != nil || gotFits != fits || gotOld != old {
		t.Errorf("Check(%s, %.20q): fits %t, old %t, error %v, want %t, %t", text, word, gotFits, gotOld, err, fits, old)
	}
}

// TestOld tells hashes that cost less than those of today, in any of what they cost.
func TestOld(t *testing.T) {
	t.Parallel()
	today := password.Cost{Memory: 256, Passes: 2}
	for _, v := range []struct {
		cost password.Cost
		old  bool
	}{
		{today, false},
		{password.Cost{Memory: 512, Passes: 3}, false},
		{password.Cost{Memory: 255, Passes: 2}, true},
		{password.Cost{Memory: 512, Passes: 1}, true},
	} {
		text := v.cost.Hash("pw")
		if fits, old, err := today.Check(text, "pw"); err != nil || !fits || old != v.old {
			t.Errorf("Check(%s): fits %t, old %t, error %v, want old %t", text, fits, old, err, v.old)
		}
		if fits, old, err := today.Check(text, "wp"); err != nil || fits || old != v.old {
			t.Errorf("Check(%s) of another password: fits %t, old %t, error %v, want old %t", text, fits, old, err, v.old)
		}
	}
	for _, short := range []string{
		"$argon2id$v=19$m=256,t=2,p=1$" + encoded(8) + "$" + encoded(32),
		"$argon2id$v=19$m=256,t=2,p=1$" + encoded(16) + "$" + encoded(16),
	} {
		if fits, old, err := today.Check(short, ""); err != nil || fits || !old {
			t.Errorf("Check(%s): fits %t, old %t, error %v, want an old one", short, fits, old, err)
		}
	}
}

// encoded is base64 of so many bytes.
func encoded(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }

// TestMalformed tries what a damaged store, or somebody who can write there, may have for a hash.
func TestMalformed(t *testing.T) {
	t.Parallel()
	salt, sum := encoded(16), encoded(32)
	for _, text := range []string{
		"", "$", "plain", "$argon2id", "$argon2id$v=19$m=64,t=1,p=1$" + salt, "$$$$$", "$pgnet", "$pgnet$", "$pgnet$a", "$pgnet$a$b$c", "$pgnet$a b$c", "$pgnet$%4$c", "$pgnet$%41$c",
		"$pgnet$a$%zz", "$argon2i$v=19$m=64,t=1,p=1$" + salt + "$" + sum,
		"$argon2d$v=19$m=64,t=1,p=1$" + salt + "$" + sum,
		"$2b$12$abcdefghijklmnopqrstuuPzV8yQ4C1ReNdV5a2iKkZ2fEp1Xv6yO",
		"$argon2id$v=16$m=64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$m=64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$t=1,m=64,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1,x=2$" + salt + "$" + sum,
		"$argon2id$v=19$m=064,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=+64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=-64,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=0,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=0,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=0$" + salt + "$" + sum,
		"$argon2id$v=19$m=7,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=5$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=257$" + salt + "$" + sum,
		"$argon2id$v=19$m=65537,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=4194304,t=2,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=4294967295,t=4294967295,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=18446744073709551680,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=17,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=4294967295,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=65536,t=5,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + encoded(7) + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + encoded(65) + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + encoded(15),
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + encoded(65),
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + encoded(1<<20),
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + sum + "$",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + sum + "\n",
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "==$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt[:4] + "\n" + salt[4:] + "$" + sum,
		"$argon2id$v=19$m=64,t=1,p=1$" + salt[:21] + "B$" + sum, // bits that are in no byte
		"$argon2id$v=19$m=64,t=1,p=1$" + salt + "$" + strings.Replace(sum, "A", "_", 1),
	} {
		fits, old, err := password.Cost{}.Check(text, "")
		if fits || old || !errors.Is(err, password.ErrMalformed) {
			t.Errorf("Check(%.80q): fits %t, old %t, error %v, want ErrMalformed", text, fits, old, err)
		}
		if err != nil && len(text) > 30 && strings.Contains(err.Error(), text[30:]) {
			t.Errorf("the error has the hash in it: %v", err)
		}
	}
}

// TestPgnetVectors checks hashes that the pgnet release made.
func TestPgnetVectors(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../../testdata/pgnet/password_hash.json")
	if err != nil {
		t.Fatal(err)
	}
	type vector struct {
		Salt, Hash string
		Password   string
		JSONType   string `json:"same_as_password"`
	}
	var vectors struct {
		Vectors []vector
		Types   []vector `json:"json_types"`
	}
	if err := json.Unmarshal(file, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Vectors) == 0 || len(vectors.Types) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range slices.Concat(vectors.Vectors, vectors.Types) {
		text, word := password.Pgnet(v.Salt, v.Hash), v.Password+v.JSONType
		roundTrip(t, v.Salt, v.Hash)
		for _, guess := range []string{word, word + " ", "\x00" + word} {
			if fits, old, err := cheap.Check(text, guess); fits != (guess == word) || !old || err != nil {
				t.Errorf("Check(%s, %.20q): fits %t, old %t, error %v", text, guess, fits, old, err)
			}
		}
	}
	// What fits is the text, not the bytes that it stands for.
	v := vectors.Vectors[1]
	if fits, _, err := cheap.Check(password.Pgnet(v.Salt, strings.ToUpper(v.Hash)), v.Password); fits || err != nil {
		t.Errorf("Check of a hash in upper case: fits %t, error %v", fits, err)
	}
}

// TestPgnet has salts and hashes that pgnet does not make, but its save file may have.
func TestPgnet(t *testing.T) {
	t.Parallel()
	if got, want := password.Pgnet("any text, not only hex", "00ff"), "$pgnet$any+text%2C+not+only+hex$00ff"; got != want {
		t.Errorf("the text is %s, want %s", got, want)
	}
	for _, salt := range []string{"", "$", "a$b$", "%41", "+ +", "日本\x00\xff\"'\\", strings.Repeat("😀", 10_000)} {
		for _, hash := range []string{"", "00ff", "$", "no hex\n"} {
			roundTrip(t, salt, hash)
			if fits, old, err := cheap.Check(password.Pgnet(salt, hash), ""); fits || !old || err != nil {
				t.Errorf("Check of salt %.20q, hash %q: fits %t, old %t, error %v", salt, hash, fits, old, err)
			}
		}
	}
	for _, text := range []string{cheap.Hash(""), password.Cost{}.Dummy(), "", "$pgnet$", "$pgnet$a", "pgnet$a$b", "$pgnet$a$b$c", "$pgnet$%41$b"} {
		if salt, hash, ok := password.AsPgnet(text); ok || salt != "" || hash != "" {
			t.Errorf("AsPgnet(%s): %q, %q, %t, want none", text, salt, hash, ok)
		}
	}
}

func roundTrip(t *testing.T, salt, hash string) {
	t.Helper()
	text := password.Pgnet(salt, hash)
	if gotSalt, gotHash, ok := password.AsPgnet(text); !ok || gotSalt != salt || gotHash != hash {
		t.Errorf("AsPgnet(%.80s): %.20q, %.20q, %t, want %.20q, %.20q", text, gotSalt, gotHash, ok, salt, hash)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		t.Errorf("the text has more in it than printable ASCII: %.80q", text)
	}
}

// TestSameTime compares how long it takes to find out that a password does not fit: of unknown names, of those with a
// hash of today, of imported ones, and of those with a cheaper one. The quickest of several tries is taken, as others
// use the machine too.
func TestSameTime(t *testing.T) {
	if fits, old, err := (password.Cost{}).Check(password.Cost{}.Dummy(), ""); fits || old || err != nil {
		t.Errorf("Check of the dummy: fits %t, old %t, error %v", fits, old, err)
	}
	quickest := func(text string) time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			if fits, _, err := (password.Cost{}).Check(text, "wrong"); fits || err != nil {
				t.Fatalf("Check(%s): fits %t, error %v", text, fits, err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	for name, text := range map[string]string{
		"today":   password.Hash("right"),
		"pgnet":   password.Pgnet("salt", strings.Repeat("0", 64)),
		"cheaper": password.Cost{Memory: 8192, Passes: 1}.Hash("right"),
	} {
		var unknown, known time.Duration
		for range 10 {
			unknown, known = quickest(password.Cost{}.Dummy()), quickest(text)
			if unknown < 2*known && known < 2*unknown {
				known = unknown
				break
			}
		}
		if known != unknown {
			t.Errorf("a wrong password of an unknown name takes %v, with a hash of kind %s %v", unknown, name, known)
		}
	}
}

// TestMemory has hashes made in the memory of those before. With the race detector sync.Pool forgets some on purpose.
func TestMemory(t *testing.T) {
	text := password.Hash("right")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		check(t, text, "wrong", false, false)
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 20*19*3/4 {
		t.Errorf("20 hashes have allocated %d MiB", took)
	}
	check(t, password.Cost{Memory: 20_001, Passes: 1}.Hash("large"), "large", true, true)
}

// python has libsodium check hashes, and make some.
const python = `
import json, sys
from nacl import exceptions, pwhash
def fits(text, password):
    try:
        return pwhash.verify(text.encode(), password.encode())
    except exceptions.InvalidkeyError:
        return False
todo = json.load(sys.stdin)
json.dump({
    "Fits": [[fits(t, p) for p in todo["Passwords"]] for t in todo["Texts"]],
    "Texts": [pwhash.argon2id.str(p.encode(), 2, 19456 * 1024).decode() for p in todo["Passwords"]],
}, sys.stdout)
`

// TestPython exchanges hashes with PyNaCl.
func TestPython(t *testing.T) {
	t.Parallel()
	words := []string{"", "a", "pässwörd 日本"}
	var texts []string
	for _, word := range words {
		texts = append(texts, password.Hash(word))
	}
	input, _ := json.Marshal(map[string][]string{"Passwords": words, "Texts": texts})
	cmd := exec.Command(pypeer.Find(t), "-B", "-c", python)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var peer struct {
		Fits  [][]bool
		Texts []string
	}
	if err := json.Unmarshal(out, &peer); err != nil || len(peer.Fits) != len(words) || len(peer.Texts) != len(words) {
		t.Fatalf("%s: %v", out, err)
	}
	for i, text := range texts {
		for j, word := range words {
			if peer.Fits[i][j] != (i == j) {
				t.Errorf("libsodium says of %s and %q: %t", text, word, peer.Fits[i][j])
			}
			check(t, peer.Texts[i], word, i == j, false)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range libsodium {
		f.Add(v.text)
	}
	f.Add(password.Pgnet("a salt$", "00ff"))
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$" + encoded(64) + "$" + encoded(64))
	f.Fuzz(func(t *testing.T, text string) {
		if salt, hash, ok := password.AsPgnet(text); ok && password.Pgnet(salt, hash) != text {
			t.Errorf("%q is %q and %q", text, salt, hash)
		}
		again, memory, passes, err := password.Parse(text)
		switch {
		case err != nil && !errors.Is(err, password.ErrMalformed):
			t.Errorf("error %v", err)
		case err != nil:
			return
		case again != text:
			t.Errorf("%q is written %q", text, again)
		case memory > 64*1024 || uint64(memory)*uint64(passes) > 256*1024:
			t.Errorf("%q costs %d KiB in %d passes", text, memory, passes)
		case memory <= 128:
			if _, _, err := cheap.Check(text, ""); err != nil {
				t.Errorf("Check of what can be read: %v", err)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := password.Hash("right")
	b.ReportAllocs()
	for b.Loop() {
		if fits, _, err := (password.Cost{}).Check(text, "right"); !fits || err != nil {
			b.Fatal(fits, err)
		}
	}
}
