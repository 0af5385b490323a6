package link

import (
	"bytes"
	"encoding/base64"
	"time"

	"parlor"
)

// greetingKey is the key of a login's payload, and of its answer's, by which Parlor's own peers find each other
// (docs/PROTOCOL.md, section 3.1). Others ignore it. Between those who have found each other it also says what has changed of that
// (section 2.3).
const greetingKey = "parlor"

// Version is that of the envelopes and what goes with them.
const Version = 1

// greeting is the value of that key. What a side does not say is left out.
type greeting struct {
	Version int      `json:"version"`
	Noise   string   `json:"noise,omitempty"`
	Token   string   `json:"token,omitempty"`
	Seq     *uint64  `json:"seq,omitempty"`
	Window  *float64 `json:"window,omitempty"`
	Resumed *bool    `json:"resumed,omitempty"`
	ID      *uint64  `json:"id,omitempty"`
	Lost    *int     `json:"lost,omitempty"`
}

// WithOffer adds an offer to the payload of a login, which must be an object. Noise is the handshake message of the native
// wire, nil on others.
func WithOffer(login parlor.Payload, o Offer, noise []byte) parlor.Payload {
	g := greeting{Version: Version, Noise: encode(noise), Token: encode(o.Token), Seq: &o.Seq}
	if o.ID != 0 {
		g.ID = &o.ID
	}
	return withGreeting(login, g)
}

// OfferOf reads the offer of a login. It is not ok if there is none, or none that makes sense: the client is then served
// as one that has made none.
func OfferOf(login parlor.Payload) (o Offer, noise []byte, ok bool) {
	g, ok := greetingOf(login)
	if !ok {
		return Offer{}, nil, false
	}
	if g.Seq != nil {
		o.Seq = *g.Seq
	}
	if g.ID != nil {
		o.ID = *g.ID
	}
	o.Token = decode(g.Token)
	return o, decode(g.Noise), true
}

// WithWelcome adds a welcome to the payload of the answer to a login, which must be an object.
func WithWelcome(answer parlor.Payload, w Welcome, noise []byte) parlor.Payload {
	window := w.Window.Seconds()
	g := greeting{Version: Version, Noise: encode(noise), Token: encode(w.Token), Window: &window, Resumed: &w.Resumed}
	if w.Resumed {
		g.ID, g.Lost = &w.ID, &w.Lost
	}
	return withGreeting(answer, g)
}

// WelcomeOf reads the welcome of an answer to a login; it is nil if there is none.
func WelcomeOf(answer parlor.Payload) (w *Welcome, noise []byte) {
	g, ok := greetingOf(answer)
	if !ok {
		return nil, nil
	}
	w = &Welcome{Token: decode(g.Token)}
	w.Window, _ = g.window()
	if g.Resumed != nil && *g.Resumed && g.ID != nil {
		w.Resumed, w.ID = true, *g.ID
		if g.Lost != nil {
			w.Lost = *g.Lost
		}
	}
	return w, decode(g.Noise)
}

// WithWindow adds for how long a game keeps seats to the payload of the answer to who has joined it; it must be an object.
func WithWindow(p parlor.Payload, window time.Duration) parlor.Payload {
	seconds := window.Seconds()
	return withGreeting(p, greeting{Version: Version, Window: &seconds})
}

// WindowOf reads that. It is not ok if there is none.
func WindowOf(p parlor.Payload) (window time.Duration, ok bool) {
	if g, found := greetingOf(p); found {
		return g.window()
	}
	return 0, false
}

// window is 0 for one that is not said, or makes no sense.
func (g *greeting) window() (window time.Duration, said bool) {
	if g.Window != nil && *g.Window > 0 {
		window = time.Duration(min(*g.Window, maxWindow) * float64(time.Second))
	}
	return window, g.Window != nil
}

// maxWindow bounds what a server may say, in seconds.
const maxWindow = 1e9

func withGreeting(p parlor.Payload, g greeting) parlor.Payload {
	text := bytes.TrimRight(p.JSON(), " \t\r\n")
	text = bytes.TrimRight(bytes.TrimSuffix(text, []byte("}")), " \t\r\n")
	b := append([]byte(nil), text...)
	if len(text) > 1 { // more than the brace
		b = append(b, ", "...)
	}
	b = append(b, `"`+greetingKey+`": `...)
	b = append(b, parlor.Encode(g).JSON()...)
	whole, _ := parlor.ParsePayload(append(b, '}'))
	return whole
}

func greetingOf(p parlor.Payload) (g greeting, ok bool) {
	var payload struct {
		Parlor *greeting `json:"parlor"`
	}
	if p.Bind(&payload) != nil || payload.Parlor == nil || payload.Parlor.Version < 1 {
		return g, false
	}
	return *payload.Parlor, true
}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// decode is nil for what is no base64.
func decode(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}
