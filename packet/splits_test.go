package packet_test

import (
	"bytes"
	"fmt"
	"testing"
)

// TestSplits replays every capture with its bytes in other portions: a write is a read of our end, as the network in
// memory has no buffer. 0.2.0 hung on some of them (D1).
func TestSplits(t *testing.T) {
	splits := []struct {
		name  string
		split delivery
	}{
		{"joined", func(frames [][]byte) [][]byte { return [][]byte{bytes.Join(frames, nil)} }},
		{"byte by byte", byteByByte},
	}
	for k := 1; k <= 8; k++ {
		splits = append(splits, struct {
			name  string
			split delivery
		}{fmt.Sprintf("each after %d", k), func(frames [][]byte) [][]byte { return cutEach(frames, k) }})
	}
	for k := 1; k <= 4; k++ { // within the prefix, and right behind it
		splits = append(splits, struct {
			name  string
			split delivery
		}{fmt.Sprintf("next to %d", k), func(frames [][]byte) [][]byte { return cutNext(frames, k) }})
	}
	names := captureNames(t)
	for _, s := range splits {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range names {
				t.Run(name, func(t *testing.T) { replay(t, name, memory, s.split) })
			}
		})
	}
	t.Run("tcp", func(t *testing.T) { // which may join what was written apart
		t.Parallel()
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				replay(t, name, networks[2], func(frames [][]byte) [][]byte { return cutNext(frames, 2) })
			})
		}
	})
}

// byteByByte cuts frames into bytes, but what is far inside a long one into larger pieces, to save time.
func byteByByte(frames [][]byte) (chunks [][]byte) {
	for _, f := range frames {
		for i := 0; i < len(f); {
			n := 1
			if i > 4000 && len(f)-i > 1000 {
				n = 997
			}
			chunks = append(chunks, f[i:i+n])
			i += n
		}
	}
	return chunks
}

// cutEach cuts every frame in two.
func cutEach(frames [][]byte, k int) (chunks [][]byte) {
	for _, f := range frames {
		k := min(k, len(f)-1)
		chunks = append(chunks, f[:k], f[k:])
	}
	return chunks
}

// cutNext cuts behind the first bytes of every frame, so that each write but the first begins inside one.
func cutNext(frames [][]byte, k int) (chunks [][]byte) {
	var rest []byte
	for _, f := range frames {
		k := min(k, len(f)-1)
		chunks = append(chunks, append(bytes.Clone(rest), f[:k]...))
		rest = f[k:]
	}
	return append(chunks, rest)
}
