package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// The log (https://sqlite.org/fileformat2.html#walformat) has a header and frames, each with a page and a checksum of
// all that is before it. SQLite takes the frames up to the first that is not right for the end of what was written, which
// is so when the machine lost its power in the midst of a commit. But each commit is on the disk before the next one is written: so if
// two more are behind that frame, what is between was answered, and is damaged.

var errLog = errors.New("its log is damaged")

// logInfo is what a log has.
type logInfo struct {
	pages  int64              // of the database with it; 0 if there is no commit in it
	behind map[int64]struct{} // those pages that are not in the database's file
}

const (
	logHeader   = 32
	frameHeader = 24
	logMagic    = 0x377f0682 // the last bit tells the order of bytes in checksums
)

// sum is the checksum of a log.
type sum [2]uint32

func (c *sum) add(order binary.ByteOrder, b []byte) {
	s1, s2 := c[0], c[1]
	for ; len(b) >= 8; b = b[8:] {
		s1 += order.Uint32(b) + s2
		s2 += order.Uint32(b[4:]) + s1
	}
	c[0], c[1] = s1, s2
}

func storedSum(b []byte) sum {
	return sum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// readLog reads the log of a database whose file has some pages.
func readLog(path string, inFile int64) (logInfo, error) {
	var info logInfo
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return info, nil
	}
	if err != nil {
		return info, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	h := make([]byte, logHeader)
	if _, err := io.ReadFull(r, h); err != nil {
		return info, ended(err)
	}
	if allZero(h) {
		return info, nil // the power went before any of it was on the disk
	}
	var chain sum
	var order binary.ByteOrder = binary.LittleEndian
	magic := binary.BigEndian.Uint32(h)
	if magic == logMagic|1 {
		order = binary.BigEndian
	}
	chain.add(order, h[:24])
	if magic&^1 != logMagic || chain != storedSum(h[24:]) || binary.BigEndian.Uint32(h[8:]) != pageSize {
		return info, fmt.Errorf("%w: in its header", errLog)
	}
	salt := [8]byte(h[16:24])

	frame := make([]byte, frameHeader+pageSize)
	pending := make(map[int64]struct{}) // pages that have no commit yet
	info.behind = make(map[int64]struct{})
	// The first frame that is not right; the sum behind it if only its stored one is wrong; if it ends a commit; commits from there on.
	bad, badSum, badEnds, commits := int64(0), sum{}, false, 0
	for n := int64(1); ; n++ {
		if _, err := io.ReadFull(r, frame); err != nil {
			return info, ended(err)
		}
		size := binary.BigEndian.Uint32(frame[4:])
		next := func(from sum) sum {
			from.add(order, frame[:8])
			from.add(order, frame[frameHeader:])
			return from
		}
		stored := storedSum(frame[16:])
		right := [8]byte(frame[8:16]) == salt && (next(chain) == stored || bad != 0 && n == bad+1 && next(badSum) == stored)
		switch {
		case bad == 0 && !right:
			bad, badSum, badEnds = n, next(chain), size != 0
		case bad == 0:
			if page := int64(binary.BigEndian.Uint32(frame)); page > inFile {
				pending[page] = struct{}{}
			}
			if size != 0 {
				info.pages = int64(size)
				for page := range pending {
					info.behind[page] = struct{}{}
				}
				clear(pending)
			}
		case right:
			if badEnds {
				commits++
				badEnds = false
			}
			if size != 0 {
				commits++
			}
			if commits >= 2 {
				return info, fmt.Errorf("%w: in its frame %d", errLog, bad)
			}
		}
		chain = stored
	}
}

// ended is nil for the end of the log.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
