package store

import (
	"encoding/binary"
	"slices"
)

// PackTokens are the tokens of a session as a store keeps them in one column: each behind its length, as a uvarint.
func PackTokens(tokens [][]byte) (b []byte) {
	for _, token := range tokens {
		b = append(binary.AppendUvarint(b, uint64(len(token))), token...)
	}
	return b
}

// UnpackTokens are copies of what PackTokens was called with; ok is false if the bytes are not of it.
func UnpackTokens(b []byte) (tokens [][]byte, ok bool) {
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, false
		}
		b = b[size:]
		tokens = append(tokens, slices.Clone(b[:n]))
		b = b[n:]
	}
	return tokens, true
}
