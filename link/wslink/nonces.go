package wslink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"parlor/box"
)

// nonceLimit is how many logins are remembered; the oldest are dropped first. They take 2 MB in the file, and
// some 10 in memory.
const nonceLimit = 1 << 18

// mark stands for a nonce: a frame that is sent twice has the same one to the last bit, so that eight bytes
// of a fold tell as much as all.
type mark uint64

const markSize = 8

func markOf(nonce [box.NonceSize]byte) mark {
	return mark(binary.LittleEndian.Uint64(nonce[:]) ^ binary.LittleEndian.Uint64(nonce[8:]) ^ binary.LittleEndian.Uint64(nonce[16:]))
}

// Nonces remembers the nonces of login frames, accepted or not, for as long as the server's key is in use: a
// recorded session cannot be sent again, as it would have to begin with its login (defect 42). Its methods
// may be called concurrently.
type Nonces struct {
	mu    sync.Mutex // guards the fields below
	seen  map[mark]struct{}
	ring  []mark // in the order of coming; next is the oldest once it is full
	next  int
	file  *os.File // nil in memory only
	count int      // entries in the file
}

func newNonces() *Nonces { return &Nonces{seen: make(map[mark]struct{})} }

// OpenNonces remembers in a file, which belongs beside the key's; it is made if missing, mode 0600. The
// caller closes it.
func OpenNonces(path string) (*Nonces, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open file of logins: %w", err)
	}
	n := newNonces()
	n.file = f
	if err := n.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read file of logins %s: %w", path, err), f.Close())
	}
	return n, nil
}

// load reads the end of the file: whole nonces, the newest last. A torn one, of a crash, is overwritten. What
// stands before the last nonceLimit is old, or twice there after a crash in rewrite.
func (n *Nonces) load() error {
	info, err := n.file.Stat()
	if err != nil {
		return err
	}
	n.count = int(info.Size() / markSize)
	last := min(n.count, nonceLimit)
	b := make([]byte, last*markSize)
	if _, err := n.file.ReadAt(b, int64(n.count-last)*markSize); err != nil && last > 0 {
		return err
	}
	for text := range slices.Chunk(b, markSize) {
		n.remember(mark(binary.LittleEndian.Uint64(text)))
	}
	_, err = n.file.Seek(int64(n.count)*markSize, io.SeekStart)
	return err
}

// Add remembers a nonce. It returns false if it was there already. The nonce is in the file, though not
// synced, before it returns: it outlives the process, if not the machine.
func (n *Nonces) Add(nonce [box.NonceSize]byte) (added bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := markOf(nonce)
	if _, found := n.seen[m]; found {
		return false, nil
	}
	n.remember(m)
	if n.file == nil {
		return true, nil
	}
	if _, err = n.file.Write(binary.LittleEndian.AppendUint64(nil, uint64(m))); err != nil {
		// Whatever of it was written, the next one goes to its place.
		_, seekErr := n.file.Seek(int64(n.count)*markSize, io.SeekStart)
		return true, errors.Join(err, seekErr)
	}
	n.count++
	if n.count >= 2*nonceLimit {
		err = n.rewrite()
	}
	return true, err
}

func (n *Nonces) remember(m mark) {
	n.seen[m] = struct{}{}
	if len(n.ring) < nonceLimit {
		n.ring = append(n.ring, m)
		return
	}
	delete(n.seen, n.ring[n.next])
	n.ring[n.next] = m
	n.next = (n.next + 1) % nonceLimit
}

// rewrite shortens the file to what is remembered. A crash in between loses nothing: the newest are
// written over the front before the rest, which has them too, is cut off.
func (n *Nonces) rewrite() error {
	b := make([]byte, 0, nonceLimit*markSize)
	for i := range n.ring {
		b = binary.LittleEndian.AppendUint64(b, uint64(n.ring[(n.next+i)%len(n.ring)]))
	}
	if _, err := n.file.WriteAt(b, 0); err != nil {
		return err
	}
	n.count = len(n.ring)
	size := int64(len(b))
	_, err := n.file.Seek(size, io.SeekStart)
	return errors.Join(err, n.file.Truncate(size))
}

// Close closes the file.
func (n *Nonces) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.file == nil {
		return nil
	}
	err := errors.Join(n.file.Sync(), n.file.Close())
	n.file = nil
	return err
}

// window remembers the last nonces within one connection.
type window struct {
	last []mark
	next int
}

const windowSize = 256

// add remembers a nonce; false means that it was among the last 256.
func (w *window) add(nonce [box.NonceSize]byte) bool {
	m := markOf(nonce)
	if slices.Contains(w.last, m) {
		return false
	}
	if len(w.last) < windowSize {
		w.last = append(w.last, m)
		return true
	}
	w.last[w.next] = m
	w.next = (w.next + 1) % windowSize
	return true
}
