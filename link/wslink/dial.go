package wslink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"parlor"
	"parlor/box"
	"parlor/link"
)

// Dialer connects to pgnet's and Parlor's servers. The zero Dialer makes a key for each connection.
type Dialer struct {
	// Key is the client's key pair. Default: a new one for each connection, with which no session can be resumed, as that takes the
	// key that it began with. A client.Client gives its own to a Dialer that has none.
	Key *box.Key
	// TLS is how to check the server of a wss:// address; nil trusts the system's authorities.
	TLS *tls.Config
	// Timeout bounds the opening of the socket. Default 10 s.
	Timeout time.Duration
	// MessageSize bounds a message of the server, in bytes. Default 1 MiB.
	MessageSize int
	// PingInterval is how often the server is pinged, and how long its pong may take before the connection is
	// closed (section 2.4). Default 20 s. A browser does this in its own way.
	PingInterval time.Duration
	// DialContext opens the network connection, as in http.Transport; nil is net.Dialer's. It is not used in a
	// browser.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// PgnetOnly speaks pgnet's wire also to servers that know Parlor's native one.
	PgnetOnly bool
}

// Dial opens a WebSocket. The address is HOST, HOST:PORT, or a ws:// or wss:// URL; the default port is
// 38929. An IPv6 address with a port needs brackets. The addresses of the packet wire (tcp://, tls://, unix:) are for a
// packetlink.Dialer.
func (d Dialer) Dial(ctx context.Context, address string) (link.Conn, error) {
	url, err := addressURL(address)
	if err != nil {
		return nil, err
	}
	key := d.Key
	if key == nil {
		if key, err = box.NewKey(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, 10*time.Second))
	defer cancel()
	c := &clientConn{key: key, pgnetOnly: d.PgnetOnly}
	c.ended, c.end = context.WithCancel(context.Background())
	c.remote = strings.TrimRight(url[strings.Index(url, "://")+3:], "/") // in a browser, which tells nothing better
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c.nc, c.remote = info.Conn, info.Conn.RemoteAddr().String()
	}}
	c.ws, _, err = websocket.Dial(httptrace.WithClientTrace(ctx, trace), url, d.options())
	if err != nil {
		if strings.Contains(err.Error(), "malformed HTTP response") { // net/http has no name for it
			err = fmt.Errorf("this is no WebSocket server; perhaps it is a packet port, for packetlink.Dialer: %w", err)
		}
		return nil, fmt.Errorf("call server at %s: %w", address, err)
	}
	c.ws.SetReadLimit(int64(cmp.Or(d.MessageSize, parlor.MaxMessageSize)))
	c.pinging.Go(func() { c.keepalive(cmp.Or(d.PingInterval, 20*time.Second)) }) // ends with Close
	return c, nil
}

// addressURL completes an address to a URL.
func addressURL(address string) (string, error) {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "ws", address
	}
	if scheme == "tcp" || scheme == "tls" || strings.HasPrefix(address, "unix:") {
		return "", fmt.Errorf("address %q: this is one of the packet wire, for packetlink.Dialer; for WebSocket the scheme must be ws:// or wss://", address)
	}
	if scheme != "ws" && scheme != "wss" {
		return "", fmt.Errorf("address %q: the scheme must be ws:// or wss://", address)
	}
	host, path, _ := strings.Cut(rest, "/")
	if host == "" || host[0] == ':' && net.ParseIP(host) == nil {
		return "", fmt.Errorf("address %q: it names no host; try localhost or localhost:%d", address, parlor.DefaultPort)
	}
	if ip := net.ParseIP(host); ip != nil && strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil || port == "" {
		port = strconv.Itoa(parlor.DefaultPort)
		name, _, err = net.SplitHostPort(strings.TrimSuffix(host, ":") + ":" + port)
	}
	if err != nil || name == "" {
		return "", fmt.Errorf("address %q: this is no HOST or HOST:PORT; try localhost:%d, or [::1]:%[2]d for an IPv6 address", address, parlor.DefaultPort)
	}
	return scheme + "://" + net.JoinHostPort(name, port) + "/" + path, nil
}

