package web

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
)

// A Page is one answer for a person.
type Page struct {
	Status int // zero: 200
	Body   templ.Component
	// Locales are the languages that the application asked for (ui_locales).
	Locales []string
	// Here is where this page can be had by GET, below the issuer's path and with
	// its query, for the links to the other languages. Empty: there are none.
	Here string
	// LeadsAway: a form on the page may end at an application. Browsers apply
	// form-action to the whole chain of redirects, the application's own
	// included, so such a page goes without the directive.
	LeadsAway bool
}

// Show answers with a page. It is drawn to its end before anything is sent.
func (b *Browser) Show(w http.ResponseWriter, r *http.Request, p Page) {
	frame := templates.Frame{Text: b.Text(w, r, p.Locales...), Base: b.origin.path, Site: b.origin.host}
	if p.Here != "" {
		frame.Here = b.origin.path + p.Here
	}
	policy := stayingHere
	if p.LeadsAway {
		policy = noScript
	}
	b.draw(w, r, p.Status, policy, frame, p.Body)
}

func (b *Browser) draw(w http.ResponseWriter, r *http.Request, status int, policy string, frame templates.Frame, body templ.Component) {
	var page bytes.Buffer
	// Whose time is over, since the database does not answer, is shown that it is.
	ctx := context.WithoutCancel(r.Context())
	if err := body.Render(templates.In(ctx, frame), &page); err != nil {
		b.log.ErrorContext(r.Context(), "draw a page", "error", err, "request_id", storage.OriginOf(r.Context()).RequestID)
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", frame.Text.Tag())
	h.Set("Content-Security-Policy", policy)
	if status != 0 {
		w.WriteHeader(status)
	}
	w.Write(page.Bytes()) // a browser that went away cannot be told
}

// Broken shows that the database does not answer, once it is logged.
func (b *Browser) Broken(w http.ResponseWriter, r *http.Request, doing string, err error) {
	b.Note(r.Context(), doing, err)
	b.Error(w, r, provider.PageError{Status: http.StatusServiceUnavailable, Message: provider.Unavailable})
}

// Note logs what broke. That somebody closed the page, or clicked twice, is no
// trouble of ours.
func (b *Browser) Note(ctx context.Context, doing string, err error) {
	level := slog.LevelError
	if errors.Is(err, context.Canceled) {
		level = slog.LevelDebug
	}
	b.log.Log(ctx, level, doing, "error", err, "request_id", storage.OriginOf(ctx).RequestID)
}

// SeeOther sends the browser on by GET, whatever it came with.
func SeeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// Text is the language of a page: what the person chose in this browser, then
// what the application asked for, then what the browser prefers.
func (b *Browser) Text(w http.ResponseWriter, r *http.Request, locales ...string) *templates.Text {
	query := r.URL.Query()
	if chosen := templates.Spoken(query.Get("lang")); chosen != nil {
		if !b.cookies.isSet(w, b.cookies.language) {
			b.cookies.set(w, b.cookies.language, chosen.Tag(), untilClosed)
		}
		return chosen
	}
	if c, err := r.Cookie(b.cookies.language); err == nil {
		if chosen := templates.Spoken(c.Value); chosen != nil {
			return chosen
		}
	}
	asked := strings.Join(locales, " ")
	return templates.Speak(asked, query.Get("ui_locales"), r.Header.Get("Accept-Language"))
}

// here is the address of an error page for the links to the other languages,
// below the issuer's path: only what is surely harmless to load and to show.
func (b *Browser) here(r *http.Request) string {
	path, below := strings.CutPrefix(r.URL.Path, b.origin.path)
	if r.Method != http.MethodGet || !below || !strings.HasPrefix(path, "/") {
		return ""
	}
	kept := url.Values{}
	for name, values := range r.URL.Query() {
		switch {
		case name == "lang":
		case !slices.Contains([]string{"request", "id", "account"}, name):
			return ""
		default:
			kept[name] = values[:1]
		}
	}
	return (&url.URL{Path: path, RawQuery: kept.Encode()}).String()
}
