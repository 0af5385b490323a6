package msgpack_test

import (
	"testing"

	"parlor/msgpack"
)

// move is a small struct such as games send.
type move struct {
	Player string  `msgpack:"player"`
	X      int     `msgpack:"x"`
	Y      int     `msgpack:"y"`
	Angle  float64 `msgpack:"angle"`
	Fire   bool    `msgpack:"fire"`
}

var oneMove = move{Player: "alice", X: 12, Y: -700, Angle: 1.5, Fire: true}

func BenchmarkAppendStruct(b *testing.B) {
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = msgpack.Append(buf[:0], &oneMove)
	}
}

func BenchmarkUnmarshalStruct(b *testing.B) {
	msg := encode(b, oneMove)
	b.ReportAllocs()
	for b.Loop() {
		var m move
		if err := msgpack.Unmarshal(msg, &m, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMap(b *testing.B) {
	v := decode(b, encode(b, oneMove))
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = msgpack.Append(buf[:0], v)
	}
}

func BenchmarkUnmarshalAny(b *testing.B) {
	msg := encode(b, oneMove)
	b.ReportAllocs()
	for b.Loop() {
		var v any
		if err := msgpack.Unmarshal(msg, &v, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOrdered(b *testing.B) {
	msg := encode(b, oneMove)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := msgpack.Ordered(msg, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValid(b *testing.B) {
	msg := encode(b, oneMove)
	b.ReportAllocs()
	for b.Loop() {
		if err := msgpack.Valid(msg, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidLarge(b *testing.B) {
	var moves []move
	for range 1000 {
		moves = append(moves, oneMove)
	}
	msg := encode(b, moves)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		if err := msgpack.Valid(msg, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshalStructs(b *testing.B) {
	var moves []move
	for range 1000 {
		moves = append(moves, oneMove)
	}
	msg := encode(b, moves)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		var got []move
		if err := msgpack.Unmarshal(msg, &got, msgpack.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
