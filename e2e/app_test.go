package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// An app is a relying party made of coreos/go-oidc and x/oauth2, with a web
// server of its own on 127.0.0.1: another site than the provider's localhost.
type app struct {
	t        testing.TB
	server   *server
	client   client
	http     *httptest.Server
	provider *oidc.Provider
	oauth    oauth2.Config

	mu      sync.Mutex
	begun   map[string]attempt // by state
	visits  map[string]*visit  // by the app's own cookie
	failure error              // the last thing that went wrong at the callback
}

// An attempt is a sign-in that has begun.
type attempt struct{ nonce, verifier string }

// A visit is somebody signed in to the app.
type visit struct {
	token  *oauth2.Token
	raw    string // the ID token
	claims map[string]any
}

// newApp registers an app with the server and opens it. args are more flags of
// `client create`.
func newApp(t testing.TB, s *server, id string, args ...string) *app {
	t.Helper()
	a := &app{t: t, server: s, begun: map[string]attempt{}, visits: map[string]*visit{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /signin", a.signIn)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("GET /refresh", a.refresh)
	mux.HandleFunc("GET /signout", a.signOut)
	mux.HandleFunc("GET /bye", func(w http.ResponseWriter, r *http.Request) {
		show(w, "Bye", "state "+r.URL.Query().Get("state"))
	})
	a.http = httptest.NewServer(mux)
	t.Cleanup(a.http.Close)

	if !slices.Contains(args, "--name") {
		args = append(args, "--name", "App "+id)
	}
	a.client = s.addClient(id, append([]string{
		"--redirect-uri", a.callbackURL(),
		"--grant-type", "authorization_code", "--grant-type", "refresh_token",
		"--scope", "openid profile email offline_access",
		"--set", "post_logout_redirect_uris=" + a.http.URL + "/bye",
	}, args...)...)

	var err error
	if a.provider, err = oidc.NewProvider(context.Background(), s.issuer); err != nil {
		t.Fatal(err)
	}
	a.oauth = oauth2.Config{
		ClientID: a.client.id, ClientSecret: a.client.secret, Endpoint: a.provider.Endpoint(), RedirectURL: a.callbackURL(),
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
	a.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if a.client.secret == "" {
		a.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return a
}

func (a *app) callbackURL() string { return a.http.URL + "/callback" }

// begin returns the address of a new authorization request.
func (a *app) begin(options ...oauth2.AuthCodeOption) (address, state string) {
	state = rand.Text()
	begun := attempt{nonce: rand.Text(), verifier: oauth2.GenerateVerifier()}
	a.mu.Lock()
	a.begun[state] = begun
	a.mu.Unlock()
	options = append([]oauth2.AuthCodeOption{oidc.Nonce(begun.nonce), oauth2.S256ChallengeOption(begun.verifier)}, options...)
	return a.oauth.AuthCodeURL(state, options...), state
}

func (a *app) attempt(state string) (attempt, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	begun, ok := a.begun[state]
	return begun, ok
}

// redeem exchanges the code of an authorization response and verifies all of it.
func (a *app) redeem(ctx context.Context, answer url.Values) (*visit, error) {
	if code := answer.Get("error"); code != "" {
		return nil, fmt.Errorf("%s: %s", code, answer.Get("error_description"))
	}
	if iss := answer.Get("iss"); iss != a.server.issuer {
		return nil, fmt.Errorf("iss is %q", iss)
	}
	begun, ok := a.attempt(answer.Get("state"))
	if !ok {
		return nil, fmt.Errorf("state %q is not ours", answer.Get("state"))
	}
	token, err := a.oauth.Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(begun.verifier))
	if err != nil {
		return nil, err
	}
	return a.verify(ctx, token, begun.nonce)
}

// verify checks the ID token of a token response.
func (a *app) verify(ctx context.Context, token *oauth2.Token, nonce string) (*visit, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, fmt.Errorf("no ID token in the answer")
	}
	id, err := a.provider.VerifierContext(ctx, &oidc.Config{ClientID: a.client.id}).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	if id.Nonce != nonce {
		return nil, fmt.Errorf("nonce is %q, sent %q", id.Nonce, nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		return nil, err
	}
	v := &visit{token: token, raw: raw}
	return v, id.Claims(&v.claims)
}

// renew trades the visit's refresh token for new tokens.
func (a *app) renew(ctx context.Context, v *visit) (*oauth2.Token, error) {
	return a.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: v.token.RefreshToken, Expiry: time.Unix(1, 0)}).Token()
}

// The app's pages.

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	if v := a.visitOf(r); v != nil {
		show(w, "Signed in", fmt.Sprint(v.claims["sub"]))
		return
	}
	show(w, "Welcome", "nobody is signed in")
}

