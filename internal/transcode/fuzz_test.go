package transcode_test

import "testing"

func FuzzAppendMsgPack(f *testing.F) {
	for _, c := range fromJSON {
		if len(c.json) < 200 {
			f.Add([]byte(c.json))
		}
	}
	for _, p := range payloads {
		f.Add([]byte(p.json))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkMsgPack(t, text) })
}

func FuzzAppendJSON(f *testing.F) {
	for _, c := range fromMsgPack {
		if len(c.msgpack) < 200 {
			f.Add(unhex(f, c.msgpack))
		}
	}
	f.Fuzz(func(t *testing.T, mp []byte) { checkJSON(t, mp) })
}
