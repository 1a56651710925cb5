package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/sessions"

	"gatehouse/storage"
)

// A sessionStore is gorilla/sessions over storage.Sessions: the cookie carries
// a random secret and nothing else, and storage has its digest. A cookie that
// is malformed, unknown or over is no session, and no error.
type sessionStore struct {
	cookies  cookies
	sessions storage.Sessions
	now      func() time.Time
}

var _ sessions.Store = (*sessionStore)(nil)

// The keys of a session's values.
type valueKey int

const (
	sessionValue   valueKey = iota // *storage.Session
	userValue                      // *storage.User
	beginningValue                 // *beginning: what Save is to store
)

// A beginning is a session that is not stored yet.
type beginning struct {
	session *storage.Session
	user    *storage.User
	browser storage.Digest
	// upstream is the id of the one that says who it is, or empty.
	upstream string
}

// begin notes that u signs in; Save makes it so.
func begin(kept *sessions.Session, u *storage.User, browser storage.Digest, upstream string, s *storage.Session) {
	kept.Values[beginningValue] = &beginning{session: s, user: u, browser: browser, upstream: upstream}
}

// signedIn is who is signed in, and since when; kept must not be new.
func signedIn(kept *sessions.Session) (*storage.Session, *storage.User) {
	s, _ := kept.Values[sessionValue].(*storage.Session)
	u, _ := kept.Values[userValue].(*storage.User)
	return s, u
}

// Get returns the session of this request, read once.
func (st *sessionStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(st, name)
}

// New reads the session that the request's cookie names.
func (st *sessionStore) New(r *http.Request, name string) (*sessions.Session, error) {
	kept := sessions.NewSession(st, name)
	kept.IsNew = true
	secret, ok := st.cookies.secret(r, name, sessionPrefix)
	if !ok {
		return kept, nil
	}
	s, u, err := st.sessions.Find(r.Context(), storage.NewDigest(storage.SessionSecret, secret), st.now())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return kept, nil
	case err != nil:
		return kept, err
	}
	kept.ID, kept.IsNew = secret, false
	kept.Values[sessionValue], kept.Values[userValue] = s, u
	return kept, nil
}

// Save stores what begin noted, under a new cookie: whoever knew the one
// before knows nothing of this one.
func (st *sessionStore) Save(r *http.Request, w http.ResponseWriter, kept *sessions.Session) error {
	b, ok := kept.Values[beginningValue].(*beginning)
	if !ok {
		return nil
	}
	delete(kept.Values, beginningValue)
	var previous storage.Digest
	if kept.ID != "" {
		previous = storage.NewDigest(storage.SessionSecret, kept.ID)
	}
	secret := newSecret(sessionPrefix)
	b.session.ID = rand.Text()
	e := storage.NewEvent(r.Context(), b.session.CreatedAt, "session.created", b.user.ID)
	e.Actor = b.user.ID
	e.Details = map[string]string{"amr": strings.Join(b.session.AMR, " ")}
	if b.upstream != "" {
		e.Details["upstream"] = b.upstream
	}
	err := st.sessions.Begin(r.Context(), b.session, storage.NewDigest(storage.SessionSecret, secret), previous, b.browser, e)
	if err != nil {
		return fmt.Errorf("begin the session: %w", err)
	}
	kept.ID, kept.IsNew = secret, false
	kept.Values[sessionValue], kept.Values[userValue] = b.session, b.user
	st.cookies.set(w, kept.Name(), secret, untilClosed)
	return nil
}
