package provider

import (
	"cmp"
	"context"

	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
	"gatehouse/storage"
)

// A request is the parameters of an authorization request, as validated: what
// AuthRequest.Params keeps.
type request struct {
	reply
	Scopes     []string      `json:"scopes"`
	Challenge  string        `json:"code_challenge"`
	Nonce      string        `json:"nonce,omitempty"`
	Resources  []string      `json:"resources,omitempty"`
	Prompt     []string      `json:"prompt,omitempty"`
	MaxAge     *int64        `json:"max_age,omitempty"`
	HintedUser string        `json:"hinted_user,omitempty"` // the sub of id_token_hint
	LoginHint  string        `json:"login_hint,omitempty"`
	IDPHint    string        `json:"idp_hint,omitempty"` // our own: the upstream to go to at once
	UILocales  []string      `json:"ui_locales,omitempty"`
	Claims     claimsRequest `json:"claims"`
}

func (q *request) encode() ([]byte, error) { return json.Marshal(q) }

func (q *request) decode(params []byte) error {
	if err := json.Unmarshal(params, q); err != nil {
		return fmt.Errorf("decode a parked request: %w", err)
	}
	return nil
}

// serveAuthorize is the authorization endpoint (RFC 6749 §3.1). Client and
// redirect URI are judged first: until both stand, errors are a page.
func (p *Provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	f := readForm(r)
	client, page := p.addressee(r.Context(), f)
	if page != nil {
		p.pages.Error(w, r, *page)
		return
	}
	to := replyTo(f)
	q, err := p.validate(f, client, to)
	if err != nil {
		p.respondError(w, r, client, to, err)
		return
	}
	now := p.now()
	s := &standing{flow: &storage.AuthRequest{Client: client.ID, CreatedAt: now}, client: client, request: q}
	if r.Method == http.MethodPost {
		p.parkPosted(w, r, s)
		return
	}
	if err := p.look(r, s); err != nil {
		p.respondError(w, r, client, to, p.lost(r.Context(), "read session and consent", err))
		return
	}
	p.proceed(w, r, s, now)
}

// addressee returns the client that may read the answer, or the page that says
// why nobody may. An unknown client and a wrong redirect URI get the same page.
func (p *Provider) addressee(ctx context.Context, f *form) (*storage.Client, *PageError) {
	if bad := f.fault("client_id", "redirect_uri"); bad != nil {
		return nil, malformed(bad)
	}
	for _, name := range []string{"client_id", "redirect_uri"} {
		// OpenID Connect Core §3.1.2.1: redirect_uri is always required.
		if f.get(name) == "" {
			return nil, &PageError{Status: http.StatusBadRequest, Message: MissingParameter, Parameter: name, Failure: missingFailure(name)}
		}
	}
	c, err := p.knownClient(ctx, f.get("client_id"))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, &PageError{Status: http.StatusBadRequest, Message: InvalidParameter, Parameter: "client_id",
			Failure: &storage.Failure{Kind: "client_id", ClientID: f.get("client_id"), Sent: f.get("client_id")}}
	case err != nil:
		page := p.unavailable(ctx, "read a client", err)
		return nil, &page
	case !redirectRegistered(c, f.get("redirect_uri")):
		return nil, &PageError{Status: http.StatusBadRequest, Message: InvalidParameter, Parameter: "redirect_uri",
			Failure: unregistered("redirect_uri", c, f.get("redirect_uri"), c.Metadata.RedirectURIs)}
	}
	return c, nil
}

// validate judges what is left once client and redirect URI stand.
func (p *Provider) validate(f *form, c *storage.Client, to reply) (*request, error) {
	if bad := f.firstFault(); bad != nil {
		return nil, invalidRequest(bad.Error()).WithParent(bad)
	}
	for _, refuse := range []func(*form, *storage.Client) *oidc.Error{refuseObjects, refuseResponse, refusePKCE} {
		if e := refuse(f, c); e != nil {
			return nil, e
		}
	}
	q := &request{reply: to, Nonce: f.get("nonce"), Challenge: f.get("code_challenge"),
		LoginHint: f.get("login_hint"), IDPHint: f.get("idp_hint"), UILocales: strings.Fields(f.get("ui_locales"))}
	var err error
	if q.Scopes, err = askedScopes(f.get("scope"), c); err != nil {
		return nil, err
	}
	if q.Resources, err = askedResources(f.resources, c); err != nil {
		return nil, err
	}
	if q.Prompt, err = askedPrompt(f.get("prompt")); err != nil {
		return nil, err
	}
	if q.MaxAge, err = askedMaxAge(f.get("max_age"), c); err != nil {
		return nil, err
	}
	if hint := f.get("id_token_hint"); hint != "" {
		claims, err := p.readHint(hint)
		if err != nil || !slices.Contains(claims.Audience, c.ID) {
			return nil, about(invalidRequest("id_token_hint is not an ID token that this issuer made for this client"), "id_token_hint", "", "")
		}
		q.HintedUser = claims.Subject
	}
	return q, q.readClaims(f.get("claims"), c)
}

