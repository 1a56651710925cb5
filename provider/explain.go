package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/storage"
)

// An Explainer says what lies behind the code on an error page. It reads and
// changes nothing.
type Explainer struct {
	Clients storage.Clients
	Now     func() time.Time // default time.Now
}

// An Explanation is a failure and what it means: at least one finding.
type Explanation struct {
	Code       string            `json:"code"`
	At         time.Time         `json:"at"`
	Kind       string            `json:"kind"`
	Answered   bool              `json:"answered"` // the client was sent the error, and no page shown
	ClientID   string            `json:"client_id,omitempty"`
	Upstream   string            `json:"upstream,omitempty"`
	Sent       string            `json:"sent,omitempty"`
	Expected   string            `json:"expected,omitempty"`
	Difference *Difference       `json:"first_difference,omitempty"`
	Details    map[string]string `json:"details,omitempty"`
	Findings   []Finding         `json:"findings"`
}

// A Difference is where what was sent parts from what was expected. Where one of
// them ends there, its character is empty.
type Difference struct {
	Position int    `json:"position"` // of the character, from 1
	Sent     string `json:"sent"`
	Expected string `json:"expected"`
}

// An explaining is one explanation under way.
type explaining struct {
	Explanation
	failure *storage.Failure
	client  *storage.Client // as it is now; nil: there is none
	now     time.Time
}

// Explain says what f means. An error means that the database did not answer.
func (x *Explainer) Explain(ctx context.Context, f *storage.Failure) (*Explanation, error) {
	e := &explaining{failure: f, now: time.Now()}
	if x.Now != nil {
		e.now = x.Now()
	}
	e.Explanation = Explanation{
		Code: f.Code, At: f.At, Kind: f.Kind, Answered: f.Answered, ClientID: f.ClientID, Upstream: f.Upstream,
		Sent: f.Sent, Expected: f.Expected, Details: f.Details, Findings: []Finding{},
	}
	if f.ClientID != "" {
		c, err := x.Clients.Get(ctx, f.ClientID)
		switch {
		case err == nil:
			e.client = c
		case !errors.Is(err, storage.ErrNotFound):
			return nil, fmt.Errorf("read client %s: %w", f.ClientID, err)
		}
	}
	if err := e.explain(ctx, x); err != nil {
		return nil, err
	}
	return &e.Explanation, nil
}

func (e *explaining) explain(ctx context.Context, x *Explainer) error {
	f := e.failure
	switch {
	case f.Details[detailWhy] == missing:
		e.find("parameter_missing", "the request has no %s", f.Kind)
	case f.Details[detailWhy] != "":
		e.find("parameter_malformed", "%s", strings.TrimSpace(f.Kind+" "+f.Details[detailWhy]))
	case f.Kind == "client_id":
		return e.unknownClient(ctx, x.Clients)
	case f.Kind == "redirect_uri":
		e.redirect(redirectList)
	case f.Kind == "post_logout_redirect_uri":
		e.redirect(postLogoutList)
	case f.Kind == "scope":
		e.scope()
	case f.Kind == "resource":
		e.find("resource", "%s; registered: %s", quoted(f.Sent), shownList(f.Expected))
	case f.Details[detailCookie] == "not sent" && (f.Kind == otherBrowser || f.Kind == "upstream.state_browser"):
		e.find("cookies_lost", "the browser sent no cookie of ours")
	case f.Kind == otherBrowser:
		e.find("other_browser", "the browser has a cookie of ours, and it is another than the one that began the sign-in")
	default:
		e.byKind()
	}
	return nil
}

// byKind are the failures that need no more than their words.
func (e *explaining) byKind() {
	f := e.failure
	for _, code := range []string{f.Kind + "." + f.Details[detailOutbound], f.Kind, f.Details[detailError], "other"} {
		if _, known := reasons[code]; known {
			e.find(code, "%s", e.evidence())
			return
		}
	}
}

