package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/jwks"
)

// A Probe is what can be seen of an upstream without anybody signing in.
type Probe struct {
	Faults []*Fault
	// Untold is what its answers leave open.
	Untold []string
	// Skew is how far its clock is ahead of ours; Dated: it said what time it has.
	Skew  time.Duration
	Dated bool
}

// Probe asks for the documents of the provider, presents a code that is none,
// and makes an authorization request that no page may answer. It tries the
// secret once, or twice where another way to present it may be the right one.
func (p *Provider) Probe(ctx context.Context) *Probe {
	seen := new(Probe)
	d, err := p.Discover(ctx)
	if !seen.note(err) {
		return seen
	}
	seen.note(p.probeKeys(ctx, d, seen))
	if seen.note(p.probeSecret(ctx, d, seen)) {
		seen.note(p.probeRedirect(ctx, d, seen))
	}
	if seen.Dated && seen.Skew.Abs() > skew {
		seen.note(p.differs("clock", "its clock is "+ahead(seen.Skew)+" ours", "less than "+skew.String()+" between them"))
	}
	return seen
}

func ahead(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead of"
}

// note keeps a fault, and reports whether there was none.
func (s *Probe) note(err error) bool {
	if f, ok := errors.AsType[*Fault](err); ok {
		s.Faults = append(s.Faults, f)
	}
	return err == nil
}

// date reads what time an answer says that it is; a second is the finest that it can say.
func (s *Probe) date(h http.Header, now time.Time) {
	if at, err := http.ParseTime(h.Get("Date")); err == nil && !s.Dated {
		s.Skew, s.Dated = at.Sub(now), true
	}
}

// probeKeys wants at least one key that an ID token may be signed with.
func (p *Provider) probeKeys(ctx context.Context, d *Document, seen *Probe) error {
	answer, body, err := p.set.out.Peek(ctx, d.JWKSURI, "application/json")
	if err != nil {
		return p.fault("unreachable", err, "address", d.JWKSURI)
	}
	seen.date(answer.Header, p.set.now())
	if answer.StatusCode != http.StatusOK {
		return p.differs("keys", answer.Status, "200 with a JWK Set", "address", d.JWKSURI)
	}
	set, err := jwks.Parse(body)
	switch {
	case err != nil:
		return p.fault("keys", err, "address", d.JWKSURI)
	case len(set.Keys) == 0:
		return p.differs("no_keys", "a set without a key that signs", "at least one public key", "address", d.JWKSURI)
	}
	return nil
}

// A tokenError is how a token endpoint refuses (RFC 6749 §5.2).
type tokenError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	status      string
}

// probeSecret presents a code that is none. Whoever knows us says so of the
// code, whoever does not says so of us (RFC 6749 §5.2).
func (p *Provider) probeSecret(ctx context.Context, d *Document, seen *Probe) error {
	refused, err := p.presentNoCode(ctx, d, p.AuthMethod, seen)
	if err != nil {
		return err
	}
	f := p.judgeNoCode(refused, d, seen)
	if f == nil || f.Kind != "invalid_client" || p.AuthMethod == "none" {
		return orNil(f)
	}
	other := map[string]string{"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[p.AuthMethod]
	if again, err := p.presentNoCode(ctx, d, other, seen); err == nil && again.Code == "invalid_grant" {
		return p.differs("auth_method", p.AuthMethod, other, "address", d.TokenEndpoint)
	}
	return f
}

// orNil keeps a nil *Fault from being an error that is not nil.
func orNil(f *Fault) error {
	if f == nil {
		return nil
	}
	return f
}

func (p *Provider) presentNoCode(ctx context.Context, d *Document, method string, seen *Probe) (tokenError, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {"none-" + rand.Text()}, "redirect_uri": {p.RedirectURI}, "code_verifier": {oauth2.GenerateVerifier()},
	}
	if method != "client_secret_basic" {
		form.Set("client_id", p.ClientID)
	}
	if method == "client_secret_post" {
		form.Set("client_secret", string(p.ClientSecret))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return tokenError{}, p.fault("token_endpoint", errors.New("its address is malformed"))
	}
	if method == "client_secret_basic" {
		r.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(string(p.ClientSecret))) // RFC 6749 §2.3.1
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	answer, err := p.set.out.HTTP().Do(r)
	if err != nil {
		return tokenError{}, p.fault("unreachable", err, "address", d.TokenEndpoint)
	}
	defer answer.Body.Close()
	seen.date(answer.Header, p.set.now())
	refused := tokenError{status: strconv.Itoa(answer.StatusCode)}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return refused, p.fault("unreachable", err, "address", d.TokenEndpoint)
	}
	_ = json.Unmarshal(body, &refused) // what is no JSON has no error in it, and is judged as such
	said := p.without()
	refused.Code, refused.Description = said(refused.Code), said(refused.Description)
	return refused, nil
}