// refuseObjects refuses what would have to change the meaning of the request,
// and is not advertised (OpenID Connect Core §6, §7.2.1).
func refuseObjects(f *form, _ *storage.Client) *oidc.Error {
	switch {
	case f.get("request") != "":
		return about(&oidc.Error{ErrorType: oidc.RequestNotSupported, Description: "send the parameters themselves"}, "request", "", "")
	case f.get("request_uri") != "":
		return about(&oidc.Error{ErrorType: "request_uri_not_supported", Description: "send the parameters themselves"}, "request_uri", "", "")
	case f.get("registration") != "":
		return about(&oidc.Error{ErrorType: "registration_not_supported", Description: "register the client beforehand"}, "registration", "", "")
	}
	return nil
}

func refuseResponse(f *form, c *storage.Client) *oidc.Error {
	switch responseType := f.get("response_type"); {
	case responseType == "":
		return about(invalidRequest("response_type is missing"), "response_type", "", codeResponse)
	case responseType != codeResponse:
		return about(unsupportedResponseType("response_type must be code"), "response_type", responseType, codeResponse)
	case !allowsGrant(c, codeGrant) || !slices.Contains(c.Metadata.ResponseTypes, codeResponse):
		registered := strings.Join(slices.Concat(c.Metadata.ResponseTypes, c.Metadata.GrantTypes), " ")
		return about(unauthorizedClient("the client did not register response_type code"), "grant_types", registered, codeGrant)
	}
	switch f.get("response_mode") {
	case "", string(oidc.ResponseModeQuery), string(oidc.ResponseModeFormPost):
		return nil
	}
	return about(invalidRequest("response_mode must be query or form_post"), "response_mode", f.get("response_mode"), "query or form_post")
}

// refusePKCE demands a challenge of every client, by the one method that is
// not the verifier itself (RFC 7636 §4.3, OAuth 2.1 §4.1.1). No method named
// means plain. A client with the switch for it may send a nonce instead.
func refusePKCE(f *form, c *storage.Client) *oidc.Error {
	challenge := f.get("code_challenge")
	switch {
	case challenge == "" && c.Metadata.NonceInsteadOfPKCE && f.get("code_challenge_method") == "":
		if f.get("nonce") == "" || !slices.Contains(strings.Fields(f.get("scope")), oidc.ScopeOpenID) {
			return about(invalidRequest("code_challenge is missing, and so is the nonce or the scope openid that this client may send instead"), "code_challenge", "", "")
		}
		return nil
	case challenge == "":
		return about(invalidRequest("code_challenge is missing: PKCE is required"), "code_challenge", "", "")
	case f.get("code_challenge_method") != string(oidc.CodeChallengeMethodS256):
		return about(invalidRequest("code_challenge_method must be S256"), "code_challenge_method", f.get("code_challenge_method"), string(oidc.CodeChallengeMethodS256))
	case len(challenge) != 43 || strings.Trim(challenge, letters+digits+"-_") != "":
		return about(invalidRequest("code_challenge must be the base64url SHA-256 of the verifier, 43 characters"), "code_challenge", fmt.Sprintf("%d characters", len(challenge)), "43 characters")
	}
	return nil
}

// askedScopes reads scope. Every one must be registered for the client, or the
// request is refused with invalid_scope; none is dropped silently but
// offline_access, which means nothing without a refresh token (OpenID Connect
// Core §11). Without openid it is a plain OAuth request.
func askedScopes(raw string, c *storage.Client) ([]string, error) {
	if raw == "" {
		return nil, about(invalidScope("scope is missing"), "scope", "", c.Metadata.Scope)
	}
	var scopes []string
	registered := strings.Fields(c.Metadata.Scope)
	for _, s := range strings.Fields(raw) {
		switch {
		case !scopeToken(s):
			return nil, about(invalidScope("scope has a character that no scope may have"), "scope", raw, c.Metadata.Scope)
		case !slices.Contains(registered, s):
			return nil, about(invalidScope("the client did not register the scope "+s), "scope", raw, c.Metadata.Scope)
		case s == oidc.ScopeOfflineAccess && !allowsGrant(c, refreshGrant), slices.Contains(scopes, s):
		default:
			scopes = append(scopes, s)
		}
	}
	return scopes, nil
}

