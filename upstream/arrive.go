package upstream

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// An Answer is what a browser brings back (OpenID Connect Core §3.1.2.5, RFC 9207).
type Answer struct {
	Code, Issuer            string
	Error, ErrorDescription string
}

// Arrive exchanges the code and judges what it gives: somebody at the upstream,
// or a *Fault.
func (p *Provider) Arrive(ctx context.Context, a Answer, l *Leaving) (*Assertion, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	if f := p.judgeAnswer(a, d); f != nil {
		return nil, f
	}
	token, err := p.exchange(ctx, d, a.Code, l.Verifier)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, p.differs("no_id_token", "no id_token", "an id_token, as the scope openid asks for")
	}
	claims, err := p.verify(ctx, d, raw, token.AccessToken, l.Nonce)
	if err != nil {
		return nil, err
	}
	if err := p.askUserinfo(ctx, d, token, claims); err != nil {
		return nil, err
	}
	assertion := p.assertion(claims)
	return assertion, p.judgeDomain(assertion)
}

// judgeAnswer looks at the answer before anything of it is used.
func (p *Provider) judgeAnswer(a Answer, d *Document) error {
	switch {
	// RFC 9207 §2.4: an answer of another provider is none of this one's, error or not.
	case a.Issuer != "" && !p.isIssuer(a.Issuer):
		return p.differs("answer_issuer", a.Issuer, p.Issuer)
	case a.Issuer == "" && d.IssInResponse:
		return p.differs("answer_issuer", "no iss", p.Issuer)
	case a.Error == "access_denied":
		return p.differs("declined", a.Error, "a code", "error_description", a.ErrorDescription)
	case a.Error != "":
		return p.differs("answer_error", a.Error, "a code", "error_description", a.ErrorDescription)
	case a.Code == "":
		return p.differs("no_code", "neither code nor error", "a code")
	}
	return nil
}

// isIssuer compares issuers byte for byte. Google alone is known to leave the
// scheme out.
func (p *Provider) isIssuer(iss string) bool {
	return iss == p.Issuer || p.ID == Google && "https://"+iss == p.Issuer
}

// exchange redeems the code.
func (p *Provider) exchange(ctx context.Context, d *Document, code, verifier string) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.set.out.HTTP())
	token, err := p.oauth(d).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	refused, answered := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case err == nil:
		return token, nil
	case !answered:
		return nil, p.unanswered("exchange", err, d.TokenEndpoint)
	}
	said := p.without(code, verifier)
	details := []string{"address", d.TokenEndpoint, "status", strconv.Itoa(refused.Response.StatusCode), "error_description", said(refused.ErrorDescription)}
	switch code := refused.ErrorCode; {
	case code == "" && refused.Response.StatusCode >= http.StatusInternalServerError:
		return nil, p.down(refused.Response, d.TokenEndpoint)
	case code == "invalid_client", code == "unauthorized_client":
		return nil, p.differs("invalid_client", code, "the secret of client "+p.ClientID, details...)
	case code == "redirect_uri_mismatch":
		return nil, p.differs("redirect_uri", p.RedirectURI, "an address that is registered there", details...)
	}
	return nil, p.differs("exchange", said(refused.ErrorCode), "tokens for the code", append(details, "redirect_uri", p.RedirectURI)...)
}

// askUserinfo adds what the userinfo endpoint says to claims, where the ID token says
// too little about the person.
func (p *Provider) askUserinfo(ctx context.Context, d *Document, token *oauth2.Token, c *claims) error {
	wants := func(scope, value string) bool { return slices.Contains(p.Scopes, scope) && value == "" }
	if d.UserinfoEndpoint == "" || !wants("email", c.Email) && !wants("profile", c.Name) {
		return nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.UserinfoEndpoint, nil)
	if err != nil {
		return p.fault("userinfo", errors.New("its address is malformed"))
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	r.Header.Set("Accept", "application/json")
	answer, err := p.set.out.HTTP().Do(r)
	if err != nil {
		return p.unanswered("userinfo", err, d.UserinfoEndpoint)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusInternalServerError {
		return p.down(answer, d.UserinfoEndpoint)
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if answer.StatusCode != http.StatusOK || !strings.HasSuffix(kind, "json") {
		return p.differs("userinfo", strings.TrimSpace(strconv.Itoa(answer.StatusCode)+" "+kind), "200 application/json", "address", d.UserinfoEndpoint)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return p.unanswered("userinfo", err, d.UserinfoEndpoint)
	}
	more := c.person
	// Each of these is of the answer or is not there: a subject that is missing is
	// not that of the token, and verified is said of the address beside it.
	more.Subject, more.Email, more.EmailVerified = "", "", false
	if err := decode(body, &more); err != nil {
		return p.fault("userinfo", errors.New("its answer is not JSON as OpenID Connect has it"), "address", d.UserinfoEndpoint)
	}
	// OpenID Connect Core §5.3.2: or it is about somebody else.
	if more.Subject != c.Subject {
		return p.differs("userinfo_subject", more.Subject, c.Subject)
	}
	if more.Email == "" {
		more.Email, more.EmailVerified = c.Email, c.EmailVerified
	}
	c.person = more
	return nil
}
