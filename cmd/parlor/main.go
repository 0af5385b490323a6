// Parlor serves games, and connects to servers as a developer.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"parlor"
	chat "parlor/examples/chat/game"
	positions "parlor/examples/positions/game"
	tictactoe "parlor/examples/tictactoe/game"
	"parlor/host"
)

func main() { os.Exit(host.Execute(rootCommand())) }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "parlor",
		Short: "A lobby that hosts multiplayer games",
		Long: "Parlor hosts multiplayer games for any number of users, also for those with the Python client of pgnet.\n\n" +
			"  parlor serve      hosts games\n" +
			"  parlor connect    talks to a server, as a developer or administrator\n" +
			"  parlor ping       measures how fast a lobby or a packet server answers\n" +
			"  parlor user       lists users, adds and deletes them, and gives them new passwords\n" +
			"  parlor invite     creates, lists and revokes invite codes\n" +
			"  parlor game       lists the games that are stored, exports one, and plays that again\n" +
			"  parlor backup     writes all that a server keeps into a file; parlor restore puts it back\n" +
			"  parlor save       takes over pgnet's save file, or makes one",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: try serve, connect, ping, user, invite, game, backup, restore, save or version; see parlor --help", args[0])
			}
			return nil
		},
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Version: versionText(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(host.FlagError)
	games := map[string]parlor.NewGame{"chat": chat.New, "tictactoe": tictactoe.New, "positions": positions.New}
	root.AddCommand(host.ServeCommand(games, "chat"), connectCommand(), pingCommand(),
		userCommand(), inviteCommand(), gameCommand(games, "chat"), backupCommand(), restoreCommand(), saveCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  host.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
			return nil
		},
	}
}

// versionText is what the build knows of itself.
func versionText() string {
	version, revision := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return fmt.Sprintf("parlor %s%s (%s, %s/%s)", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
