package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/identity"
	"gatehouse/storage"
)

func newUserCommand() *cobra.Command {
	return group("user", "Manage the accounts of people",
		"  gatehouse user create --username alice --email alice@example.com --password-stdin < password.txt\n  gatehouse user list",
		newUserCreateCommand(), newUserListCommand(), newUserShowCommand(), newUserUpdateCommand(),
		newUserActCommand("enable", "Switch a disabled account on again", "is enabled", (*identity.People).Enable),
		newUserActCommand("disable", "Switch an account off, and end everything issued to it", "is disabled", (*identity.People).Disable),
		newUserActCommand("invalidate-tokens", "End every session and token of an account", "has no live session or token any more", (*identity.People).Invalidate),
		newUserDeleteCommand(), newUserSetPasswordCommand())
}

func newUserCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Make an account",
		Long: `Makes an account. The password comes from standard input, a file, or a prompt
without echo; --no-password makes an account that cannot sign in yet.`,
		Example: "  gatehouse user create --username alice --email alice@example.com --name \"Alice Liddell\" --password-stdin < password.txt\n  gatehouse user create --username root --email root@example.com --admin",
		Args:    cobra.NoArgs,
	}
	var n identity.NewAccount
	flags := cmd.Flags()
	flags.StringVar(&n.Username, "username", "", "the name to sign in with (default: the address)")
	flags.StringVar(&n.Email, "email", "", "the e-mail address, which signs in too")
	flags.StringVar(&n.Profile.Name, "name", "", "the full name")
	flags.BoolVar(&n.Admin, "admin", false, "make an administrator")
	flags.BoolVar(&n.EmailVerified, "email-verified", false, "the address is known to be theirs")
	set := claimsFlag(cmd)
	none := flags.Bool("no-password", false, "set no password")
	password, asJSON := secretFlags(cmd, "password", "password"), outputFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("no-password", "password-stdin")
	cmd.MarkFlagsMutuallyExclusive("no-password", "password-file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if n.Username == "" && n.Email == "" {
			return misuse("an account needs --username, --email, or both")
		}
		if err := setClaims(&n.Profile, *set); err != nil {
			return err
		}
		return withPeople(cmd, func(ctx context.Context, p *identity.People) (err error) {
			if !*none {
				if n.Password, err = password.read(cmd); err != nil {
					return err
				}
			}
			u, err := p.Create(ctx, n)
			if err != nil {
				return err
			}
			return printUser(cmd.OutOrStdout(), u, asJSON())
		})
	}
	return cmd
}

// claimsFlag is --set for the claims of a profile.
func claimsFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringArray("set", nil, "any standard claim, as `claim=value`, such as given_name=Alice or address.country=England; an empty value takes it away")
}

func setClaims(p *storage.Profile, pairs []string) error {
	var errs []error
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		switch {
		case !found:
			errs = append(errs, fmt.Errorf("--set %s has no value; write --set claim=value", pair))
		case !identity.SetClaim(p, name, value):
			errs = append(errs, fmt.Errorf("%s is no claim of a profile; there are %s", name, strings.Join(identity.ClaimNames(), ", ")))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

func newUserUpdateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "update USER", Short: "Change the names, the address and the profile of an account",
		Long: `Changes what is given and leaves the rest as it is. Nothing that was issued
ends. Another e-mail address is not verified unless --email-verified is given too.`,
		Example: "  gatehouse user update alice --email alice@example.org --email-verified\n  gatehouse user update alice --set given_name=Alice --set phone_number=+441865270000 --set birthdate=",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	username := flags.String("username", "", "the name to sign in with")
	email := flags.String("email", "", "the e-mail address; empty: none")
	verified := flags.Bool("email-verified", false, "whether the address is known to be theirs")
	name := flags.String("name", "", "the full name")
	set, asJSON := claimsFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUser(cmd, args[0], func(ctx context.Context, p *identity.People, u *storage.User) error {
			if flags.Changed("username") {
				u.Username = *username
			}
			if flags.Changed("email") && *email != u.Email {
				u.Email, u.EmailVerified = *email, false
			}
			if flags.Changed("email-verified") {
				u.EmailVerified = *verified && u.Email != ""
			}
			if flags.Changed("name") {
				u.Profile.Name = *name
			}
			if err := setClaims(&u.Profile, *set); err != nil {
				return err
			}
			if err := p.Update(ctx, u); err != nil {
				return err
			}
			return printUser(cmd.OutOrStdout(), u, asJSON())
		})
	}
	return cmd
}

// withPeople is withSite for a command about accounts.
func withPeople(cmd *cobra.Command, do func(ctx context.Context, p *identity.People) error) error {
	return withSite(cmd, func(ctx context.Context, s *site) error {
		p, err := s.people()
		if err != nil {
			return err
		}
		return do(ctx, p)
	})
}

// withUser is withPeople for a command about one account, by its user name,
// address or sub.
func withUser(cmd *cobra.Command, login string, do func(ctx context.Context, p *identity.People, u *storage.User) error) error {
	return withPeople(cmd, func(ctx context.Context, p *identity.People) error {
		u, err := p.Find(ctx, login)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return fmt.Errorf("there is no user %s", login)
		case err != nil:
			return fmt.Errorf("look up user %s: %w", login, err)
		}
		if err := do(ctx, p, u); !errors.Is(err, storage.ErrLastAdmin) {
			return err
		}
		return fmt.Errorf("%s is the last administrator who is enabled; make another one first", u.Username)
	})
}

