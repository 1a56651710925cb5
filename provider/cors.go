package provider

import (
	"net/http"
	"slices"
	"strings"

	"gatehouse/storage"
)

// Cross-origin answers. Discovery and JWKS are for everybody. The token and
// userinfo endpoints answer the origins that the client at hand registered.
// Nothing ever allows credentials: no endpoint that reads a cookie has CORS.

// forEverybody lets any page read a public document.
func forEverybody(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
}

// originsOf are where the pages of a client with this metadata may call from:
// the origins it registered, and, for a public client, those of its redirect URIs.
func originsOf(m storage.ClientMetadata) []string {
	all := slices.Clone(m.AllowedOrigins)
	if m.TokenEndpointAuthMethod == noSecret {
		for _, uri := range m.RedirectURIs {
			if o := strings.ToLower(origin(uri)); strings.HasPrefix(o, "http") {
				all = append(all, o)
			}
		}
	}
	return all
}

// allowOrigin lets a page of the client's origins read this answer.
func allowOrigin(w http.ResponseWriter, r *http.Request, c *storage.Client) {
	from := r.Header.Get("Origin")
	if from == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	if !slices.Contains(c.Origins, from) {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", from)
	w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
}

// preflight answers OPTIONS, where the client is not known yet: it allows the
// origins of any client, and the answer itself then those of its own.
func (p *Provider) preflight(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		allowed, err := p.store.Clients.Origin(r.Context(), r.Header.Get("Origin"))
		if err != nil {
			p.writeError(w, r, p.lost(r.Context(), "read the allowed origins", err))
			return
		}
		if allowed {
			h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
