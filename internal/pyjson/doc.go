// Package pyjson reads and writes JSON text exactly as Python's json module
// does, renders such values as Python's repr does, and binds them into Go
// values.
//
// The peers are Python programs that look at the difference between 1 and 1.0,
// write NaN and Infinity as bare words, take keys case by case and in order,
// let lone surrogates through, and compare texts byte for byte. encoding/json
// blurs each of these, so it cannot carry such a protocol. The rules followed
// are sections 3 and 7.5 of the pgnet protocol description: json.dumps with its
// defaults for writing, json.loads for reading.
//
// A server usually starts with [Members], which validates a message in one pass
// and hands out the raw text of each member. Raw text is then asked for its
// type with [KindOf], decoded with [Unquote] or [Bind], rewritten with
// [AppendRaw], or shown to a person with [AppendRepr]. [Append] writes a Go
// value.
//
// Go strings that hold a lone surrogate hold it in WTF-8: the three bytes UTF-8
// would use if surrogates were allowed. Such a string is not valid UTF-8, and
// only this package writes it back as it was.
//
// Everything here may be called concurrently. No function keeps a slice it was
// given or changes one, apart from appending to its first argument.
package pyjson
