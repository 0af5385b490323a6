package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/client"
	"parlor/host"
	"parlor/store"
)

// accounts are the users and invite codes of a server: of one that is stopped, in its store, or of one that runs, by the requests of its
// administrator.
type accounts interface {
	listUsers(ctx context.Context, each func(userRow) error) error
	addUser(ctx context.Context, name, password string) error
	setPassword(ctx context.Context, name, password string) error
	deleteUser(ctx context.Context, name string) error

	listInvites(ctx context.Context) ([]inviteRow, error)
	// createInvite makes a code that is good for a time; negative is the server's, 0 for ever.
	createInvite(ctx context.Context, user string, uses int, life time.Duration) (code string, err error)
	revokeInvite(ctx context.Context, code string) error

	close() error
}

// userRow is a user, as --json prints her.
type userRow struct {
	Number    int64  `json:"number"`
	Username  string `json:"username"`
	Connected *bool  `json:"connected,omitempty"` // nil where that cannot be known
}

// inviteRow is an invite code, as --json prints it.
type inviteRow struct {
	Code     string `json:"code"`
	Username string `json:"username,omitempty"` // whom it is for; empty: for anybody
	Uses     int    `json:"uses"`               // how many may still register with it
	Expires  int64  `json:"expires,omitempty"`  // in seconds since 1970; 0 is never
}

// accountsOptions say where they are.
type accountsOptions struct {
	store   string
	connect connectOptions
}

const accountsHelp = `

Without --connect this works on the store of --store. A server may have that while it is looked at; to change something, the
server must be stopped, or be asked itself: with --connect ADDRESS, which is as for parlor connect, and the administrator's
password in PARLOR_ADMIN_PASSWORD, or at a prompt.`

// flags are these for a command.
func (o *accountsOptions) flags(cmd *cobra.Command) {
	host.StoreFlag(cmd, &o.store)
	f := cmd.Flags()
	f.StringVar(&o.connect.address, "connect", "", "in place of --store: address of a server that runs, such as localhost:38929")
	f.StringVar(&o.connect.password, "admin-password", "", "password of the user admin there; asked for if input is a terminal")
	f.StringVar(&o.connect.pubkey, "pubkey", "", "public key that the server must have, as it prints at its start")
	f.BoolVar(&o.connect.packetInsecure, "packet-insecure", false, "log in on the packet wire without TLS beyond the loopback too: the password crosses the network in clear")
	o.connect.tls.flags(f)
}

// accountsCommand is a command that works on accounts; changes tells whether it changes them.
func accountsCommand(cmd *cobra.Command, changes bool, run func(ctx context.Context, cmd *cobra.Command, args []string, all accounts) error) *cobra.Command {
	var o accountsOptions
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given := cmd.Flags().Changed
		storeGiven, keyGiven := given("store"), given("key")
		if storeGiven && given("connect") {
			return errors.New("--store and --connect: give one of them")
		}
		if err := host.BindEnv(cmd); err != nil {
			return err
		}
		if storeGiven {
			o.connect.address = "" // that of the environment is of another server than the one that is meant
		}
		o.connect.tls.settle(cmd, keyGiven)
		o.connect.passwordGiven = given("admin-password")
		ctx, stop := untilSignal(cmd)
		defer stop()
		all, err := o.open(ctx, cmd, changes)
		if err != nil {
			return err
		}
		return errors.Join(run(ctx, cmd, args, all), all.close())
	}
	cmd.Long += accountsHelp
	o.flags(cmd)
	return cmd
}

func (o *accountsOptions) open(ctx context.Context, cmd *cobra.Command, changes bool) (accounts, error) {
	if o.connect.address != "" {
		return o.dial(ctx, cmd)
	}
	st, err := host.ReadStore(ctx, o.store)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("%w: a server makes one when it starts; name another place with --store, or a server that runs with --connect", err)
	}
	if err != nil || !changes {
		return stored{st}, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	st, err = host.OpenStore(ctx, o.store, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("%w; to change something while that one runs, give the address at which it listens in place of --store, as in --connect localhost:%d", err, parlor.DefaultPort)
	}
	return stored{st}, err
}

// dial logs in as the administrator.
func (o *accountsOptions) dial(ctx context.Context, cmd *cobra.Command) (accounts, error) {
	c := &o.connect
	c.user = parlor.AdminName
	logger := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	if err := c.route(logger); err != nil {
		return nil, err
	}
	if !c.passwordGiven {
		console := newConsole(cmd.InOrStdin(), io.Discard, cmd.ErrOrStderr())
		if console.editor == nil {
			return nil, errors.New("no administrator's password: give PARLOR_ADMIN_PASSWORD; there is a prompt on a terminal only")
		}
		var err error
		if c.password, err = console.editor.hidden(ctx, "Password of admin at "+visible(c.address)+": "); err != nil {
			return nil, err
		}
	}
	cl, err := client.Dial(ctx, c.address, client.Config{
		Username: c.user, Password: c.password, ServerKey: c.pubkey, Dialer: c.dialer, Logger: logger, Reconnect: client.Reconnect{For: -1},
	})
	if err != nil {
		return nil, administratorError(loginError(ctx, *c, err))
	}
	if !cl.Streams() {
		return nil, errors.Join(fmt.Errorf("%s speaks pgnet's wire only, which has no requests for this", visible(c.address)), cl.Close())
	}
	return running{cl}, nil
}

// administratorError has the hint name what these commands take the password from.
func administratorError(err error) error {
	var e *connectError
	switch errors.As(err, &e); {
	case e == nil:
	case e.hint == refusalHints[textPassword]:
		e.hint = "give the administrator's with PARLOR_ADMIN_PASSWORD: " + adminPasswordHint
	case strings.HasPrefix(e.hint, nobodyHint):
		e.hint = nobodyHint + ", or leave out --connect if it is stopped, and name its store with --store"
	}
	return err
}

// printRows prints rows as a table, or with --json as one object a line.
func printRows[T any](out io.Writer, asJSON bool, head string, rows []T, cells func(T) []any) error {
	if asJSON {
		enc := json.NewEncoder(out)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		for i, cell := range cells(r) {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, visible(fmt.Sprint(cell)))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// oneName is the Args of a command that takes one argument of a kind.
func oneName(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("one %s is needed, and here are %d; see %s --help", what, len(args), cmd.CommandPath())
		}
		return nil
	}
}

// family is a command that has others.
func family(name, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: name, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range commands {
				names = append(names, c.Name())
			}
			return fmt.Errorf("unknown command %q: try %s; see %s --help", args[0], strings.Join(names, ", "), cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}
