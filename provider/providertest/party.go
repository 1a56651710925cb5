package providertest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// A Party is a relying party.
type Party struct {
	h        *House
	ID       string
	Secret   string
	Redirect string
	Metadata storage.ClientMetadata
}

// Client registers a relying party. What metadata leaves out is that of a web
// application with a secret, https://rp.test/cb and every grant type.
func (h *House) Client(id string, change ...func(*storage.ClientMetadata)) *Party {
	h.T.Helper()
	m := storage.ClientMetadata{
		ClientName: id, RedirectURIs: []string{"https://rp.test/cb"}, PostLogoutRedirectURIs: []string{"https://rp.test/bye"},
		GrantTypes: []string{"authorization_code", "refresh_token", "client_credentials"},
		Scope:      "openid profile email address phone offline_access api",
	}
	for _, c := range change {
		c(&m)
	}
	made, err := h.Registrar.Register(h.T.Context(), id, "", m)
	if err != nil {
		h.T.Fatal(err)
	}
	party := &Party{h: h, ID: id, Secret: made.Secret, Metadata: made.Client.Metadata}
	if len(made.Client.Metadata.RedirectURIs) > 0 {
		party.Redirect = made.Client.Metadata.RedirectURIs[0]
	}
	return party
}

// At is the party at another node.
func (p *Party) At(h *House) *Party {
	there := *p
	there.h = h
	return &there
}

// Public makes a client one without a secret.
func Public(m *storage.ClientMetadata) {
	m.TokenEndpointAuthMethod = "none"
	m.GrantTypes = []string{"authorization_code", "refresh_token"}
}

// Trusted spares a client's users the question.
func Trusted(m *storage.ClientMetadata) { m.SkipConsent = true }

// A Request is an authorization request with the verifier of its challenge.
type Request struct {
	url.Values
	Verifier string
}

// Request is a whole and right authorization request; pairs change it, and an
// empty value takes a parameter out.
func (p *Party) Request(pairs ...string) Request {
	verifier := rand.Text() + rand.Text()
	q := url.Values{
		"client_id": {p.ID}, "redirect_uri": {p.Redirect}, "response_type": {"code"}, "scope": {"openid profile email"},
		"state": {"state of " + p.ID}, "nonce": {"nonce of " + p.ID},
		"code_challenge": {oidc.NewSHACodeChallenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return Request{q, verifier}
}

// URL is the request's address.
func (q Request) URL() string { return "/authorize?" + q.Encode() }

// Authorize sends username all the way through this request.
func (b *Browser) Authorize(q Request, username string) *Answer {
	b.h.T.Helper()
	return b.Walk(b.Get(q.URL()), username, "allow")
}

// Code returns a fresh code with its verifier.
func (p *Party) Code(b *Browser, username string, pairs ...string) (code, verifier string) {
	p.h.T.Helper()
	q := p.Request(pairs...)
	a := b.Authorize(q, username)
	if to := a.Location(); to != nil && to.Query().Get("code") != "" {
		return to.Query().Get("code"), q.Verifier
	}
	p.h.T.Fatalf("no code: %d %s %s", a.Status, a.Header, a.Body)
	return "", ""
}

// Token sends a request to the token endpoint; pairs change its parameters.
func (p *Party) Token(form url.Values, pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Send("/token", form, pairs...)
}

// Introspect asks what a token is.
func (p *Party) Introspect(token string, pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Send("/introspect", url.Values{"token": {token}}, pairs...)
}

// Revoke ends a token.
func (p *Party) Revoke(token string, pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Send("/revoke", url.Values{"token": {token}}, pairs...)
}

// Send posts a form, authenticated as registered; pairs change its parameters.
func (p *Party) Send(path string, form url.Values, pairs ...string) *Answer {
	p.h.T.Helper()
	form = cloned(form)
	for i := 0; i+1 < len(pairs); i += 2 {
		if form.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	basic := p.Metadata.TokenEndpointAuthMethod == "client_secret_basic"
	if !basic {
		form.Set("client_id", p.ID)
	}
	if p.Metadata.TokenEndpointAuthMethod == "client_secret_post" {
		form.Set("client_secret", p.Secret)
	}
	r := p.h.request(http.MethodPost, path, form)
	if basic {
		r.SetBasicAuth(url.QueryEscape(p.ID), url.QueryEscape(p.Secret))
	}
	return p.h.Send(http.DefaultClient, r)
}

func cloned(form url.Values) url.Values {
	c := make(url.Values, len(form))
	for k, v := range form {
		c[k] = append([]string(nil), v...)
	}
	return c
}

// Redemption is the form that redeems a code.
func (p *Party) Redemption(code, verifier string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.Redirect}, "code_verifier": {verifier}}
}

// Refresh presents a refresh token.
func (p *Party) Refresh(token string, pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, pairs...)
}

// Tokens are what a token response gave.
type Tokens struct {
	Access    string `json:"access_token"`
	Refresh   string `json:"refresh_token"`
	ID        string `json:"id_token"`
	Type      string `json:"token_type"`
	ExpiresIn int64  `json:"expires_in"`
	Scope     string `json:"scope"`
	Error     string `json:"error"`
}

// Tokens reads a token response.
func (a *Answer) Tokens() (t Tokens) {
	if err := json.Unmarshal([]byte(a.Body), &t); err != nil {
		t.Error = "unreadable: " + a.Body
	}
	return t
}

// SignIn gives the party tokens for username, through a new browser.
func (p *Party) SignIn(username string, pairs ...string) Tokens {
	p.h.T.Helper()
	return p.SignInWith(p.h.Browser(), username, pairs...)
}

// SignInWith gives the party tokens for username through this browser.
func (p *Party) SignInWith(b *Browser, username string, pairs ...string) Tokens {
	p.h.T.Helper()
	a := p.Token(p.Redemption(p.Code(b, username, pairs...)))
	if a.Status != http.StatusOK {
		p.h.T.Fatalf("redeem: %d %s", a.Status, a.Body)
	}
	return a.Tokens()
}

// Userinfo asks the userinfo endpoint.
func (h *House) Userinfo(accessToken string) *Answer {
	h.T.Helper()
	r := h.request(http.MethodGet, "/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+accessToken)
	return h.Send(http.DefaultClient, r)
}

// Alive reports whether an access token still opens the userinfo endpoint.
func (h *House) Alive(accessToken string) bool {
	h.T.Helper()
	return h.Userinfo(accessToken).Status == http.StatusOK
}

// Claims reads a JWT's claims; nobody verified it.
func Claims(token string) map[string]any { return part(token, 1) }

// Header reads a JWT's header.
func Header(token string) map[string]any { return part(token, 0) }

func part(token string, i int) map[string]any {
	var object map[string]any
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[i])
	if err != nil || json.Unmarshal(raw, &object) != nil {
		return nil
	}
	return object
}
