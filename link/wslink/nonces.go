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

// How many logins are remembered; the oldest are dropped first. The accepted ones take 2 MB in the file, and
// some 10 in memory; those that were refused are in memory only, some 3 MB.
const (
	nonceLimit   = 1 << 18
	refusedLimit = 1 << 16
)

// mark stands for a nonce: a frame that is sent twice has the same one to the last bit, so that eight bytes
// of a fold tell as much as all.
type mark uint64

const markSize = 8

func markOf(nonce [box.NonceSize]byte) mark {
	return mark(binary.LittleEndian.Uint64(nonce[:]) ^ binary.LittleEndian.Uint64(nonce[8:]) ^ binary.LittleEndian.Uint64(nonce[16:]))
}

// Nonces remembers the nonces of login frames for as long as the server's key is in use: a recorded session
// cannot be sent again, as it would have to begin with its login (defect 42). Its methods may be called
// concurrently.
//
// A nonce is taken before its login is looked at, and kept once it is accepted, before that is answered, or
// else dropped. What was kept is in a file and outlives the process. What was dropped is in memory only, and
// apart: anybody can send logins that are refused, and shall neither push out the accepted ones that way nor
// have the disk written to.
type Nonces struct {
	mu       sync.Mutex        // guards the fields below
	taken    map[mark]struct{} // of logins under way: no more than there are connections
	accepted marks
	refused  marks
	file     *os.File // of the accepted ones; nil in memory only
	count    int      // entries in the file
}

func newNonces() *Nonces {
	return &Nonces{taken: make(map[mark]struct{}), accepted: newMarks(nonceLimit), refused: newMarks(refusedLimit)}
}

// marks are the last so many.
type marks struct {
	limit int
	seen  map[mark]struct{}
	ring  []mark // in the order of coming; next is the oldest once it is full
	next  int
}

func newMarks(limit int) marks { return marks{limit: limit, seen: make(map[mark]struct{})} }

func (s *marks) has(m mark) bool {
	_, found := s.seen[m]
	return found
}

// add adds one that is not there yet.
func (s *marks) add(m mark) {
	s.seen[m] = struct{}{}
	if len(s.ring) < s.limit {
		s.ring = append(s.ring, m)
		return
	}
	delete(s.seen, s.ring[s.next])
	s.ring[s.next] = m
	s.next = (s.next + 1) % s.limit
}

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
		n.accepted.add(mark(binary.LittleEndian.Uint64(text)))
	}
	_, err = n.file.Seek(int64(n.count)*markSize, io.SeekStart)
	return err
}

// take takes the nonce of a login, unless it has been seen. Whoever has taken it keeps or drops it.
func (n *Nonces) take(m mark) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, underWay := n.taken[m]
	if underWay || n.accepted.has(m) || n.refused.has(m) {
		return false
	}
	n.taken[m] = struct{}{}
	return true
}

// drop is the end of a login that was not accepted. It does nothing if the nonce was kept.
func (n *Nonces) drop(m mark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, underWay := n.taken[m]; underWay {
		delete(n.taken, m)
		n.refused.add(m)
	}
}

// keep is the end of a login that was accepted. The nonce is in the file, though not synced, before it
// returns: it outlives the process, if not the machine.
func (n *Nonces) keep(m mark) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.taken, m)
	if n.accepted.has(m) {
		return nil
	}
	n.accepted.add(m)
	if n.file == nil {
		return nil
	}
	if _, err := n.file.Write(binary.LittleEndian.AppendUint64(nil, uint64(m))); err != nil {
		// Whatever of it was written, the next one goes to its place.
		_, seekErr := n.file.Seek(int64(n.count)*markSize, io.SeekStart)
		return errors.Join(err, seekErr)
	}
	n.count++
	if n.count >= 2*nonceLimit {
		return n.rewrite()
	}
	return nil
}

// rewrite shortens the file to what is remembered. A crash in between loses nothing: the newest are
// written over the front before the rest, which has them too, is cut off.
func (n *Nonces) rewrite() error {
	b := make([]byte, 0, nonceLimit*markSize)
	kept := &n.accepted
	for i := range kept.ring {
		b = binary.LittleEndian.AppendUint64(b, uint64(kept.ring[(kept.next+i)%len(kept.ring)]))
	}
	if _, err := n.file.WriteAt(b, 0); err != nil {
		return err
	}
	n.count = len(kept.ring)
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
func (w *window) add(m mark) bool {
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
