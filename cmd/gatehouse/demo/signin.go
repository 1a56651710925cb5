package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A person is who signed in, and what the app was given for them.
type person struct {
	Name      string // the best there is to call them
	IDToken   string
	Claims    map[string]any // of the ID token
	Userinfo  map[string]any
	Token     *oauth2.Token
	Refreshed int // how often
}

// signIn sends the browser to the provider. State, nonce and the PKCE verifier
// stay in this browser's session.
func (a *App) signIn(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		s = &session{pending: make(map[string]attempt)}
		a.sessions.add(w, s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state := rand.Text()
	t := attempt{nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), begun: time.Now()}
	s.begin(state, t)
	options := []oauth2.AuthCodeOption{oidc.Nonce(t.nonce), oauth2.S256ChallengeOption(t.verifier)}
	if a.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", a.LoginHint))
	}
	if r.URL.Query().Get("ask") == "consent" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	http.Redirect(w, r, a.oauth.AuthCodeURL(state, options...), http.StatusSeeOther)
}

// callback takes the provider's answer, and asks the API at once.
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := a.sessions.find(r)
	if s == nil {
		a.show(w, http.StatusBadRequest, view{Problem: stale})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.take(q.Get("state"))
	switch {
	case !ok && s.person != nil: // the back button, or a second click
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	case !ok:
		a.show(w, http.StatusBadRequest, view{Problem: stale})
		return
	case q.Get("iss") != a.Issuer: // RFC 9207 §2.4
		a.show(w, http.StatusBadRequest, view{Problem: &problem{Title: "The answer came from somebody else", Detail: "It does not name " + a.Issuer + " as its issuer."}})
		return
	case q.Get("error") != "":
		a.show(w, http.StatusForbidden, view{Problem: &problem{
			Title: "You were not signed in", Detail: strings.TrimSuffix(q.Get("error")+": "+q.Get("error_description"), ": "),
		}})
		return
	}
	ctx := oidc.ClientContext(r.Context(), a.client)
	p, err := a.redeem(ctx, q.Get("code"), t)
	if err != nil {
		a.Log.WarnContext(ctx, "sample app: sign-in", "error", err)
		a.show(w, http.StatusBadGateway, view{Problem: refusal("The sign-in could not be finished", err)})
		return
	}
	s.person, s.problem = p, nil
	s.answer = a.ask(ctx, cases["read"], p.Token.AccessToken)
	a.sessions.renew(w, r, s)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// stale is what somebody sees whose browser did not begin this sign-in, or who
// comes back to it.
var stale = &problem{
	Title:  "This sign-in is over",
	Detail: "It was finished before, was begun in another browser, or is too old. Sign in again: it takes a moment.",
}

// redeem turns a code into tokens, and the ID token into a person.
func (a *App) redeem(ctx context.Context, code string, t attempt) (*person, error) {
	token, err := a.oauth.Exchange(ctx, code, oauth2.VerifierOption(t.verifier))
	if err != nil {
		return nil, err
	}
	p := &person{Token: token}
	if err := a.identify(ctx, p, t.nonce); err != nil {
		return nil, err
	}
	info, err := a.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return nil, err
	}
	// OpenID Connect Core §5.3.2: it must be about the same person.
	if info.Subject != p.Claims["sub"] {
		return nil, errors.New("userinfo is about somebody else")
	}
	if err := info.Claims(&p.Userinfo); err != nil {
		return nil, err
	}
	p.Name = info.Subject
	for _, claim := range []string{"name", "preferred_username", "email"} {
		if name, _ := p.Userinfo[claim].(string); name != "" {
			p.Name = name
			break
		}
	}
	return p, nil
}

// identify verifies the ID token beside p's access token. A nonce, where there
// is one, must be in it.
func (a *App) identify(ctx context.Context, p *person, nonce string) error {
	raw, _ := p.Token.Extra("id_token").(string)
	id, err := a.verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	if nonce != "" && id.Nonce != nonce {
		return errors.New("the ID token has another nonce: it answers another sign-in")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(p.Token.AccessToken); err != nil {
			return err
		}
	}
	claims := make(map[string]any)
	if err := id.Claims(&claims); err != nil {
		return err
	}
	if before, ok := p.Claims["sub"]; ok && before != id.Subject {
		return fmt.Errorf("the new ID token is about %q", id.Subject)
	}
	p.IDToken, p.Claims = raw, claims
	return nil
}

// leave signs the person out here, and then at the provider (OpenID Connect
// RP-Initiated Logout §2).
func (a *App) leave(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		http.Redirect(w, r, SignedOutPath, http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.person
	s.person, s.answer = nil, nil
	a.sessions.remove(w, r)
	if p == nil {
		http.Redirect(w, r, SignedOutPath, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, a.signOut+"?"+url.Values{
		"id_token_hint": {p.IDToken}, "post_logout_redirect_uri": {a.URL + SignedOutPath},
	}.Encode(), http.StatusSeeOther)
}

// signedOut is where the provider sends the browser after that.
func (a *App) signedOut(w http.ResponseWriter, r *http.Request) {
	if s := a.sessions.find(r); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.person != nil { // an old address, opened again
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
	}
	a.show(w, http.StatusOK, view{Gone: true})
}