// clientConn is the client's end.
type clientConn struct {
	ws     *websocket.Conn
	nc     net.Conn // below ws; nil in a browser
	key    *box.Key
	tunnel *box.Tunnel
	remote string

	pgnetOnly bool
	channel   *box.Channel // of the native wire, once the login was answered; Write seals and Read opens

	ended   context.Context // ends with Close or Abort
	end     context.CancelFunc
	pinging sync.WaitGroup
}

// Remote is the server's IP:PORT.
func (c *clientConn) Remote() string { return c.remote }

// Handshake trades keys (section 5.2). As in pgnet's client, status and flags of the answer are not looked
// at if it has a key.
func (c *clientConn) Handshake(ctx context.Context) (string, error) {
	text, err := parlor.Packet{
		Message:   parlor.MessageKeyTrade,
		Payload:   parlor.Encode(parlor.Map{"pubkey": c.key.Public()}),
		CreatedOn: parlor.Timestamp(time.Now()),
	}.AppendJSON(nil)
	if err != nil {
		return "", err
	}
	if err := c.ws.Write(ctx, websocket.MessageText, text); err != nil {
		return "", ended(err)
	}
	_, text, err = c.ws.Read(ctx)
	if err != nil {
		return "", ended(err)
	}
	r, err := parlor.DecodeResponse(text)
	if err != nil {
		return "", err
	}
	v, _ := r.Payload.Get("pubkey")
	key, _ := v.(string)
	if key == "" {
		return "", link.ErrNoServerKey
	}
	if c.tunnel, err = c.key.Tunnel(key); err != nil {
		return "", fmt.Errorf("%w: %w", link.ErrMalformedKey, err)
	}
	return key, nil
}

// Send seals and writes one packet.
func (c *clientConn) Send(ctx context.Context, p parlor.Packet) error {
	text, err := p.AppendJSON(nil)
	if err != nil {
		return err
	}
	if len(text) > parlor.MaxMessageSize*3/4-box.Overhead {
		return link.ErrTooLarge
	}
	nonce := box.Nonce()
	frame := c.tunnel.Append(make([]byte, 0, box.SealedLen(len(text))), text, &nonce)
	return ended(c.ws.Write(ctx, websocket.MessageText, frame))
}

// Receive waits for a response, and opens it.
func (c *clientConn) Receive(ctx context.Context) (parlor.Response, error) {
	kind, frame, err := c.ws.Read(ctx)
	if err != nil {
		return parlor.Response{}, ended(err)
	}
	if kind != websocket.MessageText {
		return parlor.Response{}, link.ErrUndecryptable
	}
	text, _, err := c.tunnel.Open(nil, frame)
	if err != nil {
		return parlor.Response{}, fmt.Errorf("%w: %w", link.ErrUndecryptable, err)
	}
	return parlor.DecodeResponse(text)
}

// Close ends the connection with code 1000.
func (c *clientConn) Close() error {
	c.end()
	c.close(websocket.StatusNormalClosure, "")
	c.pinging.Wait()
	return nil
}

// close sends a close frame and gives the other side a second to answer it, as pgnet's client does.
func (c *clientConn) close(code websocket.StatusCode, reason string) {
	closed := make(chan struct{})
	go func() { // ends with the connection
		c.ws.Close(code, reason)
		close(closed)
	}()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		if c.nc != nil { // CloseNow would wait for the Close under way
			c.nc.Close()
			<-closed
		}
	}
}

// ended adds net.ErrClosed to the error of a connection that was closed by either side, and how the other side has closed it.
func ended(err error) error {
	if err == nil {
		return nil
	}
	var frame websocket.CloseError
	if errors.As(err, &frame) {
		return fmt.Errorf("%w: %w: %w", net.ErrClosed, &link.CloseError{Code: link.Code(frame.Code), Reason: frame.Reason}, err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", net.ErrClosed, err)
	}
	return err
}
