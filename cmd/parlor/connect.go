package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/client"
	chat "parlor/examples/chat/game"
	"parlor/host"
	"parlor/link"
	"parlor/server"
)

const connectHelp = `Talk to a server, as a developer or administrator.

ADDRESS is HOST, HOST:PORT, or a ws:// or wss:// URL of a lobby; the default is localhost:38929. Addresses of a lobby's
packet wire are tcp://HOST:PORT, tls://HOST:PORT and unix:/PATH, or with --wire packet HOST and HOST:PORT; its default
port is 38930. Packet servers of other kinds are for parlor ping alone.

Each line is a request:  MESSAGE;KEY=VALUE;KEY=VALUE...
  .help                           a dot stands for __pgnet__. and TAB completes what follows, and __parlor__. too
  .create_game;name=chess         values are True, False, numbers, or else text
  .create_game;name=board;kind=tictactoe   on a server with several kinds of game
  .join_game;name="123"           in double quotes everything is text; \" and \\ stand for " and \
  hello                           anything else goes to the game you are in
  quit                            ends, as does the end of the input

Answers go to standard output; what else happens goes to standard error, as PUSH what the game says by itself, and as
LOBBY what the lobby does: try __parlor__.subscribe. Lines may come from a pipe.

On the native and the packet wire a lost connection is not the end at a terminal: it comes back by itself, to the same
session and seat if the server still has it, for --reconnect long. Lines wait until then (WAITING in place of SENT). Nothing is sent twice, and no game is
joined again by itself. Scripts end with their connection, unless --reconnect is given.

The exit code is 0 after quit, the end of the input or a shutdown that was asked for here, whatever the answers
were, and 1 after an error: no connection, a refused login, a lost connection, a signal.

Every flag may also be given in the environment: --user as PARLOR_USER, and so on. Prefer PARLOR_PASSWORD, or
the prompt for it, to --password, which other users of this machine can see.`

// connectOptions say where to connect, and as whom.
type connectOptions struct {
	address string
	user    string
	pubkey  string
	invite  string
	local   bool

	wire           string // one of wires; "" is auto
	tls            tlsOptions
	packetInsecure bool // logs in on the packet wire without TLS, to other machines too

	heartbeats bool
	pushes     bool
	reconnect  time.Duration // how long to try; 0: not at all
	usual      bool          // reconnect was not given

	password      string
	passwordGiven bool // also an empty one

	dialer link.Dialer // nil: as wire and address say
}

func connectCommand() *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:   "connect [ADDRESS]",
		Short: "Talk to a server, as a developer or administrator",
		Long:  connectHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("unexpected argument %q: there is one address only; see %s --help", args[1], cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			keyGiven := cmd.Flags().Changed("key")
			if err := host.BindEnv(cmd); err != nil {
				return err
			}
			o.tls.settle(cmd, keyGiven)
			o.passwordGiven, o.usual = cmd.Flags().Changed("password"), !cmd.Flags().Changed("reconnect")
			if o.reconnect < 0 {
				return fmt.Errorf("--reconnect %v: it must be positive, such as 5m, or 0 for not at all", o.reconnect)
			}
			if len(args) > 0 {
				o.address = args[0]
			}
			c := newConsole(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			defer c.close()
			return connect(cmd.Context(), c, o)
		},
	}
	cmd.SetFlagErrorFunc(host.FlagError)
	f := cmd.Flags()
	f.StringVar(&o.user, "user", "", "user name; asked for if input is a terminal")
	f.StringVar(&o.password, "password", "", "password; asked for if input is a terminal")
	f.StringVar(&o.invite, "invite", "", "invite code, to register where registration is off")
	f.StringVar(&o.pubkey, "pubkey", "", "public key that the server must have, as it prints at its start")
	f.StringVar(&o.wire, "wire", wireAuto, "how to talk: native, pgnet or packet; auto is native if the server knows it, else pgnet, and packet at tcp://, tls:// and unix:")
	f.BoolVar(&o.pushes, "pushes", true, "print what the server pushes; --pushes=false if that is too much")
	f.BoolVar(&o.heartbeats, "heartbeats", false, "ask for news with heartbeats also where the server pushes, and print the answers whenever they change")
	f.DurationVar(&o.reconnect, "reconnect", 0, "how long to try to get a lost connection back (default: 5m0s at a terminal; 0s, not at all, otherwise)")
	f.BoolVar(&o.packetInsecure, "packet-insecure", false, "log in on the packet wire without TLS beyond the loopback too: the password crosses the network in clear")
	o.tls.flags(f)
	f.BoolVar(&o.local, "local", false, "talk to a server with the game chat in this process, as admin; nothing is saved")
	return cmd
}

