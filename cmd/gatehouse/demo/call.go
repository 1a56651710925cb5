package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// A kind is one way of asking the API.
type kind struct {
	method, path string
	// spoil changes the token before it is sent; nil leaves it.
	spoil func(token string) string
}

// cases are the ways that the page offers: one that is fine, and two that the
// API must refuse.
var cases = map[string]kind{
	"read":    {method: http.MethodGet, path: "/notes"},
	"write":   {method: http.MethodPost, path: "/notes"},
	"changed": {method: http.MethodGet, path: "/notes", spoil: changeSignature},
}

// changeSignature exchanges one character in the last part.
func changeSignature(token string) string {
	b := []byte(token)
	if i := len(b) - 20; i >= 0 {
		if b[i] == 'A' {
			b[i] = 'B'
		} else {
			b[i] = 'A'
		}
	}
	return string(b)
}

// An answer is what the API said.
type answer struct {
	Request  string
	Status   string
	Accepted bool
	Reason   string // of a refusal
	// Challenge is the WWW-Authenticate header.
	Challenge string
	Body      string // JSON, indented
	At        time.Time
}

// call asks the API as the pressed button says.
func (a *App) call(w http.ResponseWriter, r *http.Request) {
	k, ok := cases[r.PostFormValue("case")]
	if !ok {
		k = cases["read"]
	}
	a.asPerson(w, r, func(ctx context.Context, s *session) {
		s.answer = a.ask(ctx, k, s.person.Token.AccessToken)
	})
}

// ask calls the API with an access token.
func (a *App) ask(ctx context.Context, k kind, token string) *answer {
	if k.spoil != nil {
		token = k.spoil(token)
	}
	said := &answer{Request: k.method + " " + a.API + k.path, At: time.Now()}
	req, err := http.NewRequestWithContext(ctx, k.method, a.API+k.path, nil)
	if err != nil {
		said.Reason = err.Error()
		return said
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := a.client.Do(req)
	if err != nil {
		said.Status, said.Reason = "no answer", err.Error()
		return said
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		said.Status, said.Reason = res.Status, err.Error()
		return said
	}
	said.Status, said.Accepted = res.Status, res.StatusCode == http.StatusOK
	said.Challenge = res.Header.Get("WWW-Authenticate")
	var refused struct {
		Description string `json:"error_description"`
	}
	if !said.Accepted && json.Unmarshal(body, &refused) == nil {
		said.Reason = refused.Description
	}
	var indented bytes.Buffer
	if json.Indent(&indented, body, "", "  ") == nil {
		body = bytes.TrimSpace(indented.Bytes())
	}
	said.Body = string(body)
	return said
}

// refresh takes a new access token, and a new refresh token, for the old ones,
// and asks the API with it.
func (a *App) refresh(w http.ResponseWriter, r *http.Request) {
	a.asPerson(w, r, func(ctx context.Context, s *session) {
		p := *s.person
		if err := a.renewTokens(ctx, &p); err != nil {
			a.Log.WarnContext(ctx, "sample app: refresh", "error", err)
			s.problem = refusal("The provider gave no new tokens", err)
			return
		}
		s.person = &p
		s.answer = a.ask(ctx, cases["read"], p.Token.AccessToken)
	})
}

func (a *App) renewTokens(ctx context.Context, p *person) error {
	token, err := a.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: p.Token.RefreshToken}).Token()
	if err != nil {
		return err
	}
	p.Token = token
	p.Refreshed++
	if token.Extra("id_token") == nil {
		return nil
	}
	if err := a.identify(ctx, p, ""); err != nil {
		return fmt.Errorf("the new ID token: %w", err)
	}
	return nil
}