// askedResources reads resource (RFC 8707 §2).
func askedResources(resources []string, c *storage.Client) ([]string, error) {
	for _, r := range resources {
		if resourceProblem(r) != "" {
			return nil, about(invalidTarget("resource must be an absolute URI without a fragment"), "resource", shownURI(r, nil), "")
		}
		if !slices.Contains(c.Metadata.Audience, r) {
			return nil, about(invalidTarget("resource is not in the audience that the client registered"), "resource", shownURI(r, nil), strings.Join(c.Metadata.Audience, " "))
		}
	}
	return resources, nil
}

// askedPrompt reads prompt. Values that no specification we implement defines
// are left alone (OpenID Connect Core §3.1.2.1).
func askedPrompt(raw string) ([]string, error) {
	prompt := strings.Fields(raw)
	if len(prompt) > 1 && slices.Contains(prompt, oidc.PromptNone) {
		return nil, about(invalidRequest("prompt=none goes with no other value"), "prompt", raw, "none, or the other values")
	}
	return prompt, nil
}

func askedMaxAge(raw string, c *storage.Client) (*int64, error) {
	if raw == "" {
		return c.Metadata.DefaultMaxAge, nil
	}
	seconds, err := strconv.ParseInt(raw, 10, 32)
	if err != nil || seconds < 0 || raw[0] == '+' || raw[0] == '-' {
		return nil, about(invalidRequest("max_age must be a number of seconds"), "max_age", raw, "a number of seconds")
	}
	return &seconds, nil
}

// readHint verifies an id_token_hint: our signature, an ID token and nothing
// else. An expired one still names its user (OpenID Connect Core §3.1.2.1).
func (p *Provider) readHint(hint string) (*oidc.IDTokenClaims, error) {
	payload, err := p.keys.Verify(hint, keys.TypeJWT)
	if err != nil {
		return nil, err
	}
	claims := new(oidc.IDTokenClaims)
	if err := json.Unmarshal(payload, claims); err != nil {
		return nil, err
	}
	if claims.Issuer != p.issuer || claims.Subject == "" || len(claims.Audience) == 0 {
		return nil, oidc.ErrIssuerInvalid
	}
	return claims, nil
}

// proceed does what next says: show a page, or respond.
func (p *Provider) proceed(w http.ResponseWriter, r *http.Request, s *standing, now time.Time) {
	step, refusal := s.next(now)
	switch {
	case refusal != nil:
		p.refuse(w, r, s, refusal)
	case step == Respond:
		p.grant(w, r, s)
	default:
		if s.flow.ID == "" {
			browser, err := p.pages.Browser(w, r)
			if err == nil {
				err = p.park(r.Context(), s, browser)
			}
			if err != nil {
				p.respondError(w, r, s.client, s.request.reply, p.lost(r.Context(), "park a request", err))
				return
			}
		}
		seeOther(w, p.pages.URL(step, s.flow.ID))
	}
}

// refuse answers a request with an error, and spends it where it was parked.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, s *standing, refusal *oidc.Error) {
	if s.flow.ID != "" {
		if err := p.store.Flows.Take(r.Context(), s.flow.ID, p.now()); err != nil {
			p.strand(w, r, s, err)
			return
		}
	}
	p.respondError(w, r, s.client, s.request.reply, p.standingAs(s, refusal))
}

// park keeps a validated request until its person is done.
func (p *Provider) park(ctx context.Context, s *standing, browser storage.Digest) error {
	params, err := s.request.encode()
	if err != nil {
		return err
	}
	s.flow.ID, s.flow.Browser, s.flow.Params = cmp.Or(s.flow.ID, newID()), browser, params
	s.flow.ExpiresAt = s.flow.CreatedAt.Add(p.lifetimes.AuthRequest)
	return p.store.Flows.Park(ctx, s.flow)
}

// parkPosted parks a request that came by POST. Our cookies are SameSite=Lax,
// so a browser does not show them with it: it is asked again, by GET, and the
// request becomes that browser's own there.
func (p *Provider) parkPosted(w http.ResponseWriter, r *http.Request, s *standing) {
	s.flow.ID = newID()
	if err := p.park(r.Context(), s, unclaimed(s.flow.ID)); err != nil {
		p.respondError(w, r, s.client, s.request.reply, p.lost(r.Context(), "park a request", err))
		return
	}
	seeOther(w, p.ResumeURL(s.flow.ID))
}

// unclaimed owns a posted request until a browser resumes it. It is no secret:
// whoever has the ID could send the same request by GET.
func unclaimed(id string) storage.Digest {
	return storage.NewDigest(storage.BrowserSecret, "posted "+id)
}

// ResumeURL is where every page sends the browser when it is done.
func (p *Provider) ResumeURL(requestID string) string {
	return p.issuer + ResumePath + "?id=" + url.QueryEscape(requestID)
}