// connect logs in and takes requests until the input ends.
func connect(ctx context.Context, c *console, o connectOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(slog.NewTextHandler(c.news, &slog.HandlerOptions{Level: slog.LevelWarn}))
	err := o.complete(c, logger)
	if errors.Is(err, io.EOF) {
		return errors.New("no user name: the input ended at the prompt; give --user NAME or PARLOR_USER")
	}
	if err != nil {
		return err
	}
	n := newNews(c)
	cfg := client.Config{
		Username: o.user, Password: o.password, InviteCode: o.invite, ServerKey: o.pubkey,
		Dialer:    o.dialer,
		Logger:    logger,
		Reconnect: client.Reconnect{For: o.patience(c)},
	}
	n.config(&cfg, o)
	cl, err := client.Dial(ctx, o.address, cfg)
	if err != nil {
		return loginError(ctx, o, err)
	}
	defer func() {
		cl.Disconnect()
		_ = cl.Wait() // for the last news
	}()
	if c.editor != nil {
		if err := c.editor.raw(); err != nil {
			return err
		}
	}
	return (&talk{news: n, client: cl}).run(ctx)
}

// patience is how long to try to get a lost connection back: at a terminal somebody sees what happens, but a script's next line
// counts on the session that it had.
func (o *connectOptions) patience(c *console) time.Duration {
	switch {
	case o.usual && c.editor != nil && !o.local:
		return 0 // the client's default
	case o.reconnect == 0:
		return -1
	}
	return o.reconnect
}

