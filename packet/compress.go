package packet

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"slices"
	"sync"
)

// compressor keeps what zlib needs between its uses: a writer takes about a megabyte, a reader 40 KiB.
type compressor struct {
	level   int
	writers sync.Pool // of *zlib.Writer
	readers sync.Pool // of io.ReadCloser, a zlib.Resetter
}

func newCompressor(level int) *compressor { return &compressor{level: level} }

// deflate appends the zlib stream of body to b.
func (z *compressor) deflate(b, body []byte) ([]byte, error) {
	out := bytes.NewBuffer(b)
	w, ok := z.writers.Get().(*zlib.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = zlib.NewWriterLevel(out, z.level); err != nil {
			return nil, err
		}
	}
	defer z.writers.Put(w)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// inflate appends what the zlib stream holds to b, which is empty. Bytes after the stream are ignored, as
// peng3dnet does. No more memory is taken than twice what has come out, or the limit, and for large bodies only in
// turn.
func (c *Conn) inflate(b, stream []byte, limit int) ([]byte, error) {
	z := c.end.zip
	in := bytes.NewReader(stream)
	r, ok := z.readers.Get().(io.ReadCloser)
	var err error
	if ok {
		err = r.(zlib.Resetter).Reset(in, nil)
	} else {
		r, err = zlib.NewReader(in)
	}
	if err != nil {
		return b, fmt.Errorf("%w: %v", ErrInvalidFrame, err) // the reader is of no use, if there is one
	}
	defer z.readers.Put(r)
	for {
		if len(b) == cap(b) {
			more := min(max(len(b), 4<<10), limit+1-len(b))
			if err := c.takeTurn(len(b) + more); err != nil {
				return b, err
			}
			b = slices.Grow(b, more)
		}
		n, err := r.Read(b[len(b):min(cap(b), limit+1)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return b, fmt.Errorf("%w: it inflates to more than %d bytes", ErrBodyTooLarge, limit)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, fmt.Errorf("%w: %v", ErrInvalidFrame, err)
		}
	}
}