// serveResume asks next again for a parked request of this browser.
func (p *Provider) serveResume(w http.ResponseWriter, r *http.Request) {
	f := readForm(r)
	if bad := f.firstFault(); bad != nil {
		p.pages.Error(w, r, *malformed(bad))
		return
	}
	browser, err := p.pages.Browser(w, r)
	if err != nil {
		p.strand(w, r, nil, err)
		return
	}
	s, err := p.resume(r, f.get("id"), browser)
	if errors.Is(err, storage.ErrMismatch) {
		s, err = p.claim(r, f.get("id"), browser, s, err)
	}
	if err != nil {
		p.strand(w, r, s, err)
		return
	}
	p.proceed(w, r, s, p.now())
}

// claim makes a posted request this browser's own, once.
func (p *Provider) claim(r *http.Request, id string, browser storage.Digest, other *standing, mismatch error) (*standing, error) {
	s, err := p.resume(r, id, unclaimed(id))
	switch {
	case errors.Is(err, storage.ErrMismatch):
		return other, mismatch
	case err != nil:
		return s, err
	}
	if err := p.store.Flows.Take(r.Context(), id, p.now()); err != nil {
		return s, err
	}
	s.flow.ID = ""
	return s, p.park(r.Context(), s, browser)
}

// strand shows why a parked request cannot go on, and the way back to the client.
func (p *Provider) strand(w http.ResponseWriter, r *http.Request, s *standing, err error) {
	pending := new(Pending)
	if s != nil {
		pending.Client = s.client
	}
	page := PendingError(pending, err)
	if page.Status == http.StatusServiceUnavailable {
		p.broken(r.Context(), "resume a request", err)
	}
	p.pages.Error(w, r, page)
}

// grant stores what was authorized, and sends the code that delivers it.
func (p *Provider) grant(w http.ResponseWriter, r *http.Request, s *standing) {
	g := p.newGrant(s)
	code := newSecret("ghc_")
	err := p.store.Grants.Create(r.Context(), g, storage.NewDigest(storage.CodeSecret, code), s.flow.ID, nil)
	switch {
	case errors.Is(err, storage.ErrReused), errors.Is(err, storage.ErrExpired):
		p.strand(w, r, s, err)
		return
	case errors.Is(err, storage.ErrNotFound):
		p.respondError(w, r, s.client, s.request.reply, accessDenied("the account, its session or the client ended meanwhile"))
		return
	case err != nil:
		p.respondError(w, r, s.client, s.request.reply, p.lost(r.Context(), "store a grant", err))
		return
	}
	p.log.InfoContext(r.Context(), "code issued", "client", s.client.ID, "user", g.UserID, "grant", g.ID)
	p.respond(w, r, s.request.reply, []field{{"code", code}})
}

func (p *Provider) newGrant(s *standing) *storage.Grant {
	now, q, l := p.now(), s.request, p.lifetimes.of(s.client)
	g := &storage.Grant{
		ID: newID(), UserID: s.session.UserID, ClientID: s.client.ID, SessionID: s.session.ID, Epoch: s.session.Epoch,
		Scopes: q.Scopes, Resources: q.Resources, Nonce: q.Nonce,
		AuthTime: s.session.AuthTime, AMR: s.session.AMR, ACR: s.session.ACR, CreatedAt: now, TokenLifetime: l.AccessToken,
		RedirectURI: q.RedirectURI, CodeChallenge: q.Challenge, NonceInsteadOfPKCE: q.Challenge == "", Claims: q.Claims.encode(), CodeExpiresAt: now.Add(l.Code),
	}
	if allowsGrant(s.client, refreshGrant) {
		g.Offline = slices.Contains(q.Scopes, oidc.ScopeOfflineAccess)
		g.RefreshIdle = l.RefreshIdle
		g.RefreshExpiresAt = now.Add(l.RefreshMax)
	}
	return g
}

// of are the lifetimes with those that the client registered in their place.
func (l Lifetimes) of(c *storage.Client) Lifetimes {
	m := &c.Metadata
	for _, own := range []struct {
		of      *time.Duration
		seconds int64
	}{
		{&l.AccessToken, m.AccessTokenLifetime}, {&l.IDToken, m.IDTokenLifetime},
		{&l.RefreshIdle, m.RefreshTokenIdle}, {&l.RefreshMax, m.RefreshTokenLifetime},
	} {
		if own.seconds > 0 {
			*own.of = time.Duration(own.seconds) * time.Second
		}
	}
	if c.Public() {
		l.RefreshGrace = l.RefreshGracePublic
	}
	if m.RefreshGrace != nil {
		l.RefreshGrace = time.Duration(*m.RefreshGrace) * time.Second
	}
	return l
}
