package transcode_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"parlor/internal/pyjson"
	"parlor/internal/transcode"
	"parlor/msgpack"
)

func TestAppendMsgPackAsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMsgPack(t, []byte(jsonText(3).Draw(t, "text"))) })
}

func TestAppendJSONAsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkJSON(t, message(3).Draw(t, "message")) })
}

// fataler is a test or one case of it.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkMsgPack checks all that AppendMsgPack promises for one text, which may be no JSON.
func checkMsgPack(t fataler, text []byte) {
	t.Helper()
	want, wantErr := msgPackModel(text)
	got, err := transcode.AppendMsgPack([]byte("<"), text)
	if wantErr != nil {
		if err == nil || err.Error() != wantErr.Error() || string(got) != "<" {
			t.Fatalf("%q: got %x, error %v, want %v", text, got, err, wantErr)
		}
		return
	}
	if err != nil || got[0] != '<' || !bytes.Equal(got[1:], want) {
		t.Fatalf("%q: got %x, error %v, want %x", text, got, err, want)
	}
	if err := msgpack.Valid(got[1:], msgpack.Limits{Depth: 128}); err != nil {
		t.Fatalf("%q: got %x: %v", text, got, err)
	}
	back, err := appendJSON(nil, got[1:])
	if err != nil || !bytes.Equal(back, pyjson.AppendRaw(nil, text)) {
		t.Fatalf("%q: came back as %s, error %v", text, back, err)
	}
}

// checkJSON checks all that AppendJSON promises for some bytes, which may be no message.
func checkJSON(t fataler, mp []byte) {
	t.Helper()
	want, wantErr := jsonModel(mp)
	got, err := appendJSON([]byte("<"), mp)
	if wantErr != nil {
		// Which of several errors comes first is another matter where keys of bytes keep the model from seeing others.
		if err == nil || string(got) != "<" || err.Error() != wantErr.Error() && !bytes.ContainsAny(mp, "\xc4\xc5\xc6") {
			t.Fatalf("%x: got %s, error %v, want %v", mp, got, err, wantErr)
		}
		return
	}
	if err != nil || got[0] != '<' || !bytes.Equal(got[1:], want) {
		t.Fatalf("%x: got %s, error %v, want %s", mp, got, err, want)
	}
	if again := pyjson.AppendRaw(nil, want); !bytes.Equal(again, want) {
		t.Fatalf("%x: %s is not as Python writes it: %s", mp, want, again)
	}
	back, err := transcode.AppendMsgPack(nil, want)
	if err != nil {
		t.Fatalf("%x: %s cannot go back: %v", mp, want, err)
	}
	if text, err := appendJSON(nil, back); err != nil || !bytes.Equal(text, want) {
		t.Fatalf("%x: %s went back and came as %s, error %v", mp, want, text, err)
	}
}
