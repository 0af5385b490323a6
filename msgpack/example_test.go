package msgpack_test

import (
	"errors"
	"fmt"

	"parlor/msgpack"
)

func Example() {
	type Move struct {
		Player string `msgpack:"player"`
		X      int    `msgpack:"x"`
	}
	b, err := msgpack.Append(nil, Move{Player: "alice", X: 3})
	if err != nil {
		panic(err)
	}
	var move Move
	err = msgpack.Unmarshal(b, &move, msgpack.Limits{})
	fmt.Println(len(b), move, err)

	b, _ = msgpack.Append(nil, map[string]any{"x": "three"})
	fmt.Println(msgpack.Unmarshal(b, &move, msgpack.Limits{}))
	// Output:
	// 17 {alice 3} <nil>
	// msgpack: x: want an integer, got a string
}

func ExampleRaw() {
	var envelope struct {
		Kind    string      `msgpack:"kind"`
		Payload msgpack.Raw `msgpack:"payload"`
	}
	b, _ := msgpack.Append(nil, map[string]any{"kind": "count", "payload": map[string]int{"n": 5}})
	if err := msgpack.Unmarshal(b, &envelope, msgpack.Limits{}); err != nil {
		panic(err)
	}
	var count struct {
		N int `msgpack:"n"`
	}
	err := msgpack.Unmarshal(envelope.Payload, &count, msgpack.Limits{})
	fmt.Printf("%s %x %v %v\n", envelope.Kind, envelope.Payload, count, err)
	// Output:
	// count 81a16e05 {5} <nil>
}

func ExampleOrdered() {
	b, _ := msgpack.Append(nil, msgpack.Map{{Key: "z", Value: 1}, {Key: "a", Value: 1.0}})
	v, err := msgpack.Ordered(b, msgpack.Limits{})
	for _, p := range v.(msgpack.Map) {
		fmt.Printf("%s: %T\n", p.Key, p.Value)
	}
	fmt.Println(err)
	// Output:
	// z: int64
	// a: float64
	// <nil>
}

func ExampleValid() {
	err := msgpack.Valid([]byte{0xdd, 0xff, 0xff, 0xff, 0xff, 0x01}, msgpack.Limits{})
	fmt.Println(errors.Is(err, msgpack.ErrTruncated), err)
	err = msgpack.Valid([]byte{0x91, 0x91, 0x91, 0x90}, msgpack.Limits{Depth: 3})
	fmt.Println(errors.Is(err, msgpack.ErrDepth), err)
	// Output:
	// true msgpack: truncated, at byte 0
	// true msgpack: nested too deep: the limit is 3
}
