package providertest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
)

// The side that owns the browser, as plain as it can be: the real one is web's.
const (
	browserCookie = "browser"
	sessionCookie = "session"
)

type pages struct{ *House }

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (p pages) Session(r *http.Request) (*storage.Session, *storage.User, error) {
	value := cookie(r, sessionCookie)
	if value == "" {
		return nil, nil, storage.ErrNotFound
	}
	return p.Store.Sessions.Find(r.Context(), storage.NewDigest(storage.SessionSecret, value), p.Now())
}

func (p pages) Browser(w http.ResponseWriter, r *http.Request) (storage.Digest, error) {
	value := cookie(r, browserCookie)
	if value == "" {
		value = rand.Text()
		http.SetCookie(w, &http.Cookie{Name: browserCookie, Value: value, Path: "/", SameSite: http.SameSiteLaxMode})
	}
	return storage.NewDigest(storage.BrowserSecret, value), nil
}

func (p pages) URL(step provider.Step, requestID string) string {
	path := map[provider.Step]string{
		provider.SignIn: "/login", provider.Consent: "/consent", provider.Logout: "/logout/confirm", provider.Gone: "/signed-out",
	}[step]
	if requestID == "" {
		return p.Issuer + path
	}
	return p.Issuer + path + "?request=" + url.QueryEscape(requestID)
}

func (p pages) SignOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
}

func (p pages) Error(w http.ResponseWriter, r *http.Request, e provider.PageError) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Page-Message", e.Message)
	w.Header().Set("Page-Parameter", e.Parameter)
	w.Header().Set("Page-Client", e.ClientURI)
	if f := e.Failure; f != nil {
		f.Code, f.At = storage.OriginOf(r.Context()).RequestID, p.Now()
		if err := p.Store.Failures.Note(r.Context(), f); err != nil {
			p.T.Errorf("note a failure: %v", err)
		}
	}
	w.WriteHeader(e.Status)
	w.Write([]byte("<h1>Error</h1>"))
}

// FormPost writes the form as JSON: there is no browser here to post it.
func (p pages) FormPost(w http.ResponseWriter, r *http.Request, action string, fields map[string]string) {
	w.Header().Set("Form-Action", action)
	json.NewEncoder(w).Encode(fields)
}

// pages adds the forms that people answer. The house believes who they say they are.
func (h *House) pages(mux *http.ServeMux) {
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.URL.Path)) })
	mux.HandleFunc("POST /login", h.login)
	mux.HandleFunc("POST /consent", h.consent)
	mux.HandleFunc("POST /logout/confirm", h.logout)
	mux.HandleFunc("POST /device", h.device)
}

func (h *House) failed(w http.ResponseWriter, err error) {
	page := provider.PendingError(nil, err)
	w.Header().Set("Page-Message", page.Message)
	http.Error(w, err.Error(), page.Status)
}

func (h *House) login(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("request")
	if id != "" {
		if _, err := h.Provider.Pending(r, id); err != nil {
			h.failed(w, err)
			return
		}
	}
	s, secret, err := h.begin(r, r.FormValue("username"), storage.NewDigest(storage.BrowserSecret, cookie(r, browserCookie)))
	if err == nil && id != "" {
		err = h.Provider.SignedIn(r.Context(), id, s)
	}
	if err != nil {
		h.failed(w, err)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: secret, Path: "/", SameSite: http.SameSiteLaxMode})
	if id == "" {
		return
	}
	http.Redirect(w, r, h.Provider.ResumeURL(id), http.StatusSeeOther)
}

func (h *House) begin(r *http.Request, username string, browser storage.Digest) (*storage.Session, string, error) {
	u, err := h.Store.Users.Find(r.Context(), username)
	if err != nil {
		return nil, "", err
	}
	now, secret := h.Now(), rand.Text()
	s := &storage.Session{
		ID: rand.Text(), UserID: u.ID, Epoch: u.Epoch, AuthTime: now, AMR: []string{"pwd"}, ACR: provider.LowestACR, CreatedAt: now, SeenAt: now,
		IdleLifetime: 8 * time.Hour, IdleExpiresAt: now.Add(8 * time.Hour), ExpiresAt: now.Add(24 * time.Hour),
	}
	var previous storage.Digest
	if before := cookie(r, sessionCookie); before != "" {
		previous = storage.NewDigest(storage.SessionSecret, before)
	}
	err = h.Store.Sessions.Begin(r.Context(), s, storage.NewDigest(storage.SessionSecret, secret), previous, browser, nil)
	return s, secret, err
}

func (h *House) consent(w http.ResponseWriter, r *http.Request) {
	id, answer := r.FormValue("request"), h.Provider.Deny
	if r.FormValue("decision") == "allow" {
		answer = h.Provider.Approve
	}
	if err := answer(r, id); err != nil && !errors.Is(err, storage.ErrReused) {
		h.failed(w, err)
		return
	}
	http.Redirect(w, r, h.Provider.ResumeURL(id), http.StatusSeeOther)
}

func (h *House) logout(w http.ResponseWriter, r *http.Request) {
	location, err := h.Provider.EndSession(w, r, r.FormValue("request"))
	if err != nil {
		h.failed(w, err)
		return
	}
	http.Redirect(w, r, location, http.StatusSeeOther)
}
