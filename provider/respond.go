package provider

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// A reply is where, and how, the answer to an authorization request goes.
type reply struct {
	RedirectURI string `json:"redirect_uri"`
	FormPost    bool   `json:"form_post,omitempty"` // else in the query
	State       string `json:"state,omitempty"`
}

// replyTo reads the reply of a request whose redirect URI stands. A response
// mode that we do not have is answered in the query.
func replyTo(f *form) reply {
	return reply{
		RedirectURI: f.get("redirect_uri"),
		FormPost:    f.get("response_mode") == string(oidc.ResponseModeFormPost),
		State:       f.get("state"),
	}
}

type field struct{ name, value string }

// respond is the one writer of authorization responses. Every one, error or
// not, carries state as it came, and iss (RFC 9207 §2).
func (p *Provider) respond(w http.ResponseWriter, r *http.Request, to reply, fields []field) {
	if to.State != "" {
		fields = append(fields, field{"state", to.State})
	}
	fields = append(fields, field{"iss", p.issuer})
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if to.FormPost {
		values := make(map[string]string, len(fields))
		for _, f := range fields {
			values[f.name] = f.value
		}
		p.pages.FormPost(w, r, to.RedirectURI, values)
		return
	}
	seeOther(w, withQuery(to.RedirectURI, fields))
}

// respondError sends an error to the redirect URI of the client. It carries no
// code of ours: the log has the line, and the failure is kept, under the id of
// the request.
func (p *Provider) respondError(w http.ResponseWriter, r *http.Request, client *storage.Client, to reply, err error) {
	e, ok := errors.AsType[*oidc.Error](err)
	if !ok {
		e = p.internal(r.Context(), "answer an authorization request", err)
	}
	// The description stays out of the log: it may repeat what was sent.
	f := p.refused(r.Context(), client, e).Bounded()
	p.log.InfoContext(r.Context(), "authorization refused", "client", client.ID, "error", string(e.ErrorType), "about", f.Kind, "request_id", f.Code)
	p.note(r.Context(), f)
	fields := []field{{"error", string(e.ErrorType)}}
	if e.Description != "" {
		fields = append(fields, field{"error_description", e.Description})
	}
	p.respond(w, r, to, fields)
}

// withQuery appends fields to the query of a URI, and leaves what stands there
// as it is: the URI is compared byte by byte elsewhere.
func withQuery(uri string, fields []field) string {
	var b strings.Builder
	b.WriteString(uri)
	separator := byte('?')
	if strings.Contains(uri, "?") {
		separator = '&'
	}
	for _, f := range fields {
		b.WriteByte(separator)
		b.WriteString(f.name)
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(f.value))
		separator = '&'
	}
	return b.String()
}

// seeOther redirects with 303, so that no method and no body go along
// (RFC 9700 §4.12). The location is written as it is.
func seeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}
