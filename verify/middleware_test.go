package verify_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gatehouse/verify"
)

func TestMiddlewareAnswersAsRFC6750Asks(t *testing.T) {
	p := newProvider(t)
	v := p.verifier(t, nil)
	good := p.token(t, "ES256", time.Now())
	expired := sign(t, "ES256", "ES256", signers()["ES256"], p.claims(time.Now().Add(-time.Hour)), nil)
	door := v.Middleware("notes:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(verify.FromContext(r.Context()).Subject))
	}))
	strict := v.Middleware("notes:read", "notes:write")(door)
	const realm = `Bearer realm="https://api.example"`

	for _, c := range []struct {
		name      string
		handler   http.Handler
		headers   []string
		status    int
		challenge string
	}{
		{"a good token", door, []string{"Bearer " + good}, 200, ""},
		{"the scheme in any case", door, []string{"bEaReR " + good}, 200, ""},
		{"no header", door, nil, 401, realm},
		{"another scheme", door, []string{"Basic YTpi"}, 401, realm},
		{"the token without a scheme", door, []string{good}, 401, realm},
		{"two headers", door, []string{"Bearer " + good, "Bearer " + good}, 400, realm + `, error="invalid_request", error_description="more than one Authorization header"`},
		{"Bearer and nothing", door, []string{"Bearer "}, 400, realm + `, error="invalid_request", error_description="no token after Bearer"`},
		{"Bearer twice", door, []string{"Bearer Bearer " + good}, 401, realm + `, error="invalid_token", error_description="the token itself begins with 'Bearer '"`},
		{"an expired token", door, []string{"Bearer " + expired}, 401, realm + `, error="invalid_token", error_description="the access token has expired"`},
		{"a token of another issuer", door, []string{"Bearer " + sign(t, "ES256", "ES256", signers()["ES256"], with(p.claims(time.Now()), map[string]any{"iss": "https://evil\"\r\n.example"}), nil)}, 401,
			realm + `, error="invalid_token", error_description="the access token is from another issuer"`},
		{"a scope that is missing", strict, []string{"Bearer " + good}, 403,
			realm + `, error="insufficient_scope", error_description="the access token lacks a scope that is needed here", scope="notes:read notes:write"`},
		{"100,000 dots", door, []string{"Bearer " + strings.Repeat(".", 100_000)}, 401, realm + `, error="invalid_token", error_description="the access token is malformed"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/notes", nil)
			r.Header["Authorization"] = c.headers
			w := httptest.NewRecorder()
			c.handler.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("challenge\n got %s\nwant %s", got, c.challenge)
			}
			if c.status == 200 {
				if w.Body.String() != "alice" {
					t.Errorf("the handler saw %q", w.Body)
				}
				return
			}
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] == "" {
				t.Errorf("body %s: %v", w.Body, err)
			}
			for _, inner := range []string{"go-jose", "verify:", "evil"} {
				if strings.Contains(w.Body.String(), inner) {
					t.Errorf("the answer tells of %q: %s", inner, w.Body)
				}
			}
		})
	}
}

// Where no token can be judged, the caller is not told that its token is bad: it
// would throw it away.
func TestMiddlewareSays503WhileThereAreNoKeys(t *testing.T) {
	p := newProvider(t)
	p.down = true
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/notes", nil)
	r.Header.Set("Authorization", "Bearer "+p.token(t, "ES256", time.Now()))
	p.verifier(t, nil).Middleware()(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	if strings.Contains(w.Body.String(), "maintenance") || strings.Contains(w.Body.String(), p.Issuer) {
		t.Errorf("the answer tells of the provider: %s", w.Body)
	}
}

func TestWithoutMiddlewareThereIsNoToken(t *testing.T) {
	if token := verify.FromContext(t.Context()); token != nil {
		t.Errorf("got %+v", token)
	}
}
