package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"parlor"
	"parlor/link/packetlink"
)

// ExitError is how a command asks for an exit code without a message.
type ExitError int

func (e ExitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main makes a game a server program with the flags of "parlor serve", which may also be given in the
// environment (PARLOR_LISTEN, ...). SIGINT and SIGTERM end it in order; a second signal ends it at once. It
// does not return: the exit code is 0 after an orderly end, and 1 after an error, which is printed to standard
// error. Programs that want a code of their own, such as -1 for a restart, use [Start].
func Main(newGame parlor.NewGame) {
	cmd := ServeCommand(map[string]parlor.NewGame{"game": newGame}, "game")
	cmd.Use = filepath.Base(os.Args[0])
	os.Exit(Execute(cmd))
}

// Execute runs a command of a program and returns its exit code. Errors are printed to standard error.
func Execute(cmd *cobra.Command) (exitCode int) {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	var exit ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", cmd.Root().Name(), err)
	return 1
}

// ServeCommand is the command that serves games of these kinds, as Main does. The default kind must be one
// of them.
func ServeCommand(games map[string]parlor.NewGame, defaultKind string) *cobra.Command {
	cfg := Config{Games: games, DefaultKind: defaultKind}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Host games for any number of users until Ctrl-C",
		Long: "Host games for any number of users until Ctrl-C.\n\n" +
			"Every flag may also be given in the environment: --admin-password as PARLOR_ADMIN_PASSWORD, and so on. Prefer\n" +
			"that for the password: flags can be seen by other users of this machine, with ps for example.",
		Args: NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := BindEnv(cmd); err != nil {
				return err
			}
			if _, known := games[cfg.DefaultKind]; !known && len(games) > 1 {
				if cfg.DefaultKind == "" {
					return fmt.Errorf("there are several kinds of game and no default kind: give --game, one of %s", kinds(games))
				}
				return fmt.Errorf("--game %s: there is no such game; try one of %s", cfg.DefaultKind, kinds(games))
			}
			switch {
			case cfg.SaveFile != "" && !cmd.Flags().Changed("store"):
				cfg.Store = "" // it is the default
			case cfg.SaveFile == "" && cfg.Store == "":
				return fmt.Errorf("--store is empty: give a folder such as %s, postgres://USER@HOST/DATABASE, or memory", DefaultStore)
			}
			if cfg.ResumeWindow == 0 {
				cfg.ResumeWindow = -1 // in a Config 0 is the default
			}
			cfg.Out = cmd.OutOrStdout()
			return serve(cmd.Context(), cfg)
		},
	}
	cmd.SetFlagErrorFunc(FlagError)
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", fmt.Sprintf("localhost:%d", parlor.DefaultPort), "address to listen at; :38929 is all interfaces")
	f.StringVar(&cfg.PacketListen, "packet-listen", "", fmt.Sprintf("address to listen at for the packet wire too, such as localhost:%d or unix:/PATH (default: nowhere)", packetlink.DefaultPort))
	f.BoolVar(&cfg.PacketInsecure, "packet-insecure", false, "take logins of the packet wire without TLS from beyond the loopback too: passwords cross the network in clear")
	f.StringVar(&cfg.AdminPassword, "admin-password", "", "password of the user admin, in place of the one that the store has; without either, it is made up and shown, on the loopback only")
	f.BoolVar(&cfg.NoRegistration, "no-registration", false, "let new users in by invite code only (without it, a store that has registration off keeps it off)")
	f.BoolVar(&cfg.RequirePassword, "require-password", false, "refuse new users without a password")
	f.BoolVar(&cfg.NoAutoCreate, "no-auto-create", false, "refuse to join a game that does not exist, instead of creating it")
	f.BoolVar(&cfg.Takeover, "takeover", false, "let a login with the right password take the seat of a user who is connected; a session on pgnet's wire ends for it")
	StoreFlag(cmd, &cfg.Store)
	f.Lookup("store").Usage += "; memory ends with the server"
	f.BoolVar(&cfg.Standby, "standby", false, "while another server has the store, wait, and take over when that has ended")
	f.StringVar(&cfg.SaveFile, "save", "", "in place of --store: file to keep users, invites and games in (pgnet's format); its key, lock and previous version stand beside it")
	f.StringVar(&cfg.KeyFile, "key", "", "file to keep the server's key in (default: server.key in the store's folder, or SAVE.key)")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "certificate file, for wss:// and the packet wire")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "key file of the certificate")
	f.DurationVar(&cfg.Autosave, "autosave", 0, "how often games are saved, such as 30s or 5m (default 5m0s)")
	f.IntVar(&cfg.SaveEvery, "save-every", 0, "after how many entries of its journal a durable game is saved besides, or 4 MiB of them (default 1000)")
	f.BoolVar(&cfg.KeepJournals, "keep-journals", false, "keep all of the journals of durable games, as recordings, and not only what is behind their saves")
	f.Var(&cfg.Divergence, "divergence", "what becomes of a durable game that does not do again what its journal says: read-only, or from-save to go on from its newest save")
	f.StringSliceVar(&cfg.TrustedProxies, "trusted-proxy", nil, "address or network of a reverse proxy whose X-Forwarded-For is believed")
	f.StringSliceVar(&cfg.Origins, "allow-origin", nil, "web origin whose pages may connect (default: all)")
	f.IntVar(&cfg.Wire.Connections, "max-connections", 0, "connections at once (default 100000, or what open files allow)")
	f.IntVar(&cfg.Limits.Users, "max-users", 0, "registered users (default 1000000)")
	f.IntVar(&cfg.Limits.RegistrationBurst, "max-network-users", 0, "new users of one network at once, then one every ten seconds; the loopback, and a proxy that is not trusted there, is not bound (default 200)")
	f.IntVar(&cfg.Limits.Games, "max-games", 0, "games at once (default 10000)")
	f.IntVar(&cfg.Limits.GamesPerUser, "max-user-games", 0, "games created by one user (default 100)")
	f.IntVar(&cfg.Limits.SavesSize, "max-saves", 0, "bytes of the saves of all games (default 67108864)")
	f.DurationVar(&cfg.Limits.InviteLife, "invite-life", 0, "how long an invite code is good; negative is for ever (default 720h)")
	f.DurationVar(&cfg.ResumeWindow, "resume-window", time.Minute, "how long the seat is kept of a user whose connection is gone, on Parlor's own wires; 0 is not at all")
	f.Float64Var(&cfg.Limits.RequestsPerSecond, "max-requests", 0, "requests a second of one user (default 50000)")
	f.BoolVar(&cfg.Verbose, "verbose", false, "log packets and responses, without secrets")
	if len(games) > 1 {
		f.StringVar(&cfg.DefaultKind, "game", defaultKind, "the kind of game that is created by default: "+kinds(games))
	}
	return cmd
}

