package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"parlor"
	"parlor/host"
)

func inviteCommand() *cobra.Command {
	return family("invite", "Create, list and revoke invite codes", inviteCreateCommand(), inviteListCommand(), inviteRevokeCommand())
}

func inviteCreateCommand() *cobra.Command {
	var user string
	var uses int
	var life time.Duration
	cmd := &cobra.Command{
		Use: "create", Short: "Create a code that lets users register",
		Long: "Create a code that lets users register where registration is off, and print it.", Args: host.NoArgs,
	}
	f := cmd.Flags() // not --user: PARLOR_USER is who connects
	f.StringVar(&user, "for", "", "the name that it is for (default: any)")
	f.IntVar(&uses, "uses", 1, "how many may register with it")
	f.DurationVar(&life, "expires-in", 0, "how long it is good, such as 48h; 0 is for ever (default: as the server's --invite-life says, else 720h)")
	return accountsCommand(cmd, true, func(ctx context.Context, cmd *cobra.Command, _ []string, all accounts) error {
		switch {
		case uses < 1 || uses > 1_000_000:
			return fmt.Errorf("--uses %d: it must be from 1 to 1000000", uses)
		case life < 0:
			return fmt.Errorf("--expires-in %v: it must be positive, such as 48h, or 0 for ever", life)
		case user != "" && !parlor.UserNameAllowed(user):
			return fmt.Errorf("--for %q: nobody can register so: a user's name has %s", user, userNameRule)
		case !cmd.Flags().Changed("expires-in"):
			life = -1
		}
		code, err := all.createInvite(ctx, user, uses, life)
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), visible(code))
		}
		return err
	})
}

func inviteListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the codes that are good", Long: "List the codes that are good, those first that expire first.", Args: host.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line: code, username, uses, and expires in seconds since 1970")
	return accountsCommand(cmd, false, func(ctx context.Context, cmd *cobra.Command, _ []string, all accounts) error {
		rows, err := all.listInvites(ctx)
		if err != nil {
			return err
		}
		end := func(in inviteRow) int64 {
			if in.Expires == 0 {
				return math.MaxInt64
			}
			return in.Expires
		}
		slices.SortStableFunc(rows, func(a, b inviteRow) int { return cmp.Or(cmp.Compare(end(a), end(b)), cmp.Compare(a.Code, b.Code)) })
		return printRows(cmd.OutOrStdout(), asJSON, "CODE\tFOR\tUSES\tEXPIRES", rows, func(in inviteRow) []any {
			expires := "never"
			if in.Expires != 0 {
				expires = time.Unix(in.Expires, 0).Format(time.RFC3339)
			}
			return []any{in.Code, cmp.Or(in.Username, "anybody"), in.Uses, expires}
		})
	})
}

func inviteRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke CODE", Short: "Take back a code", Long: "Take back a code, which is good for nobody then.", Args: oneName("CODE")}
	return accountsCommand(cmd, true, func(ctx context.Context, cmd *cobra.Command, args []string, all accounts) error {
		err := all.revokeInvite(ctx, args[0])
		if err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), "revoked")
		}
		return err
	})
}