// judgeNoCode reads the answer to a code that is none.
func (p *Provider) judgeNoCode(e tokenError, d *Document, seen *Probe) *Fault {
	details := []string{"address", d.TokenEndpoint, "status", e.status, "error_description", e.Description}
	switch e.Code {
	case "invalid_grant":
		return nil
	case "invalid_client", "unauthorized_client", "deleted_client", "disabled_client":
		return p.differs("invalid_client", e.Code, "the secret of client "+p.ClientID, details...)
	case "redirect_uri_mismatch":
		return p.differs("redirect_uri", p.RedirectURI, "an address that is registered there", details...)
	case "":
		return p.differs("token_endpoint", e.status+" without an error code", "an OAuth error, as for a code that is none", details...)
	}
	seen.Untold = append(seen.Untold, fmt.Sprintf("whether the secret is right: to a code that is none it answers %q", e.Code))
	return nil
}

// probeRedirect asks without a page (prompt=none). Where client and redirect URI
// are registered, the answer is sent there, whatever it is; where they are not,
// it must not be (RFC 6749 §4.1.2.1).
func (p *Provider) probeRedirect(ctx context.Context, d *Document, seen *Probe) error {
	verifier := oauth2.GenerateVerifier()
	address := p.oauth(d).AuthCodeURL(rand.Text(), oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("prompt", "none"), oauth2.SetAuthURLParam("nonce", rand.Text()))
	answer, body, err := p.set.out.Peek(ctx, address, "text/html")
	if err != nil {
		return p.fault("unreachable", err, "address", d.AuthorizationEndpoint)
	}
	seen.date(answer.Header, p.set.now())
	return orNil(p.judgeRedirect(answer.StatusCode, answer.Header.Get("Location"), string(body), d, seen))
}

// What providers write where they refuse a redirect URI, or the client. None of
// them is standardised: these are the words of those that are met most.
var (
	saysRedirect = regexp.MustCompile(`(?i)redirect_uri_mismatch|invalid_redirect_uri|AADSTS50011|callback url mismatch|redirect_uri did not match|invalid parameter: redirect_uri`)
	saysClient   = regexp.MustCompile(`(?i)invalid_client|deleted_client|disabled_client|unauthorized_client|AADSTS700016|AADSTS90002|client (is )?not found|unknown client|client_not_found`)
	// In an error page, and nowhere else, the parameter's name is the complaint.
	namesRedirect = regexp.MustCompile(`(?i)redirect[_ ]ur[il]`)
	namesClient   = regexp.MustCompile(`(?i)client[_ ]?id|\bclient\b`)
)

// judgeRedirect reads the answer to a request that no page may answer.
func (p *Provider) judgeRedirect(status int, location, body string, d *Document, seen *Probe) *Fault {
	if location != "" && comesBack(location, p.RedirectURI) {
		return nil
	}
	said := location + " " + unescaped(location) + " " + googleError(location) + " " + body
	failed := status >= 400
	details := []string{"address", d.AuthorizationEndpoint, "status", fmt.Sprint(status)}
	switch {
	case saysRedirect.MatchString(said), failed && namesRedirect.MatchString(said) && !saysClient.MatchString(said):
		return p.differs("redirect_uri", p.RedirectURI, "an address that is registered there", details...)
	case saysClient.MatchString(said), failed && namesClient.MatchString(said):
		return p.differs("unknown_client", p.ClientID, "a client that is registered there", details...)
	case failed:
		return p.differs("authorization_endpoint", fmt.Sprint(status), "an answer at "+p.RedirectURI, details...)
	}
	seen.Untold = append(seen.Untold, fmt.Sprintf("whether %s is registered: it shows a page although none was allowed", p.RedirectURI))
	return nil
}

// comesBack reports whether an answer is sent to the redirect URI.
func comesBack(location, redirect string) bool {
	rest, found := strings.CutPrefix(location, redirect)
	return found && (rest == "" || strings.ContainsAny(rest[:1], "?#&"))
}

func unescaped(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return ""
	}
	return plain
}

// googleError reads what Google writes into the address of its error page: a
// message of protocol buffers whose first field is the error, in base64.
func googleError(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	encoded := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(cmp.Or(u.Query().Get("authError"), u.Query().Get("auth_error")), "="))
	message, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	return string(message)
}