// A shownUser is an account as -o json has it.
type shownUser struct {
	Sub           string    `json:"sub"`
	Username      string    `json:"username"`
	Name          string    `json:"name,omitempty"`
	Email         string    `json:"email,omitempty"`
	EmailVerified bool      `json:"email_verified"`
	Admin         bool      `json:"admin"`
	Disabled      bool      `json:"disabled"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at,omitzero"`
	// Profile has the other claims by their standard names.
	Profile storage.Profile `json:"profile,omitzero"`
}

func showUser(u *storage.User) shownUser {
	return shownUser{
		Sub: u.ID, Username: u.Username, Name: u.Profile.Name, Email: u.Email, EmailVerified: u.EmailVerified,
		Admin: u.Admin, Disabled: u.Disabled(), CreatedAt: utc(u.CreatedAt), UpdatedAt: utc(u.UpdatedAt), Profile: u.Profile,
	}
}

func printUser(w io.Writer, u *storage.User, asJSON bool) error {
	if asJSON {
		return printJSON(w, showUser(u))
	}
	return printTable(w, userRows(u)...)
}

func userRows(u *storage.User) [][]any {
	rows := [][]any{{"sub", u.ID}, {"username", u.Username}, {"email", u.Email}, {"email_verified", yes(u.EmailVerified)},
		{"admin", yes(u.Admin)}, {"disabled", yes(u.Disabled())}, {"created", moment(u.CreatedAt)}}
	for _, c := range identity.Claims(&u.Profile) {
		rows = append(rows, []any{c.Name, strings.ReplaceAll(c.Value, "\n", ", ")})
	}
	return rows
}

// A shownIdentity is an account at an upstream as -o json has it.
type shownIdentity struct {
	Upstream string    `json:"upstream"`
	Issuer   string    `json:"issuer"`
	Subject  string    `json:"subject"`
	Label    string    `json:"label"`
	LinkedAt time.Time `json:"linked_at"`
	UsedAt   time.Time `json:"used_at"`
}

// printWays prints an account together with how its owner signs in.
func printWays(w io.Writer, u *storage.User, password bool, identities []*storage.Identity, asJSON bool) error {
	all := []shownIdentity{}
	rows := append(userRows(u), []any{"password", yes(password)})
	for _, i := range identities {
		all = append(all, shownIdentity{i.Upstream, i.Issuer, i.Subject, i.Label, utc(i.LinkedAt), utc(i.UsedAt)})
		rows = append(rows, []any{"upstream " + i.Upstream, fmt.Sprintf("%s at %s, %s", i.Subject, i.Issuer, i.Label)})
	}
	if !asJSON {
		return printTable(w, rows...)
	}
	return printJSON(w, struct {
		shownUser
		Password   bool            `json:"password"`
		Identities []shownIdentity `json:"identities"`
	}{showUser(u), password, all})
}

func newUserListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the accounts",
		Example: "  gatehouse user list\n  gatehouse user list -o json",
		Args:    cobra.NoArgs,
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withSite(cmd, func(ctx context.Context, s *site) error {
			list := []shownUser{}
			rows := [][]any{{"SUB", "USERNAME", "EMAIL", "NAME", "ADMIN", "DISABLED"}}
			err := each(ctx, s.store.Users.List, func(u *storage.User) string { return u.ID }, func(u *storage.User) error {
				list = append(list, showUser(u))
				rows = append(rows, []any{u.ID, u.Username, u.Email, u.Profile.Name, yes(u.Admin), yes(u.Disabled())})
				return nil
			})
			if err != nil {
				return fmt.Errorf("list the accounts: %w", err)
			}
			if asJSON() {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printTable(cmd.OutOrStdout(), rows...)
		})
	}
	return cmd
}

func newUserShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show USER", Short: "Show an account and how its owner signs in, by its user name, address or sub",
		Example: "  gatehouse user show alice -o json",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUser(cmd, args[0], func(ctx context.Context, people *identity.People, u *storage.User) error {
			password, identities, err := people.Ways(ctx, u)
			if err != nil {
				return err
			}
			return printWays(cmd.OutOrStdout(), u, password, identities, asJSON())
		})
	}
	return cmd
}

// newUserActCommand is a command that does one thing to an account.
func newUserActCommand(name, short, done string, act func(*identity.People, context.Context, *storage.User) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " USER", Short: short,
		Example: "  gatehouse user " + name + " alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUser(cmd, args[0], func(ctx context.Context, p *identity.People, u *storage.User) error {
				if err := act(p, ctx, u); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", u.Username, done)
				return nil
			})
		},
	}
}

func newUserDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete USER", Short: "Delete an account, and everything that hangs from it",
		Example: "  gatehouse user delete alice --yes",
		Args:    cobra.ExactArgs(1),
	}
	sure := cmd.Flags().Bool("yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUser(cmd, args[0], func(ctx context.Context, p *identity.People, u *storage.User) error {
			if err := confirm(cmd, *sure, "The account "+u.Username+" cannot be brought back."); err != nil {
				return err
			}
			if err := p.Delete(ctx, u); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted.\n", u.Username)
			return nil
		})
	}
	return cmd
}

func newUserSetPasswordCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "set-password USER", Short: "Set an account's password, and end its sessions and tokens",
		Example: "  gatehouse user set-password alice\n  gatehouse user set-password alice --password-stdin < password.txt",
		Args:    cobra.ExactArgs(1),
	}
	password := secretFlags(cmd, "password", "password")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return withUser(cmd, args[0], func(ctx context.Context, p *identity.People, u *storage.User) error {
			text, err := password.read(cmd)
			if err != nil {
				return err
			}
			if err := p.SetPassword(ctx, u, text); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a new password.\n", u.Username)
			return nil
		})
	}
	return cmd
}
