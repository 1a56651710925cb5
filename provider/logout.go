package provider

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/storage"
)

// logoutTime is how long a person may think about a sign-out.
const logoutTime = 10 * time.Minute

// serveLogout is the end-session endpoint (OpenID Connect RP-Initiated Logout
// §2), by GET and POST. It acts on the session of this browser and on no
// other: at once where the ID token shown names it, else once its person says so.
func (p *Provider) serveLogout(w http.ResponseWriter, r *http.Request) {
	f := readForm(r)
	if bad := f.firstFault(); bad != nil {
		page := malformed(bad)
		at(LogoutPath, page.Failure)
		p.pages.Error(w, r, *page)
		return
	}
	q, page := p.logoutAsked(r.Context(), f)
	if page != nil {
		p.pages.Error(w, r, *page)
		return
	}
	session, _, err := p.pages.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound) && r.Method == http.MethodPost:
		p.parkPostedLogout(w, r, q)
	case errors.Is(err, storage.ErrNotFound):
		p.pages.SignOut(w, r)
		seeOther(w, p.afterLogout(q))
	case err != nil:
		p.pages.Error(w, r, p.unavailable(r.Context(), "read the session", err))
	case q.SID != "" && q.SID == sid(session.ID, q.Client):
		p.endNow(w, r, session, q)
	default:
		p.askLogout(w, r, q)
	}
}

// logoutAsked validates the request, or says which parameter is wrong. Without
// a valid hint nobody is redirected.
func (p *Provider) logoutAsked(ctx context.Context, f *form) (*storage.LogoutRequest, *PageError) {
	if id := f.get("request"); id != "" {
		return p.takePostedLogout(ctx, id)
	}
	q := &storage.LogoutRequest{Client: f.get("client_id"), State: f.get("state")}
	claims, err := p.readHint(f.get("id_token_hint"))
	hinted := err == nil
	if hinted {
		if q.Client == "" {
			q.Client = claims.Audience[0]
		}
		if !slices.Contains(claims.Audience, q.Client) {
			return nil, &PageError{Status: http.StatusBadRequest, Message: InvalidParameter, Parameter: "client_id",
				Failure: at(LogoutPath, &storage.Failure{Kind: "id_token_hint", ClientID: q.Client, Sent: q.Client, Expected: strings.Join(claims.Audience, " ")})}
		}
		q.SID = claims.SessionID
	}
	client, err := p.knownClient(ctx, q.Client)
	switch {
	case errors.Is(err, storage.ErrNotFound) && f.get("client_id") != "":
		return nil, &PageError{Status: http.StatusBadRequest, Message: InvalidParameter, Parameter: "client_id",
			Failure: at(LogoutPath, &storage.Failure{Kind: "client_id", ClientID: q.Client, Sent: q.Client})}
	case errors.Is(err, storage.ErrNotFound):
		q.Client = "" // none was named, or the one that the hint was for is gone
		return q, nil
	case err != nil:
		page := p.unavailable(ctx, "read a client", err)
		return nil, &page
	}
	redirect := f.get("post_logout_redirect_uri")
	if redirect == "" || !hinted {
		return q, nil
	}
	if !slices.Contains(client.Metadata.PostLogoutRedirectURIs, redirect) {
		return nil, &PageError{Status: http.StatusBadRequest, Message: InvalidParameter, Parameter: "post_logout_redirect_uri", ClientURI: ClientURI(client),
			Failure: at(LogoutPath, unregistered("post_logout_redirect_uri", client, redirect, client.Metadata.PostLogoutRedirectURIs))}
	}
	q.Redirect = redirect
	return q, nil
}

func (p *Provider) unavailable(ctx context.Context, doing string, err error) PageError {
	p.broken(ctx, doing, err)
	return PageError{Status: http.StatusServiceUnavailable, Message: Unavailable,
		Failure: &storage.Failure{Kind: unavailable, Details: map[string]string{detailDoing: doing}}}
}

// parkPostedLogout: a browser shows our cookies with no POST from elsewhere,
// so it is sent round once more, by GET.
func (p *Provider) parkPostedLogout(w http.ResponseWriter, r *http.Request, q *storage.LogoutRequest) {
	q.ID = newID()
	if err := p.parkLogout(r.Context(), q, unclaimed(q.ID)); err != nil {
		p.pages.Error(w, r, p.unavailable(r.Context(), "park a sign-out", err))
		return
	}
	seeOther(w, p.issuer+LogoutPath+"?request="+q.ID)
}

