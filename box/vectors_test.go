package box_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"parlor/box"
)

// hexBytes are bytes that a file has in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// nativeVectors are what testdata/parlor/native.json has of keys and seals. The tests of link/wslink make it.
type nativeVectors struct {
	Protocol, Prologue string
	Client, Server     pairs
	N1, N2, Hash       hexBytes
	ClientSends        hexBytes `json:"client_sends"`
	ServerSends        hexBytes `json:"server_sends"`
	Frames             []frame
}

// frame is what one WebSocket message seals.
type frame struct {
	From, Says    string
	Nonce, Sealed hexBytes
	Envelopes     []hexBytes
}

func (f frame) plain() (all []byte) {
	for _, e := range f.Envelopes {
		all = append(all, e...)
	}
	return all
}

// pairs are the two key pairs of a side.
type pairs struct {
	Private, Public  hexBytes
	EphemeralPrivate hexBytes `json:"ephemeral_private"`
	EphemeralPublic  hexBytes `json:"ephemeral_public"`
}

func readNative(t *testing.T) (v nativeVectors) {
	t.Helper()
	text, err := os.ReadFile("../testdata/parlor/native.json")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil || len(v.Frames) < 6 {
		t.Fatalf("%d frames, error %v", len(v.Frames), err)
	}
	return v
}

func private(t *testing.T, raw []byte) *ecdh.PrivateKey {
	t.Helper()
	k, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestNativeVectors: channels make and take the vectors, byte by byte.
func TestNativeVectors(t *testing.T) {
	v := readNative(t)
	parse := func(p pairs) *box.Key {
		k, err := box.ParseKey(base64.StdEncoding.EncodeToString(p.Private))
		if err != nil || k.Public() != base64.StdEncoding.EncodeToString(p.Public) {
			t.Fatalf("the public key is %v, want %x, error %v", k, p.Public, err)
		}
		return k
	}
	client, server := parse(v.Client), parse(v.Server)
	begun, n1, err := client.InitiateWith(server.Public(), private(t, v.Client.EphemeralPrivate))
	if err != nil || !bytes.Equal(n1, v.N1) {
		t.Fatalf("N1 is %x, want %x, error %v", n1, v.N1, err)
	}
	theirs, n2, err := server.RespondWith(client.Public(), n1, private(t, v.Server.EphemeralPrivate))
	if err != nil || !bytes.Equal(n2, v.N2) {
		t.Fatalf("N2 is %x, want %x, error %v", n2, v.N2, err)
	}
	ours, err := begun.Complete(n2)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Frames {
		from, to := ours, theirs
		if f.From == "server" {
			from, to = to, from
		}
		plain := f.plain()
		if sealed := seal(t, from, string(plain)); !bytes.Equal(sealed, f.Sealed) {
			t.Errorf("%s: sealed as %x, want %x", f.Says, sealed, f.Sealed)
		}
		if got, err := to.Open(nil, f.Sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: opened as %x, want %x, error %v", f.Says, got, plain, err)
		}
	}
}

// TestNativeVectorsFromThePage makes the vectors of nothing but what docs/PROTOCOL.md, section 3.2, says, in its order.
func TestNativeVectorsFromThePage(t *testing.T) {
	v := readNative(t)
	agree := func(ours, public []byte) []byte {
		peer, err := ecdh.X25519().NewPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := private(t, ours).ECDH(peer)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	hash := func(parts ...[]byte) []byte {
		sum := sha256.Sum256(slices.Concat(parts...))
		return sum[:]
	}
	derive := func(ck, secret []byte) (_, _ []byte) {
		out, err := hkdf.Key(sha256.New, secret, ck, "", 64)
		if err != nil {
			t.Fatal(err)
		}
		return out[:32], out[32:]
	}
	gcm := func(key []byte) cipher.AEAD {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		return aead
	}

	ck := make([]byte, 32)
	copy(ck, v.Protocol)
	h := hash(ck, []byte(v.Prologue))
	h = hash(h, v.Client.Public)
	h = hash(h, v.Server.Public)
	var k []byte
	message := func(ephemeral []byte, secrets ...[]byte) []byte {
		h = hash(h, ephemeral)
		for _, secret := range secrets {
			ck, k = derive(ck, secret)
		}
		tag := gcm(k).Seal(nil, make([]byte, 12), nil, h)
		h = hash(h, tag)
		return slices.Concat(ephemeral, tag)
	}
	n1 := message(v.Client.EphemeralPublic, agree(v.Client.EphemeralPrivate, v.Server.Public), agree(v.Client.Private, v.Server.Public))
	n2 := message(v.Server.EphemeralPublic, agree(v.Server.EphemeralPrivate, v.Client.EphemeralPublic), agree(v.Server.EphemeralPrivate, v.Client.Public))
	clientSends, serverSends := derive(ck, nil)
	for name, test := range map[string]struct{ got, want []byte }{
		"public key of the client": {private(t, v.Client.Private).PublicKey().Bytes(), v.Client.Public},
		"public key of the server": {private(t, v.Server.Private).PublicKey().Bytes(), v.Server.Public},
		"ephemeral of the client":  {private(t, v.Client.EphemeralPrivate).PublicKey().Bytes(), v.Client.EphemeralPublic},
		"ephemeral of the server":  {private(t, v.Server.EphemeralPrivate).PublicKey().Bytes(), v.Server.EphemeralPublic},
		"N1":                       {n1, v.N1}, "N2": {n2, v.N2}, "hash": {h, v.Hash},
		"key of the client": {clientSends, v.ClientSends}, "key of the server": {serverSends, v.ServerSends},
	} {
		if !bytes.Equal(test.got, test.want) {
			t.Errorf("%s is %x, want %x", name, test.got, test.want)
		}
	}
	keys := map[string][]byte{"client": clientSends, "server": serverSends}
	counts := map[string]byte{}
	for _, f := range v.Frames {
		nonce := make([]byte, 12)
		nonce[11] = counts[f.From]
		counts[f.From]++
		if sealed := gcm(keys[f.From]).Seal(nil, nonce, f.plain(), nil); !bytes.Equal(nonce, f.Nonce) || !bytes.Equal(sealed, f.Sealed) {
			t.Errorf("%s: sealed with nonce %x as %x, want %x and %x", f.Says, nonce, sealed, f.Nonce, f.Sealed)
		}
	}
	if counts["client"] != 3 || counts["server"] != 3 {
		t.Errorf("frames %v", counts)
	}
}