// NoArgs is the Args of a command that takes flags only.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: settings are given as flags; see %s --help", args[0], cmd.CommandPath())
	}
	return nil
}

// FlagError adds to an error of a command's flags where to look, and says of a value what is wanted instead. It
// is for [cobra.Command.SetFlagErrorFunc].
func FlagError(cmd *cobra.Command, err error) error {
	if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
		err = fmt.Errorf("--%s: %q is not %s", bad.GetFlag().Name, bad.GetValue(), wanted(bad.GetFlag().Value.Type()))
	}
	return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
}

func kinds(games map[string]parlor.NewGame) string {
	return strings.Join(slices.Sorted(maps.Keys(games)), ", ")
}

// BindEnv takes the flags of a command that were not given from the environment: --admin-password from
// PARLOR_ADMIN_PASSWORD. A variable that is empty counts as not given, but for flags that are text. Variables
// that begin so and belong to no flag of the program are warned of on standard error.
func BindEnv(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := variable(f)
		text, found := os.LookupEnv(name)
		if !found || f.Changed || err != nil || text == "" && f.Value.Type() != "string" {
			return
		}
		if bad := cmd.Flags().Set(f.Name, text); bad != nil {
			err = fmt.Errorf("environment variable %s: %q is not %s", name, text, wanted(f.Value.Type()))
		}
	})
	if ignored := unknownVariables(cmd); len(ignored) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: ignored in the environment, as there is no such flag: %s; see %s --help\n",
			cmd.Root().Name(), strings.Join(ignored, ", "), cmd.CommandPath())
	}
	return err
}