func (p *Provider) takePostedLogout(ctx context.Context, id string) (*storage.LogoutRequest, *PageError) {
	q, err := p.store.Flows.TakeLogout(ctx, id, unclaimed(id), p.now())
	if err == nil {
		return q, nil
	}
	page := PendingError(nil, err)
	at(LogoutPath, page.Failure)
	if page.Status == http.StatusServiceUnavailable {
		p.broken(ctx, "read a sign-out", err)
	}
	return nil, &page
}

func (p *Provider) parkLogout(ctx context.Context, q *storage.LogoutRequest, browser storage.Digest) error {
	q.Browser, q.CreatedAt = browser, p.now()
	q.ExpiresAt = q.CreatedAt.Add(logoutTime)
	return p.store.Flows.ParkLogout(ctx, q)
}

// askLogout sends the person to the question.
func (p *Provider) askLogout(w http.ResponseWriter, r *http.Request, q *storage.LogoutRequest) {
	browser, err := p.pages.Browser(w, r)
	if err == nil {
		q.ID = newID()
		err = p.parkLogout(r.Context(), q, browser)
	}
	if err != nil {
		p.pages.Error(w, r, p.unavailable(r.Context(), "park a sign-out", err))
		return
	}
	seeOther(w, p.pages.URL(Logout, q.ID))
}

func (p *Provider) endNow(w http.ResponseWriter, r *http.Request, session *storage.Session, q *storage.LogoutRequest) {
	if err := p.endSession(r.Context(), session); err != nil {
		p.pages.Error(w, r, p.unavailable(r.Context(), "end a session", err))
		return
	}
	p.pages.SignOut(w, r)
	seeOther(w, p.afterLogout(q))
}

func (p *Provider) endSession(ctx context.Context, s *storage.Session) error {
	now := p.now()
	e := storage.NewEvent(ctx, now, "session.ended", s.UserID)
	e.Actor = s.UserID
	return p.store.Sessions.End(ctx, s.ID, now, e)
}

// afterLogout is where a sign-out leads: to the client, with its state, or to
// our page that says so.
func (p *Provider) afterLogout(q *storage.LogoutRequest) string {
	switch {
	case q == nil || q.Redirect == "":
		return p.pages.URL(Gone, "")
	case q.State == "":
		return q.Redirect
	}
	return withQuery(q.Redirect, []field{{"state", q.State}})
}

// PendingLogout is a parked end-session request as a page shows it.
type PendingLogout struct {
	ID     string
	Client *storage.Client // nil where none was named
}

// PendingLogout returns the parked end-session request of this browser: the
// errors of storage.Flows.
func (p *Provider) PendingLogout(r *http.Request, requestID string) (*PendingLogout, error) {
	browser, err := p.browser(r)
	if err != nil {
		return nil, err
	}
	q, err := p.store.Flows.GetLogout(r.Context(), requestID, browser, p.now())
	if err != nil {
		return nil, err
	}
	pending := &PendingLogout{ID: q.ID}
	if q.Client != "" {
		pending.Client, err = p.knownClient(r.Context(), q.Client)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
	}
	return pending, nil
}

// EndSession ends this browser's session and returns where to go: a registered
// post-logout redirect URI with state, or the page that says so. requestID may
// be empty; one that is over leads to that page.
func (p *Provider) EndSession(w http.ResponseWriter, r *http.Request, requestID string) (location string, err error) {
	var q *storage.LogoutRequest
	if requestID != "" {
		if q, err = p.takeLogout(r, requestID); err != nil {
			return "", err
		}
	}
	session, _, err := p.pages.Session(r)
	if err == nil {
		err = p.endSession(r.Context(), session)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", err
	}
	p.pages.SignOut(w, r)
	return p.afterLogout(q), nil
}

// takeLogout spends a parked sign-out: nil where it is over, or another browser's.
func (p *Provider) takeLogout(r *http.Request, id string) (*storage.LogoutRequest, error) {
	browser, err := p.browser(r)
	if err != nil {
		return nil, err
	}
	q, err := p.store.Flows.TakeLogout(r.Context(), id, browser, p.now())
	for _, over := range []error{storage.ErrNotFound, storage.ErrExpired, storage.ErrReused, storage.ErrMismatch, storage.ErrConflict} {
		if errors.Is(err, over) {
			return nil, nil
		}
	}
	return q, err
}
