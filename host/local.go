package host

import (
	"context"
	"errors"
	"fmt"
	"net"

	"parlor"
	"parlor/box"
	"parlor/client"
	"parlor/link"
	"parlor/link/memlink"
	"parlor/server"
	"parlor/store"
)

// Local is a client whose server runs in the process: no socket is opened. It blocks until the client is
// logged in. The server pushes to it ([client.Config.OnPush]). The server ends when the client's connection has ended, and the client's end waits for it
// (defect 7); connecting again starts it again, with the users and persistent games that it had. The client
// verifies the server's key. Dialer and ServerKey of cfg are set here, and so is the password, if the user is
// admin and none is given. Errors are those of client.Dial, and of a server that cannot be made.
func Local(ctx context.Context, newGame parlor.NewGame, cfg client.Config) (*client.Client, error) {
	if newGame == nil {
		return nil, errors.New("local game: the function that makes it is nil")
	}
	d, err := NewLocal(server.Config{Games: map[string]parlor.NewGame{"game": newGame}, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	if cfg.Username == parlor.AdminName && cfg.Password == "" {
		cfg.Password = d.AdminPassword()
	}
	cfg.Dialer, cfg.ServerKey = d, d.key.Public()
	return client.Dial(ctx, "local://", cfg)
}

// LocalDialer starts a server in the process for each connection that is dialed, and ends it with the
// connection. It is safe for concurrent use, but for a store of the caller's own, which one server at a time
// may have.
type LocalDialer struct {
	cfg server.Config
	key *box.Key
}

// NewLocal makes a dialer for a server of the given configuration. An empty AdminPassword is made up, and a
// Store that is nil keeps things in memory from one connection to the next. The Store is not closed.
func NewLocal(cfg server.Config) (*LocalDialer, error) {
	key, err := box.NewKey()
	if err != nil {
		return nil, err
	}
	if cfg.AdminPassword == "" {
		cfg.AdminPassword = newPassword()
	}
	if cfg.Store == nil {
		cfg.Store = &store.Memory{}
	}
	cfg.PublicKey = key.Public()
	return &LocalDialer{cfg: cfg, key: key}, nil
}

// AdminPassword is the administrator's password of the local servers.
func (d *LocalDialer) AdminPassword() string { return d.cfg.AdminPassword }

// PublicKey is the key of the local servers.
func (d *LocalDialer) PublicKey() string { return d.key.Public() }

// Dial starts a server and connects to it. The address is not looked at. It blocks while saved games are
// made again, for ten seconds at most.
func (d *LocalDialer) Dial(ctx context.Context, address string) (link.Conn, error) {
	srv, err := server.New(d.cfg)
	if err != nil {
		return nil, fmt.Errorf("start local server: %w", err)
	}
	c := &localConn{srv: srv, done: make(chan struct{})}
	go func() { // ends with Close
		defer close(c.done)
		_, c.err = srv.Run(context.Background())
	}()
	conn, err := memlink.Dialer{Lobby: srv, ServerKey: d.key.Public()}.Dial(ctx, address)
	if err != nil {
		srv.Shutdown(0)
		<-c.done
		return nil, err
	}
	c.StreamConn = conn.(link.StreamConn)
	return c, nil
}

// localConn is a connection with its own server, which does not outlive it: so there is never a session to come back
// to, and every end is on purpose.
type localConn struct {
	link.StreamConn
	srv  *server.Server
	done chan struct{}
	err  error // of Run; set before done is closed
}

// Read is that of the link.
func (c *localConn) Read(ctx context.Context) ([]link.Envelope, error) {
	list, err := c.StreamConn.Read(ctx)
	return list, final(err)
}

// Write is that of the link.
func (c *localConn) Write(ctx context.Context, e ...*link.Envelope) error {
	return final(c.StreamConn.Write(ctx, e...))
}

// final makes the end of a link that of its session.
func final(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%w: %w", &link.CloseError{Code: link.CloseNormal, Reason: "a local server ends with its connection"}, err)
	}
	return err
}

// Abort ends the connection and the server.
func (c *localConn) Abort() {
	c.StreamConn.Close()
	c.srv.Shutdown(0)
}

// Close ends the connection and the server, and waits for both.
func (c *localConn) Close() error {
	err := c.StreamConn.Close()
	c.srv.Shutdown(0)
	<-c.done
	return errors.Join(err, c.err)
}