// UpstreamFinding is a fault of an upstream in the words of explain, for who
// finds it before anybody fails by it. f has the Kind, "upstream.…", and what
// was seen.
func UpstreamFinding(f *storage.Failure) Finding {
	e := &explaining{failure: f}
	e.byKind()
	return e.Findings[0]
}

// evidence is what was sent and expected, or what is known at all.
func (e *explaining) evidence() string {
	f := e.failure
	var parts []string
	if f.Sent != "" {
		parts = append(parts, "sent: "+quoted(f.Sent))
	}
	if f.Expected != "" {
		parts = append(parts, "expected: "+quoted(f.Expected))
	}
	for _, name := range []string{detailDescription, detailDoing, detailErrorDescription, detailReason, detailAddress} {
		if f.Details[name] != "" {
			parts = append(parts, f.Details[name])
		}
	}
	if len(parts) == 0 {
		return "it was noted as " + f.Kind
	}
	return strings.Join(parts, "; ")
}

// find adds a finding, in the words of its code.
func (e *explaining) find(code, evidence string, args ...any) {
	w := reasons[code]
	fill := strings.NewReplacer("{client}", shellWord(e.failure.ClientID), "{code}", e.failure.Code, "{register}", e.register(), "{kind}", e.failure.Kind, "{sent}", e.failure.Sent)
	e.Findings = append(e.Findings, Finding{
		Code: code, What: fill.Replace(w.what), Evidence: fmt.Sprintf(evidence, args...), Cause: fill.Replace(w.cause), Fix: fill.Replace(w.fix),
	})
}

// unknownClient says whether the client is another's, not there yet or not there any more.
func (e *explaining) unknownClient(ctx context.Context, clients storage.Clients) error {
	c, sent := e.client, quoted(e.failure.Sent)
	switch {
	case c != nil && !c.DisabledAt.IsZero() && c.Declared:
		e.find("client_undeclared", "client %s is disabled since %s", sent, e.when(c.DisabledAt))
	case c != nil && !c.DisabledAt.IsZero():
		e.find("client_switched_off", "client %s is disabled since %s", sent, e.when(c.DisabledAt))
	case c != nil && c.CreatedAt.After(e.failure.At):
		e.find("client_came_later", "client %s was created %s", sent, e.when(c.CreatedAt))
	case c != nil:
		e.find("client_enabled_again", "client %s is enabled now", sent)
	default:
		near, err := e.nearestClient(ctx, clients)
		if err != nil {
			return err
		}
		evidence := "no client has the id " + sent
		if near != "" {
			evidence += "; there is one with the id " + quoted(near)
		}
		e.find("client_not_there", "%s", evidence)
	}
	return nil
}

// maxLooked is how many clients are looked at for one with a name that is alike.
const maxLooked = 1000

// nearestClient is the client whose id is the one that was sent, but for case,
// white space and quotation marks; or empty.
func (e *explaining) nearestClient(ctx context.Context, clients storage.Clients) (string, error) {
	plain := func(id string) string { return strings.ToLower(strings.Trim(id, " \t\r\n\"'<>{}")) }
	all, err := clients.List(ctx, "", maxLooked)
	if err != nil {
		return "", fmt.Errorf("list the clients: %w", err)
	}
	for _, c := range all {
		if plain(c.ID) == plain(e.failure.Sent) {
			return c.ID, nil
		}
	}
	return "", nil
}

// A uriList is one of the lists of redirect URIs that a client registers.
type uriList struct {
	name, flag string
	of         func(*storage.ClientMetadata) []string
}

var (
	redirectList   = uriList{"redirect_uris", "--redirect-uri", func(m *storage.ClientMetadata) []string { return m.RedirectURIs }}
	postLogoutList = uriList{"post_logout_redirect_uris", "--post-logout-redirect-uri", func(m *storage.ClientMetadata) []string { return m.PostLogoutRedirectURIs }}
)

