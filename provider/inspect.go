package provider

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// An Inspector says why a token is, or is not, acceptable. It reads and
// changes nothing, logs nothing and keeps nothing of what it is shown.
type Inspector struct {
	Issuer    string
	Store     *storage.Store
	Keys      *keys.Ring       // need not be started
	Master    *keys.Master     // nil: refresh tokens are not told
	Lifetimes Lifetimes        // zero: DefaultLifetimes
	Now       func() time.Time // default time.Now
}

// A Question is what was pasted, and what the asker expects of it.
type Question struct {
	Pasted   string
	Audience string    // empty: any
	Expect   TokenKind // empty: any
}

// A TokenKind is what a token is for.
type TokenKind string

// The kinds that can be expected.
const (
	AccessKind  TokenKind = "access"
	IDKind      TokenKind = "id"
	RefreshKind TokenKind = "refresh"
)

// A Finding is one thing that was seen. Its evidence never repeats the secret
// part of what was pasted.
type Finding struct {
	Code     string `json:"code"` // for programs: expired, kid_unknown, …
	OK       bool   `json:"ok"`   // the token is accepted all the same
	What     string `json:"what"`
	Evidence string `json:"evidence"`
	Cause    string `json:"cause"`
	Fix      string `json:"fix"`
}

// A Fact is something read from the token.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// An Inspection is what an Inspector found: at least one finding.
type Inspection struct {
	Acceptable bool      `json:"acceptable"`
	Kind       string    `json:"kind"` // access token, ID token, refresh token, …; empty: not known
	Verified   bool      `json:"verified"`
	Facts      []Fact    `json:"facts,omitempty"` // as claimed, unless Verified
	Findings   []Finding `json:"findings"`
}

// An inspecting is one inspection under way.
type inspecting struct {
	*Inspector
	Inspection
	ask Question
	now time.Time
}

// Inspect looks at what was pasted. An error means that the database did not
// answer, and says nothing of the token.
func (i *Inspector) Inspect(ctx context.Context, q Question) (*Inspection, error) {
	n := &inspecting{Inspector: i, ask: q, now: time.Now()}
	if i.Now != nil {
		n.now = i.Now()
	}
	n.Findings = []Finding{}
	if token := n.shape(); token != "" {
		if err := n.judge(ctx, token); err != nil {
			return nil, fmt.Errorf("inspect a token: %w", err)
		}
	}
	if len(n.Findings) == 0 {
		n.note("good", "it was checked as %s", article(n.Kind))
	}
	n.Acceptable = true
	for _, f := range n.Findings {
		n.Acceptable = n.Acceptable && f.OK
	}
	return &n.Inspection, nil
}

// judge tells by its looks what a token is.
func (n *inspecting) judge(ctx context.Context, token string) error {
	for _, other := range []struct{ prefix, kind, code string }{
		{"ghs_", "client secret", "client_secret"}, {"ghc_", "authorization code", "code"}, {"ghd_", "device code", "device_code"},
		{"gho_", "set-up link", "setup_link"}, {"ghi_", "session cookie", "cookie"}, {"ghb_", "browser cookie", "cookie"},
	} {
		if strings.HasPrefix(token, other.prefix) {
			n.Kind = other.kind
			n.trouble(other.code, "it begins with %s and has %d characters", other.prefix, len(token))
			return nil
		}
	}
	switch {
	case strings.HasPrefix(token, opaquePrefix):
		return n.opaque(ctx, token)
	case strings.HasPrefix(token, refreshPrefix):
		return n.refreshToken(ctx, token)
	}
	return n.jwt(ctx, token)
}

// trouble is a finding for which the token is refused.
func (n *inspecting) trouble(code, evidence string, args ...any) {
	n.find(troubles, code, false, fmt.Sprintf(evidence, args...))
}

// note is a finding that goes with an accepted token.
func (n *inspecting) note(code, evidence string, args ...any) {
	n.find(notes, code, true, fmt.Sprintf(evidence, args...))
}

func (n *inspecting) find(table map[string]words, code string, ok bool, evidence string) {
	w := table[code]
	n.Findings = append(n.Findings, Finding{Code: code, OK: ok, What: w.what, Evidence: evidence, Cause: w.cause, Fix: w.fix})
}

func (n *inspecting) fact(name, value string) {
	if value != "" {
		n.Facts = append(n.Facts, Fact{name, value})
	}
}

// expected reports whether a token of this kind was asked for.
func (n *inspecting) expected(kind TokenKind) bool {
	if n.ask.Expect == "" || n.ask.Expect == kind {
		return true
	}
	n.trouble("expected_"+string(n.ask.Expect), "it is %s", article(n.Kind))
	return false
}

func article(kind string) string {
	if strings.HasPrefix(kind, "a") || strings.HasPrefix(kind, "I") {
		return "an " + kind
	}
	return "a " + kind
}

// quoted is a claim for people: with its odd characters visible, and not too long.
func quoted(s string) string {
	const most = 120
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// differs says where two strings part.
func differs(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	part := func(s string) string {
		if at >= len(s) {
			return "its end"
		}
		return quoted(s[at:min(at+12, len(s))])
	}
	return fmt.Sprintf("the first difference is at character %d: %s where %s is expected", at+1, part(got), part(want))
}

// when is an instant and how far it is from now, for people.
func (n *inspecting) when(t time.Time) string {
	d := n.now.Sub(t)
	if d < 0 {
		return t.UTC().Format(time.RFC3339) + ", in " + spell(-d)
	}
	return t.UTC().Format(time.RFC3339) + ", " + spell(d) + " ago"
}

// spell is a duration in the two largest units that it has.
func spell(d time.Duration) string {
	switch s := int64(d / time.Second); {
	case s >= 86400:
		return fmt.Sprintf("%d d %d h", s/86400, s%86400/3600)
	case s >= 3600:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	default:
		return fmt.Sprintf("%d s", s)
	}
}

// absent tells nothing left from an error of the database.
func absent(err error) (bool, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	return false, err
}
