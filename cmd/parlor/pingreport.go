package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"parlor/msgpack"
	"parlor/packet"
)

// report prints what comes of pings.
type report struct {
	out, news io.Writer
	address   string
	json      bool
	quiet     bool
	shown     bool // what answers was
	sent      int
	rtts      []time.Duration
	failed    error // the last one
}

func newReport(out, news io.Writer, o pingOptions) *report {
	return &report{out: out, news: news, address: o.address, json: o.json, quiet: o.quiet}
}

func (r *report) received() int { return len(r.rtts) }

// connected tells, once, what answers.
func (r *report) connected(t *target, remote net.Addr) error {
	if r.json || r.shown {
		return nil
	}
	r.shown = true
	of := ""
	if len(t.wires) > 0 {
		of = ", wires: " + strings.Join(t.wires, ", ")
	}
	_, err := fmt.Fprintf(r.out, "PING %s: a %s at %s, connected in %s ms%s\n", visible(r.address), t.what(), visible(packet.AddressOf(remote)), milliseconds(t.took), of)
	return err
}

// pingLine is a ping in JSON.
type pingLine struct {
	Type   string   `json:"type"` // "ping"
	Seq    int      `json:"seq"`
	Server string   `json:"server,omitempty"` // "packet" or "lobby", once it is known
	Wires  []string `json:"wires,omitempty"`  // of a lobby: those that it speaks at this address
	RTT    *float64 `json:"rtt_ms,omitempty"`
	Data   any      `json:"data,omitempty"` // of the server
	Error  string   `json:"error,omitempty"`
}

// summaryLine is the summary in JSON. Without answers it has no times.
type summaryLine struct {
	Type     string   `json:"type"` // "summary"
	Address  string   `json:"address"`
	Server   string   `json:"server,omitempty"`
	Wires    []string `json:"wires,omitempty"`
	Sent     int      `json:"sent"`
	Received int      `json:"received"`
	Loss     float64  `json:"loss_percent"`
	Min      *float64 `json:"min_ms,omitempty"`
	Median   *float64 `json:"median_ms,omitempty"`
	P99      *float64 `json:"p99_ms,omitempty"`
	Max      *float64 `json:"max_ms,omitempty"`
	Error    string   `json:"error,omitempty"` // the last one, if there was no answer
}

// ping prints one.
func (r *report) ping(seq int, t *target, rtt time.Duration, data map[string]any, failed error) error {
	r.sent++
	if failed == nil {
		r.rtts = append(r.rtts, rtt)
	} else {
		r.failed = failed
	}
	if r.quiet {
		return nil
	}
	if r.json {
		line := pingLine{Type: "ping", Seq: seq, Server: short(t.what()), Wires: t.wires}
		if failed != nil {
			line.Error = failed.Error()
		} else {
			ms := inMilliseconds(rtt)
			line.RTT = &ms
			if data != nil {
				line.Data = plain(data)
			}
		}
		return r.line(line)
	}
	if failed != nil {
		_, err := fmt.Fprintf(r.news, "seq=%d: %s\n", seq, visible(failed.Error()))
		return err
	}
	text := ""
	if data != nil {
		text = " " + cut(string(marshal(plain(data))), 600)
	}
	_, err := fmt.Fprintf(r.out, "seq=%d time=%s ms%s\n", seq, milliseconds(rtt), text)
	return err
}

// summary prints the end. When nothing was said of single pings, it says why none was answered.
func (r *report) summary(t *target) error {
	loss := 0.0
	if r.sent > 0 {
		loss = 100 * float64(r.sent-len(r.rtts)) / float64(r.sent)
	}
	slices.Sort(r.rtts)
	mute := len(r.rtts) == 0 && r.failed != nil
	if r.json {
		line := summaryLine{Type: "summary", Address: r.address, Server: short(t.what()), Wires: t.wires, Sent: r.sent, Received: len(r.rtts), Loss: loss}
		if len(r.rtts) > 0 {
			for to, d := range map[**float64]time.Duration{
				&line.Min: r.rtts[0], &line.Median: median(r.rtts), &line.P99: quantile(r.rtts, 0.99), &line.Max: r.rtts[len(r.rtts)-1],
			} {
				ms := inMilliseconds(d)
				*to = &ms
			}
		}
		if mute {
			line.Error = r.failed.Error()
		}
		return r.line(line)
	}
	if mute && r.quiet {
		if _, err := fmt.Fprintln(r.news, visible(r.failed.Error())); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(r.out, "--- %s ---\n%d sent, %d answered, %s%% lost\n", visible(r.address), r.sent, len(r.rtts), percentage(loss))
	if err == nil && len(r.rtts) > 0 {
		_, err = fmt.Fprintf(r.out, "min/median/p99/max = %s/%s/%s/%s ms\n", milliseconds(r.rtts[0]),
			milliseconds(median(r.rtts)), milliseconds(quantile(r.rtts, 0.99)), milliseconds(r.rtts[len(r.rtts)-1]))
	}
	return err
}

func (r *report) line(v any) error {
	_, err := r.out.Write(append(marshal(v), '\n'))
	return err
}

// quantile is the least of sorted values that so many are not above.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

// median is the middle of sorted values: of an even count, the mean of the two in the middle.
func median(sorted []time.Duration) time.Duration {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentage has three digits, but is 0 or 100 only where nothing or all is meant.
func percentage(p float64) string {
	if p > 99 && p < 100 {
		p = math.Floor(p*1000) / 1000
		return strconv.FormatFloat(p, 'f', -1, 64)
	}
	return fmt.Sprintf("%.3g", p)
}

func inMilliseconds(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
func milliseconds(d time.Duration) string    { return fmt.Sprintf("%.3f", float64(d)/1e6) }

// short is a kind in JSON.
func short(k kind) string { return strings.TrimSuffix(string(k), " server") }

// cut shortens a text to so many bytes.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "..."
}

// marshal is JSON in which all that could play tricks on a terminal is escaped.
func marshal(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte(`"` + visible(err.Error()) + `"`) // plain leaves nothing that could fail
	}
	var out []byte
	for _, r := range string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))) {
		switch {
		case unicode.IsGraphic(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// plain makes of a decoded body what JSON can say: bytes are base64, what else JSON lacks is text.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = plain(value)
		}
		return out
	case msgpack.Map:
		out := make(map[string]any, len(v))
		for _, p := range v {
			key := p.Key
			if p.Bin {
				key = base64.StdEncoding.EncodeToString([]byte(key))
			}
			out[key] = plain(p.Value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = plain(value)
		}
		return out
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v)
		}
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case msgpack.Ext:
		return map[string]any{"ext": v.Code, "data": v.Data}
	}
	return v
}
