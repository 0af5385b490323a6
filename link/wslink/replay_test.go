//go:build !js

package wslink_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gobwas/ws"

	"parlor/box"
	"parlor/link/wslink"
)

// TestReplay: a recorded session is refused, also by the next server with the same key (defect 42).
func TestReplay(t *testing.T) {
	t.Parallel()
	path, key := filepath.Join(t.TempDir(), "nonces"), newKey(t)
	open := func() *wire {
		nonces, err := wslink.OpenNonces(path)
		if err != nil {
			t.Fatal(err)
		}
		w := start(t, wslink.Config{Key: key, Nonces: nonces})
		t.Cleanup(func() { nonces.Close() })
		return w
	}
	first := open()
	alice := first.login(t, "alice")
	alice.works()
	replay := func(w *wire) {
		t.Helper()
		thief := w.upgrade(t)
		thief.message(ws.OpText, alice.sent[0])
		thief.expectClear(w)
		thief.message(ws.OpText, alice.sent[1])
		thief.expectClose(1000, "")
		if w.Stats().Replayed.Load() != 1 {
			t.Errorf("%d counted", w.Stats().Replayed.Load())
		}
	}
	replay(first)
	alice.message(ws.OpText, alice.sent[2]) // within the session
	alice.expectClose(1000, "")
	first.Close()
	second := open()
	replay(second)
	second.login(t, "alice").works()
}

