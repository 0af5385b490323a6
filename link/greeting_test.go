package link_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"parlor"
	"parlor/link"
)

func TestOffers(t *testing.T) {
	for _, o := range []link.Offer{{}, {Token: []byte("0123456789abcdef"), Seq: 1 << 60}} {
		for _, payload := range []parlor.Payload{{}, parlor.Encode(parlor.Map{"username": "a}"})} {
			login := link.WithOffer(payload, o, []byte{1, 2})
			got, noise, ok := link.OfferOf(login)
			if !ok || !reflect.DeepEqual(got, o) || string(noise) != "\x01\x02" {
				t.Errorf("%s was read as %+v %x %v", login.JSON(), got, noise, ok)
			}
			want, _ := payload.Get("username")
			if user, _ := login.Get("username"); user != want {
				t.Errorf("%s: the user name is %v, want %v", login.JSON(), user, want)
			}
		}
	}
}

func TestOffersThatAreNone(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"parlor": null}`, `{"parlor": 1}`, `{"parlor": {}}`, `{"parlor": {"version": 0}}`, `{"parlor": {"version": "1"}}`,
		`{"parlor": {"version": 1, "seq": -1}}`, `{"parlor": {"version": 1, "token": 5}}`, `{"Parlor": {"version": 1}}`, `[1]`,
	} {
		p, err := parlor.ParsePayload([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if o, _, ok := link.OfferOf(p); ok {
			t.Errorf("%s was read as %+v", text, o)
		}
	}
	p, _ := parlor.ParsePayload([]byte(`{"parlor": {"version": 2, "token": "no base64", "more": true}}`))
	if o, noise, ok := link.OfferOf(p); !ok || o.Token != nil || noise != nil {
		t.Errorf("an offer of a later version with a token that is none: %+v %x %v", o, noise, ok)
	}
}

func TestWelcomes(t *testing.T) {
	for _, w := range []link.Welcome{
		{Token: []byte("0123456789abcdef")},
		{Token: []byte("0123456789abcdef"), Window: 90 * time.Second, Resumed: true, ID: 7, Lost: 3},
		{Token: []byte("0123456789abcdef"), Window: 1500 * time.Millisecond, Resumed: true},
	} {
		answer := link.WithWelcome(parlor.Payload{}, w, []byte{9})
		got, noise := link.WelcomeOf(answer)
		if got == nil || !reflect.DeepEqual(*got, w) || string(noise) != "\x09" {
			t.Errorf("%s was read as %+v %x", answer.JSON(), got, noise)
		}
	}
	for text, want := range map[string]string{
		`{}`: "0s false", `{"parlor": {"version": 1}}`: "0s false", `{"parlor": {"version": 1, "window": 1.5}}`: "1.5s true", `[]`: "0s false",
		`{"parlor": {"version": 1, "window": -5}}`: "0s true", `{"parlor": {"version": 1, "window": 1e300}}`: "277777h46m40s true",
		`{"parlor": {"version": 1, "window": "60"}}`: "0s false", `{"parlor": {"window": 60}}`: "0s false", `{"parlor": 60}`: "0s false",
		string(link.WithWindow(parlor.Encode(parlor.Map{"heartbeat_rate": 10}), time.Hour).JSON()): "1h0m0s true",
	} {
		p, err := parlor.ParsePayload([]byte(text))
		if window, ok := link.WindowOf(p); err != nil || fmt.Sprint(window, ok) != want {
			t.Errorf("the window of %s is %v %t, %v, want %s", text, window, ok, err, want)
		}
	}
	if w, _ := link.WelcomeOf(parlor.Payload{}); w != nil {
		t.Errorf("an empty answer was read as %+v", w)
	}
}
