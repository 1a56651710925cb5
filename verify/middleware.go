package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

type contextKey struct{}

// FromContext returns the token that let this request through the middleware,
// or nil where there was no middleware.
func FromContext(ctx context.Context) *Token {
	t, _ := ctx.Value(contextKey{}).(*Token)
	return t
}

// Middleware lets a request through if its Authorization header carries a token
// that passes every check and was granted all the scopes. Everything else is
// answered as RFC 6750 §3 asks: 401, 403 where only a scope is missing, 400 where
// the header cannot be read, and 503 while no keys could be read yet.
func (v *Verifier) Middleware(scopes ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, found, err := bearer(r.Header.Values("Authorization"))
			if err != nil {
				v.answer(w, http.StatusBadRequest, "invalid_request", err.Error(), "")
				return
			}
			if !found {
				// RFC 6750 §3.1: whoever sent no token learns only how to.
				v.answer(w, http.StatusUnauthorized, "", "", "")
				return
			}
			t, err := v.Verify(r.Context(), token)
			if err == nil {
				err = t.Require(scopes...)
			}
			if err != nil {
				v.refused(w, r, err, scopes)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, t)))
		})
	}
}

// bearer reads the Authorization header (RFC 6750 §2.1). A header of another
// scheme counts as none.
func bearer(values []string) (token string, found bool, err error) {
	if len(values) > 1 {
		return "", false, errors.New("more than one Authorization header")
	}
	if len(values) == 0 {
		return "", false, nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	token = strings.Trim(token, " ")
	if token == "" {
		return "", false, errors.New("no token after Bearer")
	}
	return token, true, nil
}

// refused answers for a token that failed a check, in words that are about the
// token alone; what was found goes to the log.
func (v *Verifier) refused(w http.ResponseWriter, r *http.Request, err error, scopes []string) {
	v.log.DebugContext(r.Context(), "access token refused", "error", err, "method", r.Method, "path", r.URL.Path)
	check := ErrFormat
	if e, ok := errors.AsType[*Error](err); ok {
		check = e.Check
	}
	switch check {
	case ErrUnavailable:
		w.Header().Set("Retry-After", "1")
		v.answer(w, http.StatusServiceUnavailable, "temporarily_unavailable", check.Error(), "")
	case ErrScope:
		v.answer(w, http.StatusForbidden, "insufficient_scope", check.Error(), strings.Join(scopes, " "))
	default:
		v.answer(w, http.StatusUnauthorized, "invalid_token", check.Error(), "")
	}
}

// answer writes the challenge, and the same once more as JSON for those who read
// bodies only.
func (v *Verifier) answer(w http.ResponseWriter, status int, code, description, scope string) {
	challenge := "Bearer realm=" + quoted(v.audience)
	body := map[string]string{}
	for _, p := range [][2]string{{"error", code}, {"error_description", description}, {"scope", scope}} {
		if p[1] != "" {
			challenge += fmt.Sprintf(", %s=%s", p[0], quoted(p[1]))
			body[p[0]] = p[1]
		}
	}
	if status != http.StatusServiceUnavailable {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if code == "" {
		body["error"] = "unauthorized"
		body["error_description"] = "this needs an access token"
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller may be gone; there is nobody to tell
}

// quoted writes a quoted-string of RFC 9110 §5.6.4, without the characters that
// RFC 6750 §3 forbids in one.
func quoted(s string) string {
	return `"` + strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, s) + `"`
}