// redirect says in which parts a redirect URI is another than the nearest registered one.
func (e *explaining) redirect(list uriList) {
	f := e.failure
	if e.client != nil && slices.Contains(list.of(&e.client.Metadata), f.Sent) {
		e.find("redirect_registered_since", "%s is among the %s of client %s now", quoted(f.Sent), list.name, f.ClientID)
		return
	}
	if f.Expected == "" {
		e.find("redirect_none_registered", "client %s has no %s", f.ClientID, list.name)
		return
	}
	codes := uriDifferences(f.Sent, f.Expected)
	if len(codes) == 0 {
		codes = []string{"redirect_query"} // the values that differ are not kept
	}
	e.Difference = firstDifference(f.Sent, f.Expected)
	for _, code := range codes {
		e.find(code, "sent %s, the nearest registered is %s; %s", quoted(f.Sent), quoted(f.Expected), differs(f.Sent, f.Expected))
	}
}

func firstDifference(sent, want string) *Difference {
	at := alike(sent, want)
	character := func(s string) string {
		for _, r := range s[at:] {
			return string(r)
		}
		return ""
	}
	return &Difference{Position: at + 1, Sent: character(sent), Expected: character(want)}
}

// scope names the scopes that the client did not register.
func (e *explaining) scope() {
	f := e.failure
	lacking := beyond(strings.Fields(f.Expected), strings.Fields(f.Sent))
	switch {
	case f.Sent == "":
		e.find("scope_missing", "the request has no scope")
	case len(lacking) == 0, slices.ContainsFunc(lacking, func(s string) bool { return !scopeToken(s) }):
		e.find("scope_malformed", "sent: %s", quoted(f.Sent))
	default:
		e.find("scope", "asked for and not registered: %s; registered: %s", shownList(strings.Join(lacking, " ")), shownList(f.Expected))
	}
}

func shownList(s string) string {
	if s == "" {
		return "none"
	}
	return quoted(s)
}

func (e *explaining) when(t time.Time) string {
	n := inspecting{now: e.now}
	return n.when(t)
}

// register is the command, or the change to the file, after which what was sent
// would be accepted.
func (e *explaining) register() string {
	f, c := e.failure, e.client
	if c == nil {
		return "register the client: gatehouse client create --id " + shellWord(f.ClientID)
	}
	var flag, name string
	var values []string
	switch f.Kind {
	case "redirect_uri":
		flag, name, values = redirectList.flag, redirectList.name, append(slices.Clone(redirectList.of(&c.Metadata)), f.Sent)
	case "post_logout_redirect_uri":
		flag, name, values = postLogoutList.flag, postLogoutList.name, append(slices.Clone(postLogoutList.of(&c.Metadata)), f.Sent)
	case "resource":
		flag, name, values = "--audience", "audience", append(slices.Clone(c.Metadata.Audience), f.Sent)
	case "scope":
		scopes := strings.Fields(c.Metadata.Scope)
		flag, name, values = "--scope", "scope", []string{strings.Join(append(scopes, beyond(scopes, strings.Fields(f.Sent))...), " ")}
	case "grant_types":
		flag, name, values = "--grant-type", "grant_types", append(slices.Clone(c.Metadata.GrantTypes), codeGrant)
	default:
		return "gatehouse client show " + shellWord(c.ID)
	}
	if problem := redirectProblem(f.Sent, c.Metadata.ApplicationType == "native"); problem != "" && strings.HasSuffix(f.Kind, "redirect_uri") {
		return "it cannot be registered: it " + problem
	}
	if c.Declared {
		return fmt.Sprintf("write %s into %s of client %s in gatehouse.yaml, and send serve a SIGHUP", quoted(values[len(values)-1]), name, c.ID)
	}
	command := "run: gatehouse client update " + shellWord(c.ID)
	for _, v := range values {
		command += " " + flag + " " + shellWord(v)
	}
	return command
}

// shellWord is s as one word of a shell: a stranger may have chosen it, and an
// administrator is to paste it.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, letters+digits+"-._~:/@%+=,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
