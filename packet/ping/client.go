package ping

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// Client is a ping connection, for any number of pings one after the other. Ping may not be called concurrently.
type Client struct {
	conn  *packet.Client
	pongs chan pong // holds the newest answer that nobody has waited for
	data  any       // what the first request says
	sent  time.Time // when the request under way was sent
	stamp any       // its "time", nil if it is no map
	open  bool      // it has no answer yet
	past  []float64 // the stamps of requests that were given up, the newest mostPast of them
}

// mostPast bounds what is remembered of requests that were given up. Who gives up more, takes a very late answer for
// one in time.
const mostPast = 64

type pong struct {
	body any
	at   time.Time
}

// New returns a client that sends data with its first request, when it connects: nil, a map, or any other value.
// In a map, "time" is added, with the clock's time, if it is missing or AutoTime. Config.ConnType is set to
// ping, and Config.Manual to false, as nobody has to call Process here. Hooks, events and handlers hear nothing of pings.
func New(data any, cfg packet.Config) *Client {
	c := &Client{pongs: make(chan pong, 1), data: data}
	cfg.ConnType = packet.ConnTypePing
	cfg.Manual = false
	c.conn = packet.NewClient(packet.NewRegistry(), cfg)
	// It cannot fail: the name is good, and free on a new client.
	_ = c.conn.AddConnType(packet.ConnTypePing, packet.ConnType{Init: c.init, Receive: c.receive, Send: refuse})
	return c
}

// Dial connects to a server, with New, and waits for the answer to the first request.
func Dial(ctx context.Context, addr string, data any, cfg packet.Config) (*Client, *Pong, error) {
	c := New(data, cfg)
	return c.start(ctx, func() error { return c.conn.Connect(ctx, addr) })
}

// DialConn is Dial over a socket that is open already.
func DialConn(ctx context.Context, nc net.Conn, data any, cfg packet.Config) (*Client, *Pong, error) {
	c := New(data, cfg)
	return c.start(ctx, func() error { return c.conn.ConnectConn(ctx, nc) })
}

func (c *Client) start(ctx context.Context, connect func() error) (*Client, *Pong, error) {
	if err := connect(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	p, err := c.Wait(ctx)
	if err != nil {
		c.conn.Abort(nil)
		<-c.conn.Done()
		return nil, nil, err
	}
	return c, p, nil
}

// Do pings a server once. With a ctx that has no deadline it waits 10 s at most, for the answer and for the server to
// close; once the answer is there, the end of ctx is no error, but drops the connection. All errors are ErrFailed.
func Do(ctx context.Context, addr string, data map[string]any, cfg packet.Config) (*Pong, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	withTime := maps.Clone(data)
	if withTime == nil {
		withTime = make(map[string]any)
	}
	withTime["time"] = AutoTime
	c, p, err := Dial(ctx, addr, withTime, cfg)
	if err != nil {
		return nil, err
	}
	c.conn.Close(ReasonComplete)
	select {
	case <-c.conn.Done():
	case <-ctx.Done(): // before Config.CloseTimeout
		c.conn.Abort(nil)
		<-c.conn.Done()
	}
	return p, nil
}

// Ping sends another request, with its data as in New, and waits for the answer.
func (c *Client) Ping(ctx context.Context, data any) (*Pong, error) {
	select {
	case <-c.pongs: // of a request that was given up
	default:
	}
	if stamp, timed := c.stamp.(float64); c.open && timed {
		c.past = append(c.past[max(0, len(c.past)-mostPast+1):], stamp)
	}
	if err := c.request(c.conn.Conn, data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return c.Wait(ctx)
}

// Wait waits for the answer to the request that is under way.
func (c *Client) Wait(ctx context.Context) (*Pong, error) {
again:
	select {
	case p := <-c.pongs:
		answer, ok := p.body.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%w: %w: %s", ErrFailed, ErrNoMap, brief(p.body))
		}
		if c.late(answer) {
			goto again
		}
		c.open = false
		return &Pong{Data: answer, Received: p.at, RTT: p.at.Sub(c.sent)}, nil
	case <-c.conn.Done():
		return nil, fmt.Errorf("%w: %w", ErrFailed, c.conn.Err())
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: no answer: %w (%w)", ErrFailed, packet.ErrTimeout, ctx.Err())
	}
}

// brief is a value that came as an error shows it, which must not be as long as that was.
func brief(v any) string {
	switch v := v.(type) {
	case nil, bool, int64, uint64, float32, float64:
		return fmt.Sprint(v)
	case string:
		return fmt.Sprintf("%.200q", v)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	}
	return fmt.Sprintf("a %T", v)
}

// late tells whether an answer is to an earlier request, that was given up. Servers that do not write back cannot
// be asked, and what they say instead of the request may be anything, also a map with a time of its own.
func (c *Client) late(answer map[string]any) bool {
	old, _ := answer["oldmsg"].(map[string]any)
	stamp, timed := old["time"].(float64)
	return timed && c.stamp != stamp && slices.Contains(c.past, stamp)
}

// Close tells the server that this was all, and waits until the connection has ended.
func (c *Client) Close() error {
	c.conn.Close(ReasonComplete)
	<-c.conn.Done()
	return nil
}

// Conn is the connection.
func (c *Client) Conn() *packet.Conn { return c.conn.Conn }

// init sends the first request, right after SetType.
func (c *Client) init(conn *packet.Conn) error {
	if err := c.request(conn, c.data); err != nil {
		return err
	}
	conn.SetMode(packet.ModePing)
	conn.SetState(packet.StateActive)
	return nil
}

func (c *Client) request(conn *packet.Conn, data any) error {
	c.sent, c.open = time.Now(), true
	body := stamped(data, c.sent)
	c.stamp = nil
	if m, ok := body.(msgpack.Map); ok {
		c.stamp, _ = m.Get("time")
	}
	return conn.WritePacket(IDRequest, body)
}

// stamped is the data with its time.
func stamped(data any, now time.Time) any {
	m, ok := data.(map[string]any)
	if data == nil {
		m, ok = nil, true
	}
	if !ok {
		return data
	}
	if t, given := m["time"]; given && t != AutoTime {
		return m
	}
	out := make(msgpack.Map, 0, len(m)+1)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key != "time" {
			out = append(out, msgpack.Pair{Key: key, Value: m[key]})
		}
	}
	return append(out, msgpack.Pair{Key: "time", Value: seconds(now)})
}

func (c *Client) receive(conn *packet.Conn, m *packet.Message) (bool, error) {
	switch m.ID {
	case IDResponse:
		p := pong{m.Value(), time.Now()}
		for kept := false; !kept; {
			select {
			case c.pongs <- p:
				kept = true
			default: // nobody has waited for the one before, which may be late
				select {
				case <-c.pongs:
				default:
				}
			}
		}
	case IDRequest:
		conn.Close(ReasonInvalidSide)
	default:
		conn.Close(ReasonInvalidPacket)
	}
	return true, nil
}
