package parlor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parlor"
)

// TestCapturedTexts decodes every text that was captured from the release and its clients, and writes it
// again: to the byte.
func TestCapturedTexts(t *testing.T) {
	packets, responses := 0, 0
	for _, f := range capturedFrames(t) {
		switch {
		case f.Dir == "s2c":
			r, err := parlor.DecodeResponse([]byte(f.Plain))
			if err != nil {
				t.Fatalf("%s: %v", f.Plain, err)
			}
			if got, err := r.AppendJSON(nil, time.Time{}); err != nil || string(got) != f.Plain {
				t.Errorf("response written as %s, error %v, want %s", got, err, f.Plain)
			}
			responses++
		case strings.HasSuffix(f.Plain, `, "username": null}`): // a whole one
			p, err := parlor.DecodePacket([]byte(f.Plain))
			if err != nil {
				t.Fatalf("%s: %v", f.Plain, err)
			}
			if got, err := p.AppendJSON(nil); err != nil || string(got) != f.Plain {
				t.Errorf("packet written as %s, error %v, want %s", got, err, f.Plain)
			}
			packets++
		}
	}
	if packets < 300 || responses < 300 {
		t.Errorf("%d packets and %d responses, want 300 of each or more", packets, responses)
	}
}

type captured struct{ Dir, Plain string }

func capturedFrames(t testing.TB) []captured {
	t.Helper()
	files, err := filepath.Glob("testdata/pgnet/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []captured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Frames []captured }
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, f := range s.Frames {
			if f.Plain != "" {
				all = append(all, f)
			}
		}
	}
	return all
}

