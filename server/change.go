package server

import (
	"math"

	"parlor"
	"parlor/internal/pyjson"
)

// payloadForChange is the payload of a response that tells a client of another game than the one before, or
// of none any more. In such a response pgnet's client looks up the heartbeat rate, and breaks, with its
// socket left open, if the payload is no object or the rate none to live with (sections 3.4, 8.4 and 13.6).
// The payload may be a game's, which need not know.
func payloadForChange(p parlor.Payload) (mended parlor.Payload, changed bool) {
	if !p.IsObject() {
		return parlor.Payload{}, true
	}
	bad := false
	rest := []byte{'{'}
	_ = pyjson.Members(p.JSON(), maxOwnDepth, func(key, value []byte) error {
		if string(key) == "heartbeat_rate" {
			bad = bad || !goodRate(value)
			return nil
		}
		if len(rest) > 1 {
			rest = append(rest, ", "...)
		}
		rest = pyjson.AppendString(rest, string(key))
		rest = append(rest, ": "...)
		rest = append(rest, value...)
		return nil
	})
	if !bad {
		return p, false
	}
	mended, err := parlor.ParsePayload(append(rest, '}'))
	if err != nil { // nested deeper than what may come from the network
		return parlor.Payload{}, true
	}
	return mended, true
}

// maxOwnDepth is how deep payloads of our own may be nested: what parlor.Encode takes.
const maxOwnDepth = 512

// goodRate tells whether a heartbeat rate is a positive finite number.
func goodRate(raw []byte) bool {
	var rate float64
	return pyjson.Bind(raw, &rate) == nil && rate > 0 && !math.IsInf(rate, 0)
}
