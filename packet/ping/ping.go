// Package ping asks a packet server what it has to say, without joining it: the ping connection type of
// peng3dnet (section 11 of docs/peng3dnet.md). No registry is exchanged; the client sends one map, the server
// answers with another.
//
// A server answers pings once [Serve] was called for it:
//
//	err := ping.Serve(srv, ping.Options{Data: map[string]any{"motd": "welcome"}})
//
// and a client asks with one call:
//
//	pong, err := ping.Do(ctx, "localhost:8080", nil, packet.Config{})
//	fmt.Println(pong.RTT, pong.Data)
//
// or many times over one connection, with [Dial] and [Client.Ping].
package ping

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// The two packets of a ping connection. They are not registered.
const (
	IDRequest  packet.ID = 64
	IDResponse packet.ID = 65
)

// Reasons that ping connections are closed with.
const (
	ReasonComplete      = "pingcomplete"      // by the client, when it has what it wanted
	ReasonInvalidSide   = "pinginvalidside"   // a request came to a client, or a response to a server
	ReasonInvalidPacket = "invalidpingpacket" // any other packet, or a request over MaxRequest
)

// MaxRequest is how long the body of a request may be that a server answers, in bytes, inflated.
const MaxRequest = 64 << 10

// AutoTime as the value of "time" in the data of a request is replaced by the clock when it is sent.
const AutoTime = "__AUTO__"

// ErrFailed means that there was no pong: the server could not be reached, does not answer pings, speaks another
// version, or took too long.
//
// It is a packet.ErrTimeout to errors.Is whatever the cause, as in peng3dnet.
var ErrFailed error = failed{}

// ErrNoMap means a server whose answer to a ping is something else than a map with names for keys. It comes with
// ErrFailed.
var ErrNoMap = errors.New("the answer is no map of names")

type failed struct{}

func (failed) Error() string        { return "ping failed" }
func (failed) Is(target error) bool { return target == packet.ErrTimeout }

// Options say what a server answers. Its answer has, of equal keys the later: "oldmsg", the request; what Func
// returns; Data; and "peng3dnet", the versions.
type Options struct {
	// Data is always the same. It is not changed, and must not be while the server runs.
	Data map[string]any
	// Func is asked for each ping, on the goroutine of its connection, or by Process. The request belongs to it until it returns. It is
	// not decoded before Func asks for its Value, which takes many times the memory of its Body.
	Func func(c *packet.Conn, request *packet.Message) map[string]any
	// IdleTimeout is how long a client that pings once and again may pause before it is closed with
	// packet.ReasonIdleTimeout; default 60 s, negative: any time. Strangers could hold all places otherwise.
	IdleTimeout time.Duration
	// NoWriteBack leaves out the request.
	NoWriteBack bool
}

// Serve adds the ping connection type to a server. With packet.Config.Manual, pings wait for Process as all packets do, and
// so it is part of the round trip how often the program calls it: a game loop that answers tells how fast it is.
func Serve(s *packet.Server, opts Options) error {
	return s.AddConnType(packet.ConnTypePing, packet.ConnType{
		Init: func(c *packet.Conn) error {
			c.SetState(packet.StateActive)
			return nil
		},
		Receive: func(c *packet.Conn, m *packet.Message) (bool, error) {
			switch {
			case m.ID == IDRequest && len(m.Body()) <= MaxRequest:
				c.SetMode(packet.ModePing)
				return true, c.WritePacket(IDResponse, opts.answer(c, m))
			case m.ID == IDResponse:
				c.Close(ReasonInvalidSide)
			default:
				c.Close(ReasonInvalidPacket)
			}
			return true, nil
		},
		Send:        refuse,
		IdleTimeout: cmp.Or(opts.IdleTimeout, time.Minute),
	})
}

// answer is a map in the order of its parts, as peng3dnet's is: what one of them overrides keeps its place. The
// request comes back as it was, with its keys in their order.
func (o *Options) answer(c *packet.Conn, m *packet.Message) msgpack.Map {
	var answer msgpack.Map
	places := make(map[string]int)
	add := func(part map[string]any) {
		for _, key := range slices.Sorted(maps.Keys(part)) {
			if at, ok := places[key]; ok {
				answer[at].Value = part[key]
				continue
			}
			places[key] = len(answer)
			answer = append(answer, msgpack.Pair{Key: key, Value: part[key]})
		}
	}
	if !o.NoWriteBack {
		add(map[string]any{"oldmsg": m.Body()})
	}
	if o.Func != nil {
		add(o.Func(c, m))
	}
	add(o.Data)
	add(map[string]any{"peng3dnet": msgpack.Map{
		{Key: "version", Value: packet.Version}, {Key: "release", Value: packet.Release}, {Key: "protoversion", Value: packet.ProtoVersion}}})
	return answer
}

// refuse is the Send of ping connections: they carry nothing but pings.
func refuse(_ *packet.Conn, o *packet.Outgoing) (bool, error) {
	return false, fmt.Errorf("%w: a ping connection carries nothing but pings, not %s", packet.ErrInvalidPacket, o.Name)
}

// Pong is a server's answer.
type Pong struct {
	// Data is all of the answer, as it came.
	Data map[string]any
	// Received is when it came.
	Received time.Time
	// RTT is the time from the request to the answer, by this side's monotonic clock.
	RTT time.Duration
}

// Result is what pingServer of peng3dnet returns: the answer, and "recvtime" and "delay" in seconds.
func (p *Pong) Result() map[string]any {
	result := maps.Clone(p.Data)
	result["recvtime"] = seconds(p.Received)
	result["delay"] = p.RTT.Seconds()
	return result
}

func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }
