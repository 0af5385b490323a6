package box_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"parlor/box"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vectors are boxes that the pgnet release made with fixed keys.
type vectors struct {
	Keys      map[string]struct{ Private, Public string }
	SharedKey string `json:"shared_key"`
	Vectors   []struct{ Nonce, Plaintext, Frame string }
	Refused   []struct{ Why, Frame string }
	Leniently []struct{ Why, Frame string } `json:"accepted_leniently"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile("../testdata/pgnet/box.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil || len(v.Vectors) == 0 || len(v.Refused) == 0 {
		t.Fatalf("box.json: %v", err)
	}
	return v
}

// pair makes both ends of the vectors' tunnel.
func pair(t testing.TB, v vectors) (a, b *box.Tunnel) {
	t.Helper()
	one, err := box.ParseKey(v.Keys["a"].Private)
	if err != nil {
		t.Fatal(err)
	}
	two, err := box.ParseKey(v.Keys["b"].Private)
	if err != nil {
		t.Fatal(err)
	}
	if one.Public() != v.Keys["a"].Public || two.Public() != v.Keys["b"].Public {
		t.Errorf("public keys %s and %s, want %s and %s", one.Public(), two.Public(), v.Keys["a"].Public, v.Keys["b"].Public)
	}
	a, err = one.Tunnel(two.Public())
	if err != nil {
		t.Fatal(err)
	}
	b, err = two.Tunnel(one.Public())
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	a, b := pair(t, v)
	for _, tunnel := range []*box.Tunnel{a, b} {
		shared := tunnel.Shared()
		if got := base64.StdEncoding.EncodeToString(shared[:]); got != v.SharedKey {
			t.Errorf("shared key %s, want %s", got, v.SharedKey)
		}
	}
	for _, vector := range v.Vectors {
		raw, err := base64.StdEncoding.DecodeString(vector.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		nonce := [box.NonceSize]byte(raw)
		if got := string(a.Append([]byte("head "), []byte(vector.Plaintext), &nonce)); got != "head "+vector.Frame {
			t.Errorf("Append of %d bytes after a head = %s, want %s", len(vector.Plaintext), got, vector.Frame)
		}
		if got := box.SealedLen(len(vector.Plaintext)); got != len(vector.Frame) {
			t.Errorf("SealedLen(%d) = %d, want %d", len(vector.Plaintext), got, len(vector.Frame))
		}
		got, gotNonce, err := b.Open([]byte("head "), []byte(vector.Frame))
		if err != nil || string(got) != "head "+vector.Plaintext || gotNonce != nonce {
			t.Errorf("Open(%s) = %q, nonce %x, error %v", vector.Frame, got, gotNonce, err)
		}
	}
}

func TestRefused(t *testing.T) {
	v := readVectors(t)
	a, _ := pair(t, v)
	frames := v.Refused
	frames = append(frames, v.Leniently...) // a strict reader loses nothing (section 4)
	frames = append(frames, struct{ Why, Frame string }{"empty", ""}, struct{ Why, Frame string }{
		"in the URL-safe alphabet", strings.NewReplacer("+", "-", "/", "_").Replace(v.Vectors[2].Frame)})
	for _, f := range frames {
		message, _, err := a.Open([]byte("head"), []byte(f.Frame))
		if !errors.Is(err, box.ErrForged) && !errors.Is(err, box.ErrNotBase64) {
			t.Errorf("%s: error %v, want ErrForged or ErrNotBase64", f.Why, err)
		}
		if string(message) != "head" {
			t.Errorf("%s: Open returned %q", f.Why, message)
		}
	}
}

// TestEveryBit changes a frame in every place.
func TestEveryBit(t *testing.T) {
	a, b := pair(t, readVectors(t))
	nonce := box.Nonce()
	frame := a.Append(nil, []byte("hello"), &nonce)
	for i := range frame {
		for bit := range 8 {
			changed := []byte(string(frame))
			changed[i] ^= 1 << bit
			if message, _, err := b.Open(nil, changed); err == nil {
				t.Fatalf("opened with bit %d of byte %d changed: %q", bit, i, message)
			}
		}
	}
	if _, _, err := b.Open(nil, frame); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestBadPublicKeys(t *testing.T) {
	k, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	encode := func(b ...byte) string {
		return base64.StdEncoding.EncodeToString(append(b, make([]byte, 32-len(b))...))
	}
	for why, public := range map[string]string{
		"empty":           "",
		"not base64":      "!!!",
		"31 bytes":        base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"33 bytes":        base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"all zero":        encode(),
		"of low order, 1": encode(1),
		"of order 8":      "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
	} {
		if _, err := k.Tunnel(public); !errors.Is(err, box.ErrBadKey) {
			t.Errorf("%s: error %v, want ErrBadKey", why, err)
		}
	}
	if _, err := box.ParseKey("secret"); !errors.Is(err, box.ErrBadKey) || strings.Contains(err.Error(), "secret") {
		t.Errorf("ParseKey: error %v, want ErrBadKey without the text", err)
	}
}

func TestNonceIsRandom(t *testing.T) {
	seen := make(map[[box.NonceSize]byte]bool)
	for range 1000 {
		seen[box.Nonce()] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 nonces, %d different", len(seen))
	}
}

// TestAllocs: sealing and opening into space that is there takes no more.
func TestAllocs(t *testing.T) {
	a, b := pair(t, readVectors(t))
	message, nonce := make([]byte, 1000), box.Nonce()
	space, opened := make([]byte, 0, box.SealedLen(1000)), make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { space = a.Append(space[:0], message, &nonce) }); n != 0 {
		t.Errorf("Append takes %v allocations", n)
	}
	frame, scratch := a.Append(nil, message, &nonce), make([]byte, len(space))
	if n := testing.AllocsPerRun(100, func() {
		copy(scratch, frame)
		if _, _, err := b.Open(opened, scratch); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Open takes %v allocations", n)
	}
}

// FuzzOpen: no frame makes Open panic, and what it opens seals to the same frame.
func FuzzOpen(f *testing.F) {
	v := readVectors(f)
	a, b := pair(f, v)
	for _, vector := range v.Vectors {
		f.Add([]byte(vector.Frame))
	}
	for _, bad := range append(v.Refused, v.Leniently...) {
		f.Add([]byte(bad.Frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		message, nonce, err := a.Open(nil, []byte(string(frame)))
		if err != nil {
			if len(message) != 0 {
				t.Errorf("Open returned %q and %v", message, err)
			}
			return
		}
		if again := b.Append(nil, message, &nonce); string(again) != string(frame) {
			t.Errorf("%q opens to %q, which seals to %q", frame, message, again)
		}
	})
}

// FuzzParseKey: a private key that is taken makes tunnels, and its public key is one. As a public key the text
// is looked at in the same way.
func FuzzParseKey(f *testing.F) {
	f.Add("vlM7knecHTxTvRjqezHRBealkqP99AWmkFH9GvupUCc=")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add("not a key")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := box.ParseKey(text)
		if checked := box.CheckPublic(text); (err == nil) != (checked == nil) {
			t.Errorf("private: %v, public: %v", err, checked)
		}
		if err != nil {
			if !errors.Is(err, box.ErrBadKey) {
				t.Errorf("error %v", err)
			}
			return
		}
		if err := box.CheckPublic(k.Public()); err != nil {
			t.Errorf("public key %q: %v", k.Public(), err)
		}
		if _, err := k.Tunnel(k.Public()); err != nil {
			t.Errorf("tunnel: %v", err)
		}
	})
}
