package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// next decides what a request needs now: to sign in, to ask consent, or to
// respond. It is the one place that knows which step follows which. flow says
// how far the request has come (for one that came just now: CreatedAt alone),
// session is the browser's live session or nil, and consent what its user has
// allowed the client. A refusal is the answer to the client.
//
// A line fires at most once in a request. acr_values ask for nothing yet: they
// are voluntary, and no sign-in of this version reaches more than another.
func next(q *request, flow *storage.AuthRequest, session *storage.Session, consent *storage.Consent, now time.Time) (Step, *oidc.Error) {
	if flow.Answer == storage.Denied {
		return "", accessDenied("the person declined")
	}
	needed, refusal := needsSignIn(q, flow, session, now)
	switch {
	case refusal != nil:
		return "", refusal
	case needed && q.prompts(oidc.PromptNone):
		return "", loginRequired("nobody is signed in as the request asks")
	case needed:
		return SignIn, nil
	}
	switch {
	case flow.Answer == storage.Allowed && flow.AnsweredBy == session.UserID:
		return Respond, nil
	case flow.Answer == storage.Allowed:
		return "", loginRequired("another person signed in meanwhile")
	case !q.prompts(oidc.PromptConsent) && covers(consent.Scopes, q.wanted()):
		return Respond, nil
	case q.prompts(oidc.PromptNone):
		return "", consentRequired("the person has not allowed all of this yet")
	}
	return Consent, nil
}

// needsSignIn is the first half of next.
func needsSignIn(q *request, flow *storage.AuthRequest, session *storage.Session, now time.Time) (bool, *oidc.Error) {
	if session == nil {
		return true, nil
	}
	if q.HintedUser != "" && q.HintedUser != session.UserID {
		if !flow.SignedInAt.IsZero() {
			// OpenID Connect Core §3.1.2.1: whom the hint names, or login_required.
			return false, loginRequired("somebody else signed in than id_token_hint names")
		}
		return true, nil
	}
	forIt := !flow.SignedInAt.IsZero() && flow.UserID == session.UserID
	unknown := session.AuthTimeUnknown && q.recent()
	switch {
	case forIt && (unknown || q.stale(session.AuthTime, flow.CreatedAt, flow.SignedInAt)):
		// They were signed in elsewhere all the time, and that is what we were told.
		return false, loginRequired("the sign-in is older than the request allows")
	case unknown:
		return true, nil
	case forIt, session.AuthTime.After(flow.CreatedAt):
		return false, nil
	}
	return q.prompts(oidc.PromptLogin) || q.prompts(oidc.PromptSelectAccount) || q.tooOld(session.AuthTime, now), nil
}

// recent reports whether a sign-in of some recency is asked for at all.
func (q *request) recent() bool { return q.MaxAge != nil || q.prompts(oidc.PromptLogin) }

// tooOld reports whether a sign-in at authTime is older than max_age allows.
// max_age=0 is prompt=login (OpenID Connect Core §3.1.2.1).
func (q *request) tooOld(authTime, now time.Time) bool {
	return q.MaxAge != nil && (*q.MaxAge == 0 || now.Sub(authTime) > time.Duration(*q.MaxAge)*time.Second)
}

// stale reports whether a sign-in for this request, which came at created, is
// one of which an upstream says that it happened too early, at authTime. Its
// clock may differ from ours.
func (q *request) stale(authTime, created, signedIn time.Time) bool {
	if q.prompts(oidc.PromptLogin) || q.MaxAge != nil && *q.MaxAge == 0 {
		return authTime.Before(created.Add(-clockSkew))
	}
	return q.MaxAge != nil && signedIn.Sub(authTime) > time.Duration(*q.MaxAge)*time.Second+clockSkew
}

func (q *request) prompts(value string) bool { return slices.Contains(q.Prompt, value) }

// covers reports whether all that is asked for is allowed.
func covers(allowed, asked []string) bool {
	return !slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(allowed, s) })
}

// beyond is what is asked for and not allowed.
func beyond(allowed, asked []string) []string {
	return slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return slices.Contains(allowed, s) })
}

// A standing is all that next decides from, for one parked request.
type standing struct {
	flow    *storage.AuthRequest
	request *request
	client  *storage.Client
	session *storage.Session // nil: nobody is signed in
	user    *storage.User
	consent *storage.Consent
}

// look reads who is signed in and what they allowed the client.
func (p *Provider) look(r *http.Request, s *standing) error {
	session, user, err := p.pages.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		s.session, s.user, s.consent = nil, nil, &storage.Consent{}
		return nil
	case err != nil:
		return err
	}
	s.session, s.user = session, user
	if s.client.Metadata.SkipConsent {
		// An administrator allowed it for everybody.
		s.consent = &storage.Consent{UserID: user.ID, ClientID: s.client.ID, Scopes: s.request.wanted()}
		return nil
	}
	s.consent, err = p.store.Consents.Get(r.Context(), user.ID, s.client.ID)
	return err
}

func (s *standing) next(now time.Time) (Step, *oidc.Error) {
	return next(s.request, s.flow, s.session, s.consent, now)
}

