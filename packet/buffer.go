package packet

import "sync"

// buffer is scratch space for a frame under way. Large ones are left to the collector.
type buffer struct{ b []byte }

const keptBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 512)} }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if cap(b.b) <= keptBuffer {
		b.b = b.b[:0]
		buffers.Put(b)
	}
}

// chunk is what one read from a socket may bring. A connection holds one only while it works on it.
type chunk [32 << 10]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}
