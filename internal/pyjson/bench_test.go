package pyjson_test

import (
	"testing"

	"parlor/internal/pyjson"
)

func bench(b *testing.B, size int, f func()) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		f()
	}
}

func BenchmarkCheck(b *testing.B) {
	text := []byte(packet)
	bench(b, len(text), func() { _ = pyjson.Check(text, 64) })
}

func BenchmarkMembers(b *testing.B) {
	text := []byte(packet)
	nop := func(key, value []byte) error { return nil }
	bench(b, len(text), func() { _ = pyjson.Members(text, 64, nop) })
}

func BenchmarkAppendRaw(b *testing.B) {
	text := []byte(packet)
	buf := make([]byte, 0, 1024)
	bench(b, len(text), func() { buf = pyjson.AppendRaw(buf[:0], text) })
}

func BenchmarkAppendRawNumbers(b *testing.B) {
	text := []byte(`[1,2.5,-3.25,1e5,0.1,100,2.50,123456789.123]`)
	buf := make([]byte, 0, 1024)
	bench(b, len(text), func() { buf = pyjson.AppendRaw(buf[:0], text) })
}

func BenchmarkAppendString(b *testing.B) {
	const text = "a longer text, as people write them"
	buf := make([]byte, 0, 1024)
	bench(b, len(text), func() { buf = pyjson.AppendString(buf[:0], text) })
}

func BenchmarkAppendStringEscaped(b *testing.B) {
	const text = "caf\u00e9 \"quoted\"\nand \U0001f600 more"
	buf := make([]byte, 0, 1024)
	bench(b, len(text), func() { buf = pyjson.AppendString(buf[:0], text) })
}

func BenchmarkUnquote(b *testing.B) {
	text := []byte(`"a longer text, as people write them"`)
	bench(b, len(text), func() { pyjson.Unquote(text) })
}

func BenchmarkAppendMap(b *testing.B) {
	v := map[string]any{"from": []int{1, 2}, "to": []int{3, 4}, "note": "a longer text", "n": 1.5}
	buf := make([]byte, 0, 1024)
	bench(b, 0, func() { buf, _ = pyjson.Append(buf[:0], v) })
}

func BenchmarkAppendStruct(b *testing.B) {
	v := &position{X: 1, Y: 2}
	buf := make([]byte, 0, 1024)
	bench(b, 0, func() { buf, _ = pyjson.Append(buf[:0], v) })
}

func BenchmarkBindStruct(b *testing.B) {
	text := []byte(`{"x": 1, "y": 2.5}`)
	var v position
	bench(b, len(text), func() { _ = pyjson.Bind(text, &v) })
}

func BenchmarkBindAny(b *testing.B) {
	text := []byte(packet)
	bench(b, len(text), func() {
		var v any
		_ = pyjson.Bind(text, &v)
	})
}
