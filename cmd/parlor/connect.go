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

ADDRESS is HOST, HOST:PORT, or a ws:// or wss:// URL of a lobby; the default is localhost:38929. Packet servers and
unix sockets are for parlor ping alone.

Each line is a request:  MESSAGE;KEY=VALUE;KEY=VALUE...
  .help                           a dot stands for __pgnet__. and TAB completes what follows
  .create_game;name=chess         values are True, False, numbers, or else text
  .create_game;name=x;kind=tictactoe   on a server with several kinds of game
  .join_game;name="123"           in double quotes everything is text; \" and \\ stand for " and \
  hello                           anything else goes to the game you are in
  quit                            ends, as does the end of the input

Answers go to standard output; what else happens goes to standard error. Lines may come from a pipe.

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

	heartbeats bool

	password      string
	passwordGiven bool // also an empty one

	dialer link.Dialer // nil: WebSocket
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
			if err := host.BindEnv(cmd); err != nil {
				return err
			}
			o.passwordGiven = cmd.Flags().Changed("password")
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
	f.BoolVar(&o.heartbeats, "heartbeats", false, "print the answers to heartbeats, by which games tell their news, whenever they change")
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
	var onHeartbeat func(parlor.Response)
	if o.heartbeats {
		last := ""
		onHeartbeat = func(beat parlor.Response) {
			if text := beat.Message + " " + beat.Payload.String(); text != last {
				last = text
				c.tell("HEARTBEAT", text)
			}
		}
	}
	dialer := o.dialer
	if dialer == nil {
		dialer = quietDialer()
	}
	cl, err := client.Dial(ctx, o.address, client.Config{
		Username: o.user, Password: o.password, InviteCode: o.invite, ServerKey: o.pubkey,
		Dialer:       dialer,
		OnStatus:     func(status string) { c.tell("STATUS", status) },
		OnConnection: func(connected bool) { c.tell("CONNECTION", pythonBool(connected)) },
		OnGame:       func(game string) { c.tell("GAME", orNone(game)) },
		OnHeartbeat:  onHeartbeat,
		Logger:       logger,
		Reconnect:    client.Reconnect{For: -1}, // the console ends with its connection, and says why
	})
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
	return (&talk{console: c, client: cl}).run(ctx)
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
	if o.local {
		return o.makeLocal(logger)
	}
	if o.address == "" {
		o.address = fmt.Sprintf("localhost:%d", parlor.DefaultPort)
	}
	if err := checkLobbyAddress(o.address); err != nil {
		return err
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
	*console
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
			fmt.Fprintln(t.news, visibleLines(err))
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

// exchange sends a request, and waits for the answer. Ended tells that the request has ended the server.
func (t *talk) exchange(ctx context.Context, p parlor.Packet) (ended bool, err error) {
	p.CreatedOn = parlor.Timestamp(time.Now())
	answered := make(chan answer, 1)
	err = t.client.Send(p, func(r parlor.Response, err error) { answered <- answer{r, err} })
	if errors.Is(err, client.ErrNotConnected) {
		return false, lostError(t.client.Wait())
	}
	if err != nil {
		return false, fmt.Errorf("send %q: %w", p.Message, err)
	}
	if err := t.print(appendRequest(nil, p)); err != nil {
		return false, err
	}
	var a answer
	select {
	case a = <-answered:
	case <-ctx.Done():
		return false, errInterrupted
	}
	var lost *client.DisconnectedError
	switch {
	case errors.As(a.err, &lost):
		return false, lostError(lost)
	case errors.Is(a.err, link.ErrTooLarge):
		fmt.Fprintln(t.news, "Not sent: the request is larger than a server takes; send less at once")
		return false, nil
	case a.err != nil:
		return false, fmt.Errorf("send %q: %w", p.Message, a.err)
	}
	if err := t.print(appendAnswer(nil, a.response, time.Now())); err != nil {
		return false, err
	}
	if hint := answerHint(p, a.response); hint != "" {
		t.tell("HINT", hint)
	}
	if p.Message == parlor.RequestShutdown && a.response.Status == parlor.StatusOK {
		return t.awaitShutdown(ctx), nil
	}
	if a.response.Disconnecting {
		return false, lostError(t.client.Wait()) // the client disconnects; the end of the input shall not hide it
	}
	return false, nil
}

// shutdownWait is how long a server that has agreed to shut down is given to do so.
const shutdownWait = 5 * time.Second

// awaitShutdown waits for the end of a server, which is no loss of the connection: it was asked for.
func (t *talk) awaitShutdown(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, shutdownWait)
	defer cancel()
	select {
	case <-t.client.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *talk) print(text []byte) error {
	if _, err := t.answers.Write(text); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