func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	var options []oauth2.AuthCodeOption
	for name, values := range r.URL.Query() {
		options = append(options, oauth2.SetAuthURLParam(name, values[0]))
	}
	address, _ := a.begin(options...)
	http.Redirect(w, r, address, http.StatusSeeOther)
}

func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	v, err := a.redeem(r.Context(), r.URL.Query())
	a.mu.Lock()
	a.failure = err
	a.mu.Unlock()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		show(w, "Sign-in failed", err.Error())
		return
	}
	id := rand.Text()
	a.mu.Lock()
	a.visits[id] = v
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "app", Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	show(w, "Signed in", fmt.Sprint(v.claims["sub"]))
}

func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	v := a.visitOf(r)
	if v == nil {
		show(w, "Welcome", "nobody is signed in")
		return
	}
	token, err := a.renew(r.Context(), v)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		show(w, "Refresh failed", err.Error())
		return
	}
	a.mu.Lock()
	v.token = token
	a.mu.Unlock()
	show(w, "Refreshed", "")
}

func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	query := url.Values{"post_logout_redirect_uri": {a.http.URL + "/bye"}, "state": {"farewell"}}
	if v := a.visitOf(r); v != nil {
		query.Set("id_token_hint", v.raw)
	} else {
		query.Set("client_id", a.client.id)
	}
	http.SetCookie(w, &http.Cookie{Name: "app", Path: "/", MaxAge: -1})
	http.Redirect(w, r, a.server.endpoint("end_session_endpoint")+"?"+query.Encode(), http.StatusSeeOther)
}

func (a *app) visitOf(r *http.Request) *visit {
	c, err := r.Cookie("app")
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.visits[c.Value]
}

var appPage = template.Must(template.New("").Parse(`<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<h1>{{.Title}}</h1><p id="detail">{{.Detail}}</p>
<a id="signin" href="/signin">Sign in</a> <a id="refresh" href="/refresh">Refresh</a> <a id="signout" href="/signout">Sign out</a></html>`))

func show(w http.ResponseWriter, title, detail string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// The connection is all that can fail, and then nobody reads the error.
	_ = appPage.Execute(w, struct{ Title, Detail string }{title, detail})
}

// enter signs somebody in through the pages and redeems the code, as the app
// does, without the app's own pages.
func (a *app) enter(p *person, options ...oauth2.AuthCodeOption) *visit {
	a.t.Helper()
	v, err := a.redeem(a.t.Context(), a.code(p, options...))
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

// code signs somebody in and returns the authorization response, unredeemed.
func (a *app) code(p *person, options ...oauth2.AuthCodeOption) url.Values {
	a.t.Helper()
	address, _ := a.begin(options...)
	p.stopAt = a.callbackURL()
	defer func() { p.stopAt = "" }()
	at := p.signIn(address)
	if !hasCode(at) {
		a.t.Fatalf("no code came back, but %d at %s\n%s", at.status, at.address, at.body)
	}
	return at.address.Query()
}

// silentCode gets a code without meeting a page.
func (a *app) silentCode(ctx context.Context, p *person) (url.Values, error) {
	address, _ := a.begin()
	at, err := p.tryVisit(ctx, address)
	if err == nil && !hasCode(at) {
		err = fmt.Errorf("a signed-in browser got %d and no code", at.status)
	}
	if err != nil {
		return nil, err
	}
	return at.address.Query(), nil
}

func hasCode(at page) bool { return at.address.Query().Has("code") }

// userinfo asks with an access token; claims is nil where it was refused.
func (s *server) userinfo(accessToken string) (status int, claims map[string]any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.endpoint("userinfo_endpoint"), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&claims); err != nil {
			s.t.Fatal(err)
		}
	}
	return resp.StatusCode, claims
}
