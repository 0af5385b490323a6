package box_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/flynn/noise"

	"parlor/box"
)

// channels makes both ends of a channel.
func channels(t testing.TB, client, server *box.Key) (ours, theirs *box.Channel) {
	t.Helper()
	begun, hello, err := client.Initiate(server.Public())
	if err != nil {
		t.Fatal(err)
	}
	theirs, answer, err := server.Respond(client.Public(), hello)
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = begun.Complete(answer); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

func seal(t testing.TB, c *box.Channel, text string) []byte {
	t.Helper()
	b, err := c.Seal(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChannel(t *testing.T) {
	ours, theirs := channels(t, newKey(t), newKey(t))
	for _, text := range []string{"", "hello", string(make([]byte, 1<<20))} {
		for _, way := range [][2]*box.Channel{{ours, theirs}, {theirs, ours}} {
			sealed := seal(t, way[0], text)
			if len(sealed) != len(text)+box.ChannelOverhead {
				t.Errorf("%d bytes are sealed in %d", len(text), len(sealed))
			}
			got, err := way[1].Open([]byte("before"), sealed)
			if err != nil || string(got) != "before"+text {
				t.Errorf("opened %.10q, %v", got, err)
			}
		}
	}
}

// TestChannelOrder: what is repeated, moved, left out, changed or reflected is refused.
func TestChannelOrder(t *testing.T) {
	ours, theirs := channels(t, newKey(t), newKey(t))
	first, second, third := seal(t, ours, "1"), seal(t, ours, "2"), seal(t, ours, "3")
	open := func(c *box.Channel, sealed []byte, want string) {
		t.Helper()
		got, err := c.Open(nil, sealed)
		if want == "" && !errors.Is(err, box.ErrNotOpened) || want != "" && (err != nil || string(got) != want) {
			t.Errorf("opened %q, %v, want %q", got, err, want)
		}
	}
	open(theirs, second, "")
	open(theirs, first, "1")
	open(theirs, first, "")
	open(theirs, third, "")
	open(theirs, slices.Concat(second, []byte{0}), "")
	open(theirs, second[:len(second)-1], "")
	open(theirs, nil, "")
	changed := bytes.Clone(second)
	changed[0] ^= 1
	open(theirs, changed, "")
	open(theirs, second, "2")
	open(ours, third, "") // its own
	open(theirs, third, "3")
}

// TestChannelKeys: each side must have the keys that it says, and sessions of the same keys cannot read each other.
func TestChannelKeys(t *testing.T) {
	client, server, other := newKey(t), newKey(t), newKey(t)
	begun, hello, err := client.Initiate(server.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.Respond(other.Public(), hello); !errors.Is(err, box.ErrNoChannel) {
		t.Errorf("under another's name: %v", err)
	}
	if _, _, err := other.Respond(client.Public(), hello); !errors.Is(err, box.ErrNoChannel) {
		t.Errorf("by another server: %v", err)
	}
	for _, bad := range [][]byte{nil, hello[:len(hello)-1], append(bytes.Clone(hello), 0), make([]byte, len(hello))} {
		if _, _, err := server.Respond(client.Public(), bad); !errors.Is(err, box.ErrNoChannel) {
			t.Errorf("of %d bytes: %v", len(bad), err)
		}
	}
	_, answer, err := server.Respond(client.Public(), hello)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(answer, hello[:32]) {
		t.Error("the answer repeats the question")
	}
	if _, err := begun.Complete(answer[1:]); !errors.Is(err, box.ErrNoChannel) {
		t.Errorf("a short answer: %v", err)
	}
	one, _ := channels(t, client, server)
	_, two := channels(t, client, server)
	if _, err := two.Open(nil, seal(t, one, "x")); !errors.Is(err, box.ErrNotOpened) {
		t.Errorf("of another session: %v", err)
	}
	low := base64.StdEncoding.EncodeToString(make([]byte, 32))
	if _, _, err := client.Initiate(low); !errors.Is(err, box.ErrBadKey) {
		t.Errorf("with a key of low order: %v", err)
	}
	if _, _, err := client.Initiate("AAAA"); !errors.Is(err, box.ErrBadKey) {
		t.Errorf("with no key: %v", err)
	}
}

func BenchmarkChannel(b *testing.B) {
	ours, theirs := channels(b, newKey(b), newKey(b))
	text := make([]byte, 200)
	var sealed, opened []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if sealed, err = ours.Seal(sealed[:0], text); err != nil {
			b.Fatal(err)
		}
		if opened, err = theirs.Open(opened[:0], sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func newKey(t testing.TB) *box.Key {
	t.Helper()
	k, err := box.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestChannelWithNoise: the other side is made by the library alone, from the description of the protocol.
func TestChannelWithNoise(t *testing.T) {
	suite := noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256)
	pair, err := suite.GenerateKeypair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirPublic := base64.StdEncoding.EncodeToString(pair.Public)
	for name, initiator := range map[string]bool{"they begin": true, "we begin": false} {
		t.Run(name, func(t *testing.T) {
			ours := newKey(t)
			public, err := base64.StdEncoding.DecodeString(ours.Public())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := noise.NewHandshakeState(noise.Config{
				CipherSuite: suite, Random: rand.Reader, Pattern: noise.HandshakeKK, Initiator: initiator,
				Prologue: []byte("parlor native 1"), StaticKeypair: pair, PeerStatic: public,
			})
			if err != nil {
				t.Fatal(err)
			}
			var channel *box.Channel
			var send, receive *noise.CipherState
			if initiator {
				first, _, _, err := theirs.WriteMessage(nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				var answer []byte
				if channel, answer, err = ours.Respond(theirPublic, first); err != nil {
					t.Fatal(err)
				}
				if _, send, receive, err = theirs.ReadMessage(nil, answer); err != nil {
					t.Fatal(err)
				}
			} else {
				initiation, first, err := ours.Initiate(theirPublic)
				if err != nil {
					t.Fatal(err)
				}
				if _, _, _, err := theirs.ReadMessage(nil, first); err != nil {
					t.Fatal(err)
				}
				var answer []byte
				if answer, receive, send, err = theirs.WriteMessage(nil, nil); err != nil {
					t.Fatal(err)
				}
				if channel, err = initiation.Complete(answer); err != nil {
					t.Fatal(err)
				}
			}
			sealed, err := send.Encrypt(nil, nil, []byte("to us"))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := channel.Open(nil, sealed); err != nil || string(text) != "to us" {
				t.Errorf("opened %q, error %v", text, err)
			}
			if text, err := receive.Decrypt(nil, nil, seal(t, channel, "to them")); err != nil || string(text) != "to them" {
				t.Errorf("they opened %q, error %v", text, err)
			}
		})
	}
}

// BenchmarkHandshake is both sides' half.
func BenchmarkHandshake(b *testing.B) {
	client, server := newKey(b), newKey(b)
	for b.Loop() {
		channels(b, client, server)
	}
}
