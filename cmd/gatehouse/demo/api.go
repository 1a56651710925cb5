package demo

import (
	"encoding/json"
	"net/http"
	"time"

	"gatehouse/verify"
)

// The scopes of the sample API. The sample app asks for the first alone, so
// that the other shows what a refusal looks like.
const (
	ScopeRead  = "notes:read"
	ScopeWrite = "notes:write"
)

// NewAPI returns the sample API. It accepts access tokens that v accepts, and
// asks nobody.
func NewAPI(v *verify.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", describe)
	mux.Handle("GET /notes", v.Middleware(ScopeRead)(http.HandlerFunc(readNotes)))
	mux.Handle("POST /notes", v.Middleware(ScopeWrite)(http.HandlerFunc(writeNote)))
	return http.MaxBytesHandler(mux, 64<<10)
}

func describe(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"service": "gatehouse sample API",
		"addresses": map[string]string{
			"GET /notes":  "needs an access token with the scope " + ScopeRead,
			"POST /notes": "needs an access token with the scope " + ScopeWrite,
		},
	})
}

func readNotes(w http.ResponseWriter, r *http.Request) {
	answer := accepted(r)
	answer.Notes = []string{"Oil the portcullis", "Ask who goes there", "Keep the light on"}
	writeJSON(w, answer)
}

func writeNote(w http.ResponseWriter, r *http.Request) { writeJSON(w, accepted(r)) }

// An acceptance is what a token said, as the API understood it.
type acceptance struct {
	Accepted bool      `json:"accepted"`
	Verified string    `json:"verified"`
	Subject  string    `json:"subject"`
	ClientID string    `json:"client_id"`
	Scopes   []string  `json:"scopes"`
	Expires  time.Time `json:"expires"`
	Notes    []string  `json:"notes,omitempty"`
}

func accepted(r *http.Request) *acceptance {
	t := verify.FromContext(r.Context())
	return &acceptance{
		Accepted: true, Verified: "offline", Subject: t.Subject, ClientID: t.ClientID, Scopes: t.Scopes, Expires: t.Expires.UTC(),
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the caller may be gone; there is nobody to tell
}
