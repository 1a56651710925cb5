package upstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// An Ask is what is wished for beside a sign-in.
type Ask struct {
	Prompt    string // empty: what is configured
	LoginHint string
	MaxAge    *int64 // seconds; nil: the sign-in there may be as old as it likes
	UILocales []string
}

// A Leaving is what a browser leaves with. State travels; Nonce and Verifier
// stay here until it comes back.
type Leaving struct {
	Address  string
	State    string
	Nonce    string
	Verifier string
}

// A year: nobody is asked to sign in again because of it, and with a max_age a
// provider must say when somebody signed in (OpenID Connect Core §2, auth_time).
const anyAge = 365 * 24 * 60 * 60

// Leave makes the authorization request (OpenID Connect Core §3.1.2.1), with
// PKCE S256, state and nonce.
func (p *Provider) Leave(ctx context.Context, ask Ask) (*Leaving, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	l := &Leaving{State: "ghu_" + rand.Text() + rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
	q := url.Values{"nonce": {l.Nonce}, "max_age": {strconv.Itoa(anyAge)}}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("prompt", d.prompt(cmp.Or(ask.Prompt, p.Prompt)))
	set("login_hint", ask.LoginHint)
	set("ui_locales", strings.Join(ask.UILocales, " "))
	set("hd", p.HostedDomain)
	if ask.MaxAge != nil {
		q.Set("max_age", strconv.FormatInt(*ask.MaxAge, 10))
	}
	if p.ID == Google && ask.MaxAge != nil {
		// It tells when somebody signed in where claims asks for that, not for max_age.
		q.Set("claims", `{"id_token":{"auth_time":{"essential":true}}}`)
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(l.Verifier)}
	for name := range q {
		options = append(options, oauth2.SetAuthURLParam(name, q.Get(name)))
	}
	l.Address = p.oauth(d).AuthCodeURL(l.State, options...)
	return l, nil
}

func (p *Provider) oauth(d *Document) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if p.AuthMethod != "client_secret_basic" {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: string(p.ClientSecret), RedirectURL: p.RedirectURI, Scopes: p.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.AuthorizationEndpoint, TokenURL: d.TokenEndpoint, AuthStyle: style},
	}
}

// instead is what comes nearest where a provider does not take a prompt: either
// makes it ask somebody something.
var instead = map[string]string{"login": "select_account", "select_account": "login"}

// usual are the prompts of a provider that does not say: oidc-provider, for one,
// refuses select_account.
var usual = []string{"none", "login", "consent"}

// prompt is a prompt in the values that the provider takes. Others are an error
// at some.
func (d *Document) prompt(wanted string) string {
	takes := d.Prompts
	if len(takes) == 0 {
		takes = usual
	}
	var values []string
	for _, value := range strings.Fields(wanted) {
		if !slices.Contains(takes, value) {
			value = instead[value]
		}
		if slices.Contains(takes, value) && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return strings.Join(values, " ")
}