func (c *console) tell(what, text string) {
	_, _ = c.news.Write(appendEvent(nil, what, text)) // there is nowhere to report that standard error is gone
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

func orNone(game string) string {
	if game == "" {
		return "None"
	}
	return game
}

// complete fills in what was not given: it asks at a terminal, and makes the server of --local.
func (o *connectOptions) complete(c *console, logger *slog.Logger) error {
	if err := o.route(logger); err != nil {
		return err
	}
	if o.local {
		return o.makeLocal(logger)
	}
	if c.editor == nil {
		if o.user == "" {
			return errors.New("no user name: give --user NAME or PARLOR_USER, and PARLOR_PASSWORD if the user has a password; " +
				"there is a prompt on a terminal only")
		}
		return nil
	}
	return o.ask(c.editor)
}

// ask asks for the name and the password that were not given (section 14).
func (o *connectOptions) ask(e *editor) (err error) {
	if err := e.raw(); err != nil {
		return err
	}
	defer e.cook() // so that Ctrl-C ends a connect that takes long
	if o.user == "" {
		if o.user, err = e.question("Enter username (leave blank for " + parlor.AdminName + "): "); err != nil {
			return err
		}
		if o.user == "" {
			o.user = parlor.AdminName
		}
	}
	if !o.passwordGiven {
		o.password, err = e.secret("Enter password for " + visible(o.user) + " (leave blank for none): ")
	}
	return err
}

// makeLocal makes a server in this process, and connects as its administrator if no other user was given.
func (o *connectOptions) makeLocal(logger *slog.Logger) error {
	if o.address != "" {
		return fmt.Errorf("--local has a server of its own: leave out the address %q, or --local", o.address)
	}
	if o.user == "" {
		o.user = parlor.AdminName
	}
	cfg := server.Config{Games: map[string]parlor.NewGame{"chat": chat.New}, Logger: logger}
	if o.user == parlor.AdminName {
		cfg.AdminPassword = o.password // made up if empty
	}
	d, err := host.NewLocal(cfg)
	if err != nil {
		return fmt.Errorf("start local server: %w", err)
	}
	if o.user == parlor.AdminName {
		o.password = d.AdminPassword()
	}
	o.dialer, o.pubkey, o.address = d, d.PublicKey(), "local://"
	return nil
}

// talk is a connected client and who talks to it.
type talk struct {
	*news
	client *client.Client
}

// run takes lines until the input ends, the connection is lost, or ctx ends.
func (t *talk) run(ctx context.Context) error {
	for {
		line, err := t.next(ctx, t.client.Done())
		switch {
		case errors.Is(err, io.EOF), err == nil && line == "quit":
			return nil
		case errors.Is(err, errStopped):
			return lostError(t.client.Wait())
		case err != nil:
			return err
		}
		p, err := parseLine(line)
		if err != nil {
			fmt.Fprintln(t.console.news, visibleLines(err))
			continue
		}
		if ended, err := t.exchange(ctx, p); ended || err != nil {
			return err
		}
	}
}

// answer is what comes of a request.
type answer struct {
	response parlor.Response
	err      error
}

// exchange sends a request, and waits for the answer. Ended tells that the request has ended the server, or that the input
// has ended.
func (t *talk) exchange(ctx context.Context, p parlor.Packet) (ended bool, err error) {
	p.CreatedOn = parlor.Timestamp(time.Now())
	t.expectEnd(p.Message == parlor.RequestShutdown)
	answered := make(chan answer, 1)
	linked := t.client.Linked()
	err = t.client.Send(p, func(r parlor.Response, err error) { answered <- answer{r, err} })
	if errors.Is(err, client.ErrNotConnected) {
		return false, lostError(t.client.Wait())
	}
	if err != nil {
		return false, fmt.Errorf("send %q: %w", p.Message, err)
	}
	if err := t.print(appendRequest(nil, p, linked)); err != nil {
		return false, err
	}
	a, err := t.await(ctx, p, answered)
	if err != nil {
		return true, err
	}
	var lost *client.DisconnectedError
	switch {
	case errors.As(a.err, &lost) && lost.Reason == client.ReasonSessionLost:
		t.unanswered(p.Message, errors.Is(lost, client.ErrUncertain))
		return false, nil
	case errors.As(a.err, &lost):
		return false, lostError(lost)
	case errors.Is(a.err, link.ErrTooLarge):
		fmt.Fprintln(t.console.news, "Not sent: the request is larger than a server takes; send less at once")
		return false, nil
	case a.err != nil:
		return false, fmt.Errorf("send %q: %w", p.Message, a.err)
	}
	if err := t.print(appendAnswer(nil, a.response, time.Now())); err != nil {
		return false, err
	}
	t.noteSubscription(p.Message, a.response.Status)
	if hint := answerHint(p, a.response, t.client.Streams()); hint != "" {
		t.tell("HINT", hint)
	}
	if p.Message == parlor.RequestShutdown && a.response.Status == parlor.StatusOK {
		return t.awaitShutdown(ctx), nil
	}
	t.stopping.Store(false)
	if a.response.Disconnecting {
		return false, lostError(t.client.Wait()) // the client disconnects; the end of the input shall not hide it
	}
	return false, nil
}

const (
	// slowAfter is how long an answer may take before that is told. On pgnet's wire the connection ends then.
	slowAfter = 5 * time.Second
	// lastWait is how long the answer to the last request is waited for when a terminal's input has ended meanwhile.
	lastWait = time.Second
)

// await waits for an answer. At a terminal the next line may be typed meanwhile, and Ctrl-C or Ctrl-D ends the waiting: at
// once while there is no connection.
func (t *talk) await(ctx context.Context, p parlor.Packet, answered <-chan answer) (answer, error) {
	var typed <-chan input
	if t.editor != nil && t.early == nil {
		t.want()
		typed = t.lines
	}
	slow := time.NewTimer(slowAfter)
	defer slow.Stop()
	for {
		select {
		case a := <-answered:
			return a, nil
		case in := <-typed:
			t.asked, t.early, typed = false, &in, nil
			if in.err != nil && !t.up.Load() {
				return answer{}, errInterrupted
			}
			if in.err != nil {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, lastWait)
				defer cancel()
			}
		case <-slow.C:
			if t.up.Load() {
				t.tell("WAITING", fmt.Sprintf("no answer to %s after %v; Ctrl-C ends the waiting", p.Message, slowAfter))
			} else {
				t.tell("WAITING", p.Message+" waits for the connection; Ctrl-C ends the waiting")
			}
		case <-ctx.Done():
			return answer{}, errInterrupted
		}
	}
}

// shutdownWait is how long a server that has agreed to shut down is given to do so.
const shutdownWait = 5 * time.Second

// awaitShutdown waits for the end of a server, which is no loss of the connection: it was asked for, and nobody wants it back.
func (t *talk) awaitShutdown(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	select {
	case <-t.lost:
		return true
	case <-t.client.Done():
		return true
	case <-ctx.Done():
		t.stopping.Store(false)
		return false
	}
}

func (t *talk) print(text []byte) error {
	if _, err := t.answers.Write(text); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
