// Package demo is a sample web app and a sample API, as somebody would write
// them who uses gatehouse: the app signs people in with an authorization code,
// PKCE, state and nonce, and calls the API; the API verifies access tokens
// offline. They know the provider by its issuer alone, like any other.
package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// CallbackPath and SignedOutPath are where the provider sends browsers back to,
// below the app's address.
const (
	CallbackPath  = "/callback"
	SignedOutPath = "/signed-out"
)

// callTime bounds each call to the provider and to the API.
const callTime = 10 * time.Second

// Scopes are what the app asks for.
var Scopes = []string{oidc.ScopeOpenID, "profile", "email", ScopeRead}

// AppConfig says who the app is, and where everything else is.
type AppConfig struct {
	URL          string // of the app: scheme, host and port
	API          string // of the sample API
	Issuer       string
	ClientID     string
	ClientSecret string
	LoginHint    string // whom the demo proposes to sign in as
	Log          *slog.Logger
}

// An App is the sample web app.
type App struct {
	AppConfig
	host     string
	client   *http.Client
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	provider *oidc.Provider
	signOut  string // the end-session endpoint
	sessions sessions
}

// NewApp reads the provider's discovery document, so the provider must answer.
func NewApp(ctx context.Context, c AppConfig) (*App, error) {
	self, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	a := &App{
		AppConfig: c, host: self.Host, client: &http.Client{Timeout: callTime},
		sessions: sessions{byID: make(map[string]*session)},
	}
	if a.provider, err = oidc.NewProvider(oidc.ClientContext(ctx, a.client), c.Issuer); err != nil {
		return nil, fmt.Errorf("sample app: discover %s: %w", c.Issuer, err)
	}
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := a.provider.Claims(&metadata); err != nil {
		return nil, fmt.Errorf("sample app: discover %s: %w", c.Issuer, err)
	}
	a.signOut = metadata.EndSession
	a.verifier = a.provider.Verifier(&oidc.Config{ClientID: c.ClientID})
	a.oauth = oauth2.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: a.provider.Endpoint(),
		RedirectURL: c.URL + CallbackPath, Scopes: Scopes,
	}
	return a, nil
}

// Handler is the app's addresses, behind what protects all of them.
func (a *App) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /sign-in", a.signIn)
	mux.HandleFunc("GET "+CallbackPath, a.callback)
	mux.HandleFunc("POST /call", a.call)
	mux.HandleFunc("POST /refresh", a.refresh)
	mux.HandleFunc("POST /sign-out", a.leave)
	mux.HandleFunc("GET "+SignedOutPath, a.signedOut)
	mux.HandleFunc("GET /assets/{name}", serveAsset)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a.show(w, http.StatusNotFound, view{Problem: &problem{Title: "There is no such page"}})
	})
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a.show(w, http.StatusForbidden, view{Problem: &problem{
			Title: "Another site asked for this", Detail: "Nothing was done. Use the buttons of the sample app itself.",
		}})
	}))
	return a.headers(a.ownHost(http.MaxBytesHandler(guard.Handler(mux), 64<<10)))
}

// headers: the pages load nothing but their own style, and their forms lead
// nowhere but here and, to sign out, to the provider.
func (a *App) headers(next http.Handler) http.Handler {
	policy := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + origin(a.signOut)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// ownHost answers under the app's own name alone: a name that somebody points
// at this machine must not reach it. The other names of loopback lead to it.
func (a *App) ownHost(next http.Handler) http.Handler {
	_, port, _ := strings.Cut(a.host, ":")
	others := []string{"127.0.0.1:" + port, "localhost:" + port}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host == a.host:
			next.ServeHTTP(w, r)
		case r.Method == http.MethodGet && slices.Contains(others, r.Host):
			w.Header().Set("Location", a.URL+r.URL.RequestURI())
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			a.show(w, http.StatusMisdirectedRequest, view{Problem: &problem{Title: "The sample app is at " + a.URL}})
		}
	})
}

// home shows who is signed in, and what the API said last.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.find(r)
	if s == nil {
		a.show(w, http.StatusOK, view{})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view{Person: s.person, Answer: s.answer, Problem: s.problem}
	s.problem = nil
	a.show(w, http.StatusOK, v)
}

// asPerson runs do for whoever is signed in, and then shows the home page; for
// anybody else it only does the latter.
func (a *App) asPerson(w http.ResponseWriter, r *http.Request, do func(context.Context, *session)) {
	if s := a.sessions.find(r); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.person != nil {
			do(oidc.ClientContext(r.Context(), a.client), s)
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// A problem is something that went wrong, for the person to read.
type problem struct{ Title, Detail string }

// refusal puts what the provider said against it into words.
func refusal(title string, err error) *problem {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.ErrorCode != "" {
		return &problem{Title: title, Detail: e.ErrorCode + ": " + e.ErrorDescription}
	}
	return &problem{Title: title, Detail: err.Error()}
}