// TestReplayOfRefusedLogin: a login that was refused, as its name was still held, is no good later either.
func TestReplayOfRefusedLogin(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	refused := w.connect(t)
	refused.send(loginText(""))
	refused.answer()
	refused.expectClose(1000, "")
	thief := w.upgrade(t)
	thief.message(ws.OpText, refused.sent[0])
	thief.expectClear(w)
	thief.message(ws.OpText, refused.sent[1])
	thief.expectClose(1000, "")
	if n := w.Stats().Replayed.Load(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestFileOfLogins: an accepted login is in the file before it is answered, and a refused one never.
func TestFileOfLogins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nonces")
	w := start(t, wslink.Config{Nonces: openNonces(t, path)})
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for range 3 {
		p := w.connect(t)
		p.send(loginText(""))
		p.answer()
		p.expectClose(1000, "")
	}
	if n := size(); n != 0 {
		t.Errorf("%d bytes in the file after logins that were refused", n)
	}
	w.login(t, "alice")
	if n := size(); n != markSize {
		t.Errorf("%d bytes in the file after a login, want %d", n, markSize)
	}
}

// TestRefusedNonces: what is refused pushes out what was refused before, but no accepted login, and none that
// is under way.
func TestRefusedNonces(t *testing.T) {
	t.Parallel()
	const limit = 1 << 16
	path := filepath.Join(t.TempDir(), "nonces")
	n := openNonces(t, path)
	add(t, n, 0, 10)
	underWay := nonce(10)
	if !n.Take(underWay) {
		t.Fatal("it is there already")
	}
	const first = 100
	for i := first; i < first+2*limit; i++ {
		if !n.Take(nonce(i)) {
			t.Fatalf("nonce %d is there already", i)
		}
		n.Drop(nonce(i))
	}
	for i := range 11 {
		if n.Take(nonce(i)) {
			t.Errorf("nonce %d is forgotten", i)
		}
	}
	for i := first; i < first+2*limit; i++ {
		if got, want := n.Has(nonce(i)), i >= first+limit; got != want {
			t.Fatalf("refused nonce %d is remembered: %v, want %v", i-first, got, want)
		}
	}
	if err := n.Keep(underWay); err != nil {
		t.Fatal(err)
	}
	n.Drop(underWay) // at the end of its connection
	if info, err := os.Stat(path); err != nil || info.Size() != 11*markSize {
		t.Errorf("file %v, %v, want the accepted logins only", info, err)
	}
	n.Close()
	if n := openNonces(t, path); !n.Has(nonce(0)) || !n.Has(underWay) || n.Has(nonce(first+2*limit-1)) {
		t.Error("not what was accepted")
	}
}

// TestReplayAtOnce: of a login that is sent on many connections at the same moment, one is accepted.
func TestReplayAtOnce(t *testing.T) {
	t.Parallel()
	w := start(t, wslink.Config{})
	p := w.connect(t)
	login, trade := p.seal(loginText("later")), p.sent[0]
	peers := make([]*peer, 20)
	for i := range peers {
		peers[i] = w.upgrade(t)
		peers[i].message(ws.OpText, trade)
		peers[i].expectClear(w)
	}
	for _, p := range peers {
		p.message(ws.OpText, login)
	}
	accepted := 0
	for _, p := range peers {
		if f := p.read(); f.Header.OpCode == ws.OpText {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d were accepted", accepted)
	}
}

// nonce numbers nonces.
func nonce(i int) (n [box.NonceSize]byte) {
	binary.BigEndian.PutUint64(n[:], uint64(i))
	return n
}

func openNonces(t *testing.T, path string) *wslink.Nonces {
	t.Helper()
	n, err := wslink.OpenNonces(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func add(t *testing.T, n *wslink.Nonces, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if added, err := n.Add(nonce(i)); !added || err != nil {
			t.Fatalf("Add(%d) = %v, %v", i, added, err)
		}
	}
}

// markSize is what a nonce takes in the file: the fold of its three words.
const markSize = 8

func markText(nonce [box.NonceSize]byte) []byte {
	var fold uint64
	for word := range slices.Chunk(nonce[:], markSize) {
		fold ^= binary.LittleEndian.Uint64(word)
	}
	return binary.LittleEndian.AppendUint64(nil, fold)
}

func TestNonces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nonces")
	n := openNonces(t, path)
	add(t, n, 0, 10)
	if added, err := n.Add(nonce(3)); added || err != nil {
		t.Errorf("added again: %v, %v", added, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 10*markSize {
		t.Errorf("file %v, error %v", info, err)
	}
	// A crash has torn the last one.
	if err := os.Truncate(path, 10*markSize-1); err != nil {
		t.Fatal(err)
	}
	n = openNonces(t, path)
	if !n.Has(nonce(8)) || n.Has(nonce(9)) || n.Has(nonce(10)) {
		t.Error("not what the file holds")
	}
	add(t, n, 9, 12)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = openNonces(t, path)
	for i := range 12 {
		if !n.Has(nonce(i)) {
			t.Errorf("nonce %d is forgotten", i)
		}
	}
}

// TestNoncesBound: the last 262,144 are remembered, and the file is rewritten at twice as many.
func TestNoncesBound(t *testing.T) {
	t.Parallel()
	const limit = 1 << 18
	path := filepath.Join(t.TempDir(), "nonces")
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size() / markSize
	}
	check := func(n *wslink.Nonces, to int) {
		t.Helper()
		for i := range to {
			if got := n.Has(nonce(i)); got != (i >= to-limit) {
				t.Fatalf("of %d, nonce %d: %v", to, i, got)
			}
		}
	}
	n := openNonces(t, path)
	add(t, n, 0, 2*limit-1)
	check(n, 2*limit-1)
	full, err := os.ReadFile(path)
	if err != nil || size() != 2*limit-1 {
		t.Fatalf("%d in the file, error %v", size(), err)
	}
	add(t, n, 2*limit-1, 2*limit)
	if size() != limit {
		t.Errorf("%d in the file after it was rewritten", size())
	}
	add(t, n, 2*limit, 2*limit+5)
	check(n, 2*limit+5)
	n.Close()
	check(openNonces(t, path), 2*limit+5)

	// A crash in the middle of the rewriting: the new front over the old file, not cut off yet.
	var front []byte
	for i := limit; i < 2*limit; i++ {
		front = append(front, markText(nonce(i))...)
	}
	full = append(full, markText(nonce(2*limit-1))...)
	for _, written := range []int{0, markSize * 1000, len(front)} {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, append(bytes.Clone(front[:written]), full[written:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		n := openNonces(t, torn)
		for i := limit; i < 2*limit; i++ {
			if !n.Has(nonce(i)) {
				t.Fatalf("with %d bytes written, nonce %d is forgotten", written, i)
			}
		}
	}
}

func TestNoncesErrors(t *testing.T) {
	t.Parallel()
	if _, err := wslink.OpenNonces(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := wslink.OpenNonces(filepath.Join(t.TempDir(), "no", "such")); err == nil {
		t.Error("a file in no folder was opened")
	}
}
