package upstream

import (
	"encoding/base64"
	"testing"
)

// How Google answers, as
// developers.google.com/identity/protocols/oauth2/web-server lists its errors
// and as people quote its pages. Nobody has compared the table with live answers
// yet, so doctor says so beside each finding; whoever does adds what was seen.
var googleAnswers = map[string]struct {
	status         int
	location, body string
	kind           string // of the fault; empty: none
}{
	"the address is registered, and nobody is signed in": {302, "https://id.example.com/back?error=interaction_required&state=s", "", ""},
	"the address is not registered, as a redirect":       {302, "https://accounts.google.com/signin/oauth/error?authError=" + authError("redirect_uri_mismatch"), "", "redirect_uri"},
	"the address is not registered, as a page": {400, "", "<h1>Access blocked: This app’s request is invalid</h1> Error 400: redirect_uri_mismatch. You can't sign in to this app because it " +
		"doesn't comply with Google's OAuth 2.0 policy.", "redirect_uri"},
	"the address is not registered, as the older page": {400, "", "400. That’s an error. Error: redirect_uri_mismatch. The redirect URI in the request, https://id.example.com/back, " +
		"does not match the ones authorized for the OAuth client.", "redirect_uri"},
	"the client is unknown, as a redirect": {302, "https://accounts.google.com/signin/oauth/error?authError=" + authError("invalid_client"), "", "unknown_client"},
	"the client is unknown, as a page":     {401, "", "Error 401: invalid_client. The OAuth client was not found.", "unknown_client"},
	"the client was deleted":               {401, "", "Error 401: deleted_client. The OAuth client was deleted.", "unknown_client"},
	"the start of a sign-in":               {302, "https://accounts.google.com/v3/signin/identifier?continue=https%3A%2F%2Fid.example.com%2Fback&redirect_uri=x", "", ""},
}

// authError is the error as Google writes it into an address: field 1 of a
// message of protocol buffers, in base64.
func authError(code string) string {
	message := append([]byte{0x0a, byte(len(code))}, code...)
	return base64.URLEncoding.EncodeToString(append(message, "\x12\x10You can't sign in"...))
}

func TestDoctorReadsTheAnswersThatGoogleDocuments(t *testing.T) {
	p := &Provider{Config: Config{ID: Google, Issuer: "https://accounts.google.com", ClientID: "1.apps.googleusercontent.com", RedirectURI: "https://id.example.com/back"}}
	d := builtIn(p.Config)
	for name, a := range googleAnswers {
		seen := new(Probe)
		f := p.judgeRedirect(a.status, a.location, a.body, d, seen)
		if kind := kindOf(f); kind != a.kind {
			t.Errorf("%s: the fault is %q, want %q", name, kind, a.kind)
		}
	}
	for name, a := range map[string]struct {
		tokenError
		kind   string
		untold bool
	}{
		"a code that is none":           {tokenError{"invalid_grant", "Malformed auth code.", "400 Bad Request"}, "", false},
		"a wrong secret":                {tokenError{"invalid_client", "Unauthorized", "401 Unauthorized"}, "invalid_client", false},
		"an unknown client":             {tokenError{"invalid_client", "The OAuth client was not found.", "401 Unauthorized"}, "invalid_client", false},
		"a client that was deleted":     {tokenError{"deleted_client", "The OAuth client was deleted.", "401 Unauthorized"}, "invalid_client", false},
		"an address that is registered": {tokenError{"redirect_uri_mismatch", "Bad Request", "400 Bad Request"}, "redirect_uri", false},
		"a request that it cannot read": {tokenError{"invalid_request", "Missing required parameter: code", "400 Bad Request"}, "", true},
	} {
		seen := new(Probe)
		f := p.judgeNoCode(a.tokenError, d, seen)
		if kind := kindOf(f); kind != a.kind || len(seen.Untold) > 0 != a.untold {
			t.Errorf("%s: the fault is %q, left open %q", name, kind, seen.Untold)
		}
	}
}

func kindOf(f *Fault) string {
	if f == nil {
		return ""
	}
	return f.Kind
}