// resume reads a parked request of this browser. Where the flow exists and may
// not be used, the standing comes with the error and names the client at most.
func (p *Provider) resume(r *http.Request, id string, browser storage.Digest) (*standing, error) {
	flow, err := p.store.Flows.Get(r.Context(), id, browser, p.now())
	if flow == nil {
		return nil, err
	}
	client, clientErr := p.knownClient(r.Context(), flow.Client)
	if err != nil {
		return &standing{client: client}, err
	}
	if clientErr != nil {
		return nil, clientErr
	}
	s := &standing{flow: flow, client: client, request: new(request)}
	if err := s.request.decode(flow.Params); err != nil {
		return nil, err
	}
	return s, p.look(r, s)
}

// Pending is a parked request as a page shows it.
type Pending struct {
	ID     string
	Step   Step // what next says now; Respond where resuming gives the answer, whichever it is
	Client *storage.Client
	// Scopes are asked for; NewScopes, of these, not yet allowed by this user.
	Scopes    []string
	NewScopes []string
	LoginHint string
	UILocales []string
	// IDPHint is the id of the upstream that the client would have people sign in
	// at; or empty.
	IDPHint string
	// Prompt and MaxAge are what the client asks of the sign-in: what an upstream
	// is to be asked in turn.
	Prompt []string
	MaxAge *int64
	// Session and User say who is signed in already (and, where Step is SignIn,
	// must prove it again or be replaced); nil where nobody is, and User also
	// where the request is for somebody else.
	Session *storage.Session
	User    *storage.User
	// Redirect is the origin that the answer goes to, for display. One that
	// begins with http: is shown as development.
	Redirect string

	standing *standing
}

// Accepts reports whether a sign-in now is as recent as the client asks, where
// it happened elsewhere at authTime. Next asks the same again.
func (p *Pending) Accepts(authTime, now time.Time) bool {
	return !p.standing.request.stale(authTime, p.standing.flow.CreatedAt, now)
}

// Recent reports whether the client asks for a sign-in of some recency at all.
func (p *Pending) Recent() bool { return p.standing.request.recent() }

// Pending returns the parked request of this browser: the errors of
// storage.Flows. With ErrReused, ErrExpired and ErrMismatch it comes too, and
// has the Client alone; PendingError makes the page of that.
func (p *Provider) Pending(r *http.Request, requestID string) (*Pending, error) {
	browser, err := p.browser(r)
	if err != nil {
		return nil, err
	}
	s, err := p.resume(r, requestID, browser)
	if s == nil {
		return nil, err
	}
	if err != nil {
		return &Pending{ID: requestID, Client: s.client}, err
	}
	step, refusal := s.next(p.now())
	if refusal != nil {
		step = Respond
	}
	return &Pending{
		ID: requestID, Step: step, Client: s.client,
		Scopes:    s.request.wanted(),
		NewScopes: beyond(s.consent.Scopes, s.request.wanted()),
		LoginHint: s.request.LoginHint, UILocales: s.request.UILocales, IDPHint: s.request.IDPHint,
		Prompt: s.request.Prompt, MaxAge: s.request.MaxAge, standing: s,
		Session: s.session, User: s.invited(), Redirect: origin(s.request.RedirectURI),
	}, nil
}

// invited is who is signed in, unless the request is for somebody else.
func (s *standing) invited() *storage.User {
	if s.request.HintedUser != "" && s.user != nil && s.user.ID != s.request.HintedUser {
		return nil
	}
	return s.user
}

// SignedIn notes that session's user signed in for this request, which Pending
// has shown to be this browser's; the browser is then sent to ResumeURL.
func (p *Provider) SignedIn(ctx context.Context, requestID string, s *storage.Session) error {
	return p.store.Flows.SignedIn(ctx, requestID, s.UserID, p.now())
}

// Approve notes the user's yes to what was asked for. Where the request does
// not ask for consent now, it notes nothing: resuming shows what it needs.
func (p *Provider) Approve(r *http.Request, requestID string) error {
	s, err := p.asking(r, requestID)
	if s == nil || err != nil {
		return err
	}
	now := p.now()
	allowed := storage.Consent{UserID: s.user.ID, ClientID: s.client.ID, Scopes: s.request.wanted(), GrantedAt: now}
	return p.store.Consents.Allow(r.Context(), allowed, requestID, s.answered(r, now, "consent.granted"))
}

// Deny notes the user's no, as Approve notes the yes.
func (p *Provider) Deny(r *http.Request, requestID string) error {
	s, err := p.asking(r, requestID)
	if s == nil || err != nil {
		return err
	}
	now := p.now()
	return p.store.Flows.Deny(r.Context(), requestID, s.user.ID, now, s.answered(r, now, "consent.denied"))
}

// answered is the event of this person's answer to this client.
func (s *standing) answered(r *http.Request, now time.Time, name string) *storage.Event {
	e := storage.NewEvent(r.Context(), now, name, s.user.ID)
	e.Actor, e.ClientID = s.user.ID, s.client.ID
	return e
}

// asking returns the standing of a request of this browser that asks for
// consent now, else nil.
func (p *Provider) asking(r *http.Request, requestID string) (*standing, error) {
	browser, err := p.browser(r)
	if err != nil {
		return nil, err
	}
	s, err := p.resume(r, requestID, browser)
	if err != nil {
		return nil, err
	}
	if step, refusal := s.next(p.now()); refusal != nil || step != Consent {
		return nil, nil
	}
	return s, nil
}
