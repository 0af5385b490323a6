package transcode_test

import (
	"testing"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

// payloads are such as games send: 60 to 200 bytes, three to eight keys.
var payloads = []struct{ name, json string }{
	{"move", `{"from": [4, 1], "to": [4, 3], "piece": "pawn", "takes": false}`},
	{"position", `{"id": 17, "x": 103.25, "y": -44.5, "angle": 1.5707963267948966, "speed": 4.5}`},
	{"chat", `{"user": "alice", "text": "well played, but I had hoped for more", "channel": "all", "time": 1790000000}`},
	{"state", `{"turn": 12, "board": ["x", "o", null, null, "x", null, null, null, "o"], "players": {"x": "alice", "o": "bob"}, ` +
		`"clock": {"x": 59.25, "o": 48.5}, "over": false, "winner": null}`},
}

func BenchmarkAppendMsgPack(b *testing.B) {
	for _, p := range payloads {
		b.Run(p.name, func(b *testing.B) {
			json := []byte(p.json)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = transcode.AppendMsgPack(buf[:0], json); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, p := range payloads {
		b.Run(p.name, func(b *testing.B) {
			mp, err := transcode.AppendMsgPack(nil, []byte(p.json))
			if err != nil {
				b.Fatal(err)
			}
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = appendJSON(buf[:0], mp); err != nil {
					b.Fatal(err)
				}
			}
			if string(buf) != p.json {
				b.Errorf("got %s", buf)
			}
		})
	}
}

// BenchmarkOthers is what the same payloads cost elsewhere, to compare with on the same machine.
func BenchmarkOthers(b *testing.B) {
	for _, p := range payloads {
		json := []byte(p.json)
		mp, err := transcode.AppendMsgPack(nil, json)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("pyjson.Check/"+p.name, func(b *testing.B) {
			for b.Loop() {
				_ = pyjson.Check(json, 128)
			}
		})
		b.Run("pyjson.AppendRaw/"+p.name, func(b *testing.B) {
			var buf []byte
			for b.Loop() {
				buf = pyjson.AppendRaw(buf[:0], json)
			}
		})
		b.Run("msgpack.Valid/"+p.name, func(b *testing.B) {
			for b.Loop() {
				_ = msgpack.Valid(mp, msgpack.Limits{})
			}
		})
	}
}
