package main

// body is what the packets of the benchmark carry: a map of 64 bytes, as a game would send it. The methods in
// body_gen.go were written by the generator of tinylib/msgp. Fields are in the order in which Go maps are
// written, so that every kind of packet comes back as it was sent.
//
//go:generate go run github.com/tinylib/msgp@v1.6.5 -file body.go -o body_gen.go -tests=false -io=false -unexported
type body struct {
	Angle  float64 `msg:"angle" msgpack:"angle"`
	Fire   bool    `msg:"fire" msgpack:"fire"`
	Note   string  `msg:"note" msgpack:"note"`
	Player string  `msg:"player" msgpack:"player"`
	X      int     `msg:"x" msgpack:"x"`
	Y      int     `msg:"y" msgpack:"y"`
}

//msgp:ignore plain

// plain is the same without methods: the codec reads and writes it by reflection.
type plain struct {
	Angle  float64 `msgpack:"angle"`
	Fire   bool    `msgpack:"fire"`
	Note   string  `msgpack:"note"`
	Player string  `msgpack:"player"`
	X      int     `msgpack:"x"`
	Y      int     `msgpack:"y"`
}

var someBody = body{Player: "alice", X: 12, Y: 70, Angle: 1.5, Fire: true, Note: "straight ahead, x"}