func TestDecodePacket(t *testing.T) {
	for _, test := range []struct{ text, message, payload, created string }{
		{`{"message": "x"}`, "x", "{}", ""},
		{` { "payload" : [1] , "message" : "x" } `, "x", "[1]", ""},
		{`{"message": "x", "created_on": "then", "username": "admin"}`, "x", "{}", "then"},
		{`{"message": "x", "created_on": null}`, "x", "{}", ""},
		{`{"message": "x", "created_on": 5}`, "x", "{}", "5"},
		{`{"message": 5, "payload": null}`, "5", "null", ""},
		{`{"message": null}`, "null", "{}", ""},
		{`{"message": "x", "v": 1, "Payload": 2}`, "x", "{}", ""}, // unknown keys (defect 25); keys are case-sensitive
		{`{"message": "a", "message": "x", "payload": 1, "payload": 2}`, "x", "2", ""},
		{`{"message": "a", "created_on": 5, "created_on": null}`, "a", "{}", ""},
		{`{"message": "\ud83d\ude00\u00e9"}`, "😀é", "{}", ""},
		{`{"message": "x", "payload": NaN}`, "x", "NaN", ""},
	} {
		p, err := parlor.DecodePacket([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if p.Message != test.message || string(p.Payload.JSON()) != test.payload || p.CreatedOn != test.created || p.Username != "" {
			t.Errorf("%s: %+v with payload %s", test.text, p, p.Payload.JSON())
		}
	}
}

func TestMalformed(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, text := range []string{
		``, ` `, `{`, `{nope`, `[]`, `5`, `null`, `"x"`, `{}`, `{"payload": {}}`, `{"message"}`, `{"message": }`,
		`{"message": "x"} {}`, "\ufeff" + `{"message": "x"}`, `{'message': 'x'}`, `{"message": "x",}`, `{"message": "x", "payload": ` + deep + `}`, "{\"message\": \"\x01\"}",
	} {
		for what, err := range map[string]error{"packet": packetError(text), "response": responseError(text)} {
			var malformed *parlor.MalformedError
			if !errors.As(err, &malformed) || malformed.Reason == "" {
				t.Errorf("%s %.50q: error %v, want a MalformedError", what, text, err)
			}
		}
	}
	for _, text := range []string{`{"message": ["x"]}`, `{"message": {}}`} {
		var malformed *parlor.MalformedError
		if err := packetError(text); !errors.As(err, &malformed) {
			t.Errorf("packet %s: error %v, want a MalformedError", text, err)
		}
	}
}

func packetError(text string) error {
	_, err := parlor.DecodePacket([]byte(text))
	return err
}

func responseError(text string) error {
	_, err := parlor.DecodeResponse([]byte(text))
	return err
}

func TestDecodeResponse(t *testing.T) {
	r, err := parlor.DecodeResponse([]byte(`{"message": "x", "payload": {"a": 1}, "status": 42, "created_on": "then", "disconnecting": true, "game": "chess", "id": 7}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Message != "x" || r.Payload.String() != "{'a': 1}" || r.Status != 42 || r.CreatedOn != "then" || !r.Disconnecting || r.Game != "chess" {
		t.Errorf("%+v", r)
	}
	r, err = parlor.DecodeResponse([]byte(`{"message": "", "game": "a", "game": null}`))
	if err != nil || r.Game != "" || r.Status != parlor.StatusOK || !r.Payload.Empty() || r.Disconnecting {
		t.Errorf("with defaults: %+v, error %v", r, err)
	}
}

// TestOddResponse: the types of known keys are not checked (section 3.2), and what pgnet's client can live
// with Parlor's can too.
func TestOddResponse(t *testing.T) {
	for fields, want := range map[string]parlor.Response{
		`"message": 5`:             {Message: "5"},
		`"message": null`:          {Message: "None"},
		`"message": ["it's", 1.0]`: {Message: `["it's", 1.0]`},
		`"message": {"a": true}`:   {Message: "{'a': True}"},

		`"message": "", "status": 1.0`:                   {Status: 1},
		`"message": "", "status": 0.0`:                   {Status: 0},
		`"message": "", "status": -0.0`:                  {Status: 0},
		`"message": "", "status": -3e0`:                  {Status: -3},
		`"message": "", "status": true`:                  {Status: 1},
		`"message": "", "status": false`:                 {Status: 0},
		`"message": "", "status": null`:                  {Status: 2},
		`"message": "", "status": 0.5`:                   {Status: 2},
		`"message": "", "status": 1e-400`:                {Status: 0},
		`"message": "", "status": NaN`:                   {Status: 2},
		`"message": "", "status": "0"`:                   {Status: 2},
		`"message": "", "status": []`:                    {Status: 2},
		`"message": "", "status": 9223372036854775807`:   {Status: math.MaxInt},
		`"message": "", "status": 99999999999999999999`:  {Status: math.MaxInt},
		`"message": "", "status": -99999999999999999999`: {Status: math.MinInt},
		`"message": "", "status": 1` + zeros(400):        {Status: math.MaxInt},
		`"message": "", "status": -1` + zeros(400):       {Status: math.MinInt},
		`"message": "", "status": 1e300`:                 {Status: math.MaxInt},
		`"message": "", "status": -1e400`:                {Status: math.MinInt},
		`"message": "", "status": Infinity`:              {Status: math.MaxInt},
		`"message": "", "status": -Infinity`:             {Status: math.MinInt},
		`"message": "", "status": 7, "status": 1` + "\t": {Status: 1},

		`"message": "", "disconnecting": 1`:               {Disconnecting: true},
		`"message": "", "disconnecting": 0.1`:             {Disconnecting: true},
		`"message": "", "disconnecting": NaN`:             {Disconnecting: true},
		`"message": "", "disconnecting": 1` + zeros(400):  {Disconnecting: true},
		`"message": "", "disconnecting": "false"`:         {Disconnecting: true},
		`"message": "", "disconnecting": [ 0 ]`:           {Disconnecting: true},
		`"message": "", "disconnecting": {"a": 0}`:        {Disconnecting: true},
		`"message": "", "disconnecting": 0`:               {},
		`"message": "", "disconnecting": -0.0`:            {},
		`"message": "", "disconnecting": null`:            {},
		`"message": "", "disconnecting": ""`:              {},
		`"message": "", "disconnecting": [ ]`:             {},
		`"message": "", "disconnecting": { }`:             {},
		`"message": "", "disconnecting": true`:            {Disconnecting: true},
		`"message": "", "disconnecting": 1, "game": 5`:    {Disconnecting: true, Game: "5"},
		`"message": "", "game": "x", "game": null`:        {},
		`"message": "", "game": "x", "created_on": [1.5]`: {Game: "x"},
	} {
		r, err := parlor.DecodeResponse([]byte("{" + fields + "}"))
		if err != nil || r.Message != want.Message || r.Status != want.Status || r.Disconnecting != want.Disconnecting || r.Game != want.Game {
			t.Errorf("%.60s: %+v, %v, want %+v", fields, r, err, want)
		}
	}
}

func zeros(n int) string { return strings.Repeat("0", n) }

// TestDebugText: sections 7.4 and 7.5.
func TestDebugText(t *testing.T) {
	for text, want := range map[string]string{
		`{"message": "it's", "created_on": "then"}`:                               `Packet(message="it's", created_on='then')+{}`,
		`{"message": "x", "payload": {"a": [1, 2.0, null, true, "é\t"]}}`:         `Packet(message='x', created_on='')+{'a': [1, 2.0, None, True, 'é\t']}`,
		`{"message": 5, "payload": null, "created_on": {"a": 1e5}}`:               `Packet(message=5, created_on={'a': 100000.0})+None`,
		`{"message": null, "created_on": false}`:                                  `Packet(message=None, created_on=False)+{}`,
		`{"message": 5, "message": "x", "created_on": 5, "created_on": "t"}`:      `Packet(message='x', created_on='t')+{}`,
		`{"message": 5, "created_on": 5, "message": 6, "created_on": "\u00a0\""}`: `Packet(message=6, created_on='\xa0"')+{}`,
	} {
		p, err := parlor.DecodePacket([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.DebugText(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	r := parlor.Bad("no", parlor.Map{"a": 1.0})
	r.CreatedOn = "then"
	if got, want := r.DebugText(), `Response(message='no', status=1, created_on='then')(game=None, disconnecting=False)+{'a': 1.0}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.Game, r.Disconnecting = "a'b", true
	if got, want := r.DebugText(), `Response(message='no', status=1, created_on='then')(game="a'b", disconnecting=True)+{'a': 1.0}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimestamp(t *testing.T) {
	zone := time.FixedZone("", 5*3600+1800)
	for want, at := range map[string]time.Time{
		"2026-11-20T20:59:49.783977+00:00": time.Date(2026, 11, 20, 20, 59, 49, 783977999, time.UTC),
		"2026-11-20T20:59:49.000001+05:30": time.Date(2026, 11, 20, 20, 59, 49, 1000, zone),
		"2026-11-20T20:59:49+05:30":        time.Date(2026, 11, 20, 20, 59, 49, 999, zone),
		"2026-11-20T20:59:49-05:00":        time.Date(2026, 11, 20, 20, 59, 49, 0, time.FixedZone("", -5*3600)),
	} {
		if got := parlor.Timestamp(at); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	at := time.Date(2026, 11, 20, 20, 59, 49, 783977000, time.UTC)
	got, err := parlor.OK("x").AppendJSON(nil, at)
	want := `{"message": "x", "payload": {}, "status": 0, "created_on": "2026-11-20T20:59:49.783977+00:00", "disconnecting": false, "game": null}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, error %v, want %s", got, err, want)
	}
}

// TestNilPayload: an author's nil is no null on the wire, which breaks pgnet's clients (section 3.4).
func TestNilPayload(t *testing.T) {
	for _, r := range []parlor.Response{parlor.OK("x", nil), parlor.Bad("x", nil), parlor.Unexpected("x", nil), parlor.OK("x", parlor.Map(nil))} {
		if got := string(r.Payload.JSON()); got != "{}" {
			t.Errorf("a payload of nil is %s, want {}", got)
		}
	}
}

func TestUnwritable(t *testing.T) {
	p := parlor.Encode(func() {})
	if _, err := parlor.OK("x", p).AppendJSON(nil, time.Now()); err == nil {
		t.Error("a response with a function in it was written")
	}
	if _, err := (parlor.Packet{Payload: p}).AppendJSON(nil); err == nil {
		t.Error("a packet with a function in it was written")
	}
}

func TestStatus(t *testing.T) {
	for s, want := range map[parlor.Status]string{0: "OK", 1: "BAD", 2: "UNEXPECTED", 42: "Status(42)", -1: "Status(-1)"} {
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What decodes is written as what decodes to the same.
func FuzzDecodePacket(f *testing.F) {
	for _, text := range []string{
		`{"message": "x", "payload": {"a": [1.50, -0, 1e400, NaN]}, "created_on": "t", "username": null}`,
		`{"message": 5, "created_on": {"a": 1}, "payload": "\ud800"}`, `{nope`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parlor.DecodePacket(text)
		if err != nil {
			if !errors.As(err, new(*parlor.MalformedError)) {
				t.Errorf("error %T: %v", err, err)
			}
			return
		}
		_ = p.DebugText()
		once, err := p.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parlor.DecodePacket(once)
		if err != nil {
			t.Fatalf("written as %q: %v", once, err)
		}
		twice, err := again.AppendJSON(nil)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("written as %q, then as %q, error %v", once, twice, err)
		}
		if again.Message != p.Message || again.CreatedOn != p.CreatedOn || again.Payload.String() != p.Payload.String() {
			t.Errorf("%+v was written as %+v", p, again)
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	for _, text := range []string{
		`{"message": "x", "payload": {"a": 1}, "status": 2, "created_on": "t", "disconnecting": true, "game": "g"}`,
		`{"message": "x", "payload": null, "status": -9223372036854775808, "created_on": 5, "game": ""}`, `[]`,
	} {
		f.Add([]byte(text))
	}
	now := time.Date(2026, 11, 20, 20, 59, 49, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parlor.DecodeResponse(text)
		if err != nil {
			if !errors.As(err, new(*parlor.MalformedError)) {
				t.Errorf("error %T: %v", err, err)
			}
			return
		}
		_ = r.DebugText()
		once, err := r.AppendJSON(nil, now)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parlor.DecodeResponse(once)
		if err != nil {
			t.Fatalf("written as %q: %v", once, err)
		}
		twice, err := again.AppendJSON(nil, now)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("written as %q, then as %q, error %v", once, twice, err)
		}
		if again.Message != r.Message || again.Status != r.Status || again.Game != r.Game || again.Disconnecting != r.Disconnecting ||
			r.CreatedOn != "" && again.CreatedOn != r.CreatedOn || again.Payload.String() != r.Payload.String() {
			t.Errorf("%+v was written as %+v", r, again)
		}
	})
}

// oddGame has no ability but the one that is required.
type oddGame struct{}

func (oddGame) HandleGamePacket(parlor.Packet) parlor.Response { return parlor.Response{} }

func TestUnhandled(t *testing.T) {
	for _, g := range []parlor.Game{oddGame{}, &oddGame{}} {
		if r := parlor.Unhandled(g); r.Message != "No packet handling configured for oddGame" || r.Status != parlor.StatusUnexpected {
			t.Errorf("Unhandled = %+v", r)
		}
		if r := parlor.UnhandledHeartbeat(g); r.Message != "No heartbeat update configured for oddGame" || r.Status != parlor.StatusOK {
			t.Errorf("UnhandledHeartbeat = %+v", r)
		}
	}
	parlor.Unhandled(nil)
}