// variable is the name of the environment variable for a flag.
func variable(f *pflag.Flag) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

const variablePrefix = "PARLOR_"

// unknownVariables are the names of those that are of no flag, also not of another command of the program: the
// environment is the same for all.
func unknownVariables(cmd *cobra.Command) (names []string) {
	known := map[string]bool{"PARLOR_PYTHON": true, "PARLOR_NO_PYTHON": true, "PARLOR_CAPTURES": true} // for the tests of Parlor itself
	note := func(f *pflag.Flag) { known[variable(f)] = true }
	cmd.Flags().VisitAll(note)
	var all func(c *cobra.Command)
	all = func(c *cobra.Command) {
		c.Flags().VisitAll(note)
		for _, sub := range c.Commands() {
			all(sub)
		}
	}
	all(cmd.Root())
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, variablePrefix) && !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// wanted says what a flag of a type takes.
func wanted(typ string) string {
	switch typ {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "stringSlice":
		return "a list with commas between"
	case "duration":
		return "a duration, such as 30s or 5m"
	case "divergence":
		return "read-only or from-save"
	case "seconds":
		return "a number of seconds, or a duration such as 200ms"
	}
	return "a " + typ
}

// serve runs a server until a signal. A second signal ends the program at once.
func serve(ctx context.Context, cfg Config) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	s, err := Start(ctx, cfg)
	if errors.Is(err, context.Canceled) { // a standby whose turn has not come
		fmt.Fprintln(cfg.Out, "ended")
		return nil
	}
	if err != nil {
		return err
	}
	s.announce()
	code, err := s.Run(ctx)
	if err != nil {
		return err
	}
	if s.keeps() {
		fmt.Fprintf(cfg.Out, "saved to %s; ended\n", s.store.Path())
	} else {
		fmt.Fprintln(cfg.Out, "ended")
	}
	if code != 0 {
		return ExitError(code)
	}
	return nil
}

// absolute is a path from the root, as the program's folder is not always known; a URL stays.
func absolute(path string) string {
	if at, err := filepath.Abs(path); err == nil && !strings.Contains(path, "://") {
		return at
	}
	return path
}

// packetURL is how a client of the packet wire writes an address.
func (s *Server) packetURL(addr net.Addr) string {
	switch {
	case addr.Network() == "unix":
		return "unix:" + addr.String()
	case s.cfg.TLSCert != "":
		return "tls://" + addr.String()
	}
	return "tcp://" + addr.String()
}

// announce prints what people need to connect.
func (s *Server) announce() {
	scheme := ""
	if s.cfg.TLSCert != "" {
		scheme = "wss://"
	}
	out := s.cfg.Out
	for _, addr := range s.Addrs() {
		fmt.Fprintf(out, "address: %s%s\n", scheme, addr)
	}
	for _, addr := range s.PacketAddrs() {
		fmt.Fprintf(out, "packet address: %s\n", s.packetURL(addr))
	}
	fmt.Fprintf(out, "public key: %s\n", s.lobby.PublicKey())
	switch password, generated := s.AdminPassword(); {
	case generated && s.cfg.SaveFile == "" && s.keeps():
		fmt.Fprintf(out, "administrator password, made up for this store and shown once: %s\n", password)
	case generated:
		fmt.Fprintf(out, "administrator password, made up for this run and shown once: %s\n", password)
	}
	if !s.keeps() {
		fmt.Fprintln(out, "nothing is saved: users and games end with this server")
	} else {
		fmt.Fprintf(out, "store: %s\n", absolute(s.store.Path()))
	}
	if s.keeps() && s.cfg.KeyFile == "" {
		fmt.Fprintln(out, "the key is not kept: give --key FILE, or clients find another server after each start")
	}
}
