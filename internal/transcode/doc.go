// Package transcode takes values across between JSON text and MessagePack.
//
// A payload is JSON text as Python writes it, whatever wire it came on or goes to. The wires that carry MessagePack
// translate it at their edge: [AppendMsgPack] on the way out, [AppendJSON] on the way in. Both follow one table:
//
//	JSON                         MessagePack            what happens
//	null, true, false            nil, true, false
//	integer, -2^63 to 2^64-1     integer                smallest form, unsigned unless negative; -0 is 0; read in any form
//	larger integer               -                      ErrInteger
//	float, with . or e           float 64               1.0 stays apart from 1; beyond the range it is infinite
//	float                        float 32, read only    the float of 64 bits that is equal
//	NaN, Infinity, -Infinity     float 64               one NaN (7ff8000000000000) for all
//	text                         str                    escapes resolved; towards JSON all but ASCII is escaped
//	text with a lone surrogate   -                      ErrSurrogate: str is UTF-8. Of a key too
//	text in base64               bin, read only         as []byte in Go's JSON; it does not go back: text stays text
//	-                            extension              ErrExtension
//	-                            timestamp              ErrTimestamp
//	array                        array                  smallest form; read in any form
//	object                       map with str keys      as arrays; the order of the keys is kept
//	-                            map with a bin key     ErrKey
//	equal keys                   equal keys             the last value counts, at the place of the first
//	nested over 128 levels       the same               ErrDepth
//
// Keys are equal if they are the same text, however it is written. A value that does not count, as an equal key
// replaces it, may be anything that is valid: only nesting is limited there too.
//
// What AppendMsgPack writes AppendJSON takes back as the text that [pyjson.AppendRaw] writes. What AppendJSON writes
// goes back too, to the same value but for bytes. So a payload is the same for all who get it, on whatever wire.
//
// An [*Error] says where in the value (board[2].x) something has no form on the other side, and what to try. What is
// not valid gives the error of [pyjson.Check] or [msgpack.Valid]. No bytes lead to a panic.
//
// # Time and memory
//
// Both are linear in the input, hostile or not: each walks it once. If keys repeat, or something has no form, it
// is walked again, with the places known where keys repeat. No count that a message declares is trusted.
//
// The functions keep nothing and may be called concurrently.
package transcode
