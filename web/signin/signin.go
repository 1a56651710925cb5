// Package signin is the pages on the way in and out: set-up, sign-in, consent,
// sign-out. It knows the provider's steps and the people; which page follows
// is the provider's to say.
package signin

import (
	"log/slog"
	"net/http"

	"gatehouse/identity"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/web"
)

// Config is what the pages are made from.
type Config struct {
	Issuer   string
	Browser  *web.Browser
	Provider *provider.Provider
	People   *identity.People
	Limits   storage.Limits
	Log      *slog.Logger
}

// Pages is the sign-in part of the site.
type Pages struct{}

// New returns the pages.
func New(c Config) *Pages { panic("stub") }

// Routes adds the pages to mux, below the issuer's path.
func (p *Pages) Routes(mux *http.ServeMux) { panic("stub") }

var _ web.Part = (*Pages)(nil)
