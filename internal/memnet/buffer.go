package memnet

// buffer is bytes in a row. The zero buffer is empty, and an empty one that was large holds no memory.
type buffer struct {
	b    []byte
	head int // bytes of b that were taken
}

const smallBuffer = 4 << 10

func (f *buffer) put(b []byte) {
	if f.head > len(f.b)/2 {
		f.b = f.b[:copy(f.b, f.b[f.head:])]
		f.head = 0
	}
	f.b = append(f.b, b...)
}

// take moves bytes from the front, which must be there, to b.
func (f *buffer) take(b []byte) {
	f.head += copy(b, f.b[f.head:])
	if f.head < len(f.b) {
		return
	}
	f.b, f.head = f.b[:0], 0
	if cap(f.b) > smallBuffer {
		f.b = nil
	}
}

// truncate keeps the first n bytes.
func (f *buffer) truncate(n int) { f.b = f.b[:f.head+n] }
