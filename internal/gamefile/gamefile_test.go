package gamefile_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"parlor/internal/gamefile"
	"parlor/room"
)

var example = gamefile.File{
	Name: "table 1", Kind: "chess", Durable: true,
	Stored: room.Stored{
		Save:   room.Save{Entry: 7, Version: 2, Data: "not \xff UTF-8", Room: []byte("{}")},
		Pieces: []room.Piece{{First: 6, Entries: []byte{1, 2}}, {First: 9, Entries: []byte{3}}},
	},
}

func text(t *testing.T, f gamefile.File) string {
	t.Helper()
	var b bytes.Buffer
	if err := gamefile.Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRoundTrip(t *testing.T) {
	for _, f := range []gamefile.File{example, {Name: "plain", Stored: room.Stored{Save: room.Save{Data: "x"}}}} {
		if again, err := gamefile.Read(strings.NewReader(text(t, f))); err != nil || !reflect.DeepEqual(again, f) {
			t.Errorf("%+v becomes %+v, %v", f, again, err)
		}
	}
}

func TestRefused(t *testing.T) {
	good := text(t, example)
	for _, test := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", gamefile.ErrFormat},
		{"another file", `{"users": []}`, gamefile.ErrFormat},
		{"cut off", good[:len(good)/2], gamefile.ErrFormat},
		{"no base64", strings.Replace(good, `"entries": "A`, `"entries": "?`, 1), gamefile.ErrFormat},
		{"unknown field", strings.Replace(good, `"name"`, `"mane"`, 1), gamefile.ErrFormat},
		{"newer", strings.Replace(good, `"version": 1`, `"version": 2`, 1), gamefile.ErrNewer},
	} {
		if _, err := gamefile.Read(strings.NewReader(test.text)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// FuzzRead: whatever is in a file, reading it and looking at its entries does no harm.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_ = gamefile.Write(&b, example)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := gamefile.Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, err := range file.Entries() {
			_ = err
		}
		again, err := gamefile.Read(strings.NewReader(text(t, file)))
		if err != nil || again.Name != file.Name && strings.ToValidUTF8(file.Name, "\uFFFD") != again.Name {
			t.Errorf("%+v becomes %+v, %v", file, again, err)
		}
	})
}
