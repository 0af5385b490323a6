// Package msgpack is the bounded MessagePack codec that every wire of Parlor shares.
//
// It reads and writes the profile of section 2 of the peng3dnet protocol: str and bin are different types,
// integers and floats are different types (1 is not 1.0), map keys are str or bin, text is valid UTF-8, the only
// extension with a negative code is the timestamp, and a message is exactly one value.
//
// # Start
//
//	b, err := msgpack.Append(nil, Move{X: 1, Y: 2}) // appends to the slice given
//	err = msgpack.Unmarshal(b, &move, msgpack.Limits{})
//
// [Unmarshal] into a *any gives nil, bool, int64, uint64 (only above 2^63-1), float64, string, []byte, []any,
// map[string]any, [time.Time] (UTC) or [Ext], and for a map that has a bin key a [Map] in key order. [Ordered] does the same
// with every map as a [Map], in the order of the wire. [Raw] keeps a value encoded until it is asked for.
//
// # Go values
//
// Structs are maps. A field is named by its msgpack tag, else its json tag, else itself, case-sensitive; the
// options omitempty and omitzero and the name "-" mean what they mean in encoding/json, and so does embedding.
// Unknown keys are ignored, missing ones leave the field as it is, of equal keys the last counts.
//
// Maps need keys of a string type and are written in key order; [Map] is written in its own. A []byte or
// [n]byte is bin. A nil slice or map is written as an empty one, for peers that iterate over it; nil
// pointers, nil interfaces and an empty [Raw] are nil. Floats are always written as float64, integers in the
// shortest form, unsigned unless negative.
//
// Reading is strict: a number that does not fit, a float for an integer, bytes for a string or nil for what
// cannot be nil is a [*TypeError] within a [*PathError] that says where: "msgpack: move.x: want an integer, got a
// string". The one leniency: an integer is good for a float that holds it exactly. Slices and maps are replaced
// and never share memory with the message. After an error the destination may be partly set.
//
// A type with MarshalMsg or UnmarshalMsg, as the msgp generator writes them, is asked to do it itself. It
// is called only after the whole message has been validated, so that the lengths it meets are true; what it
// writes is taken on trust.
//
// # Hostile messages
//
// A message is walked once, without allocating, before anything is built from it ([Valid]): each declared
// length against the bytes left, one budget of elements, a depth. See [Limits] for what the walk cannot bound.
// [Append] refuses more than [DefaultDepth] levels too, which catches cycles.
//
// # Concurrency
//
// All functions are safe to call concurrently, on different destinations. The package keeps a cache of the
// struct types it has met, and nothing else.
package msgpack
