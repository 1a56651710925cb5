package provider

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/text/language"

	"gatehouse/keys"
)

// discoveryMaxAge: an algorithm whose first key was made a moment ago is seen
// soon.
const discoveryMaxAge = 5 * time.Minute

// A document is discovery as finished bytes.
type document struct {
	algorithms string // that could sign when it was made
	body       []byte
}

// metadata is OpenID Connect Discovery §3 and RFC 8414 §2. It advertises what
// works and nothing else.
type metadata struct {
	oidc.DiscoveryConfiguration
	IssParameter bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
}

// serveDiscovery serves one document at both well-known addresses.
func (p *Provider) serveDiscovery(w http.ResponseWriter, r *http.Request) {
	active := p.keys.Active()
	d := p.found.Load()
	if algorithms := strings.Join(active, " "); d == nil || d.algorithms != algorithms {
		body, err := json.Marshal(p.metadata(active))
		if err != nil {
			p.writeError(w, r, p.internal(r.Context(), "encode discovery", err))
			return
		}
		d = &document{algorithms, body}
		p.found.Store(d)
	}
	writePublic(w, d.body, "application/json", discoveryMaxAge)
}

func (p *Provider) metadata(algorithms []string) *metadata {
	locales := make(oidc.Locales, 0, len(p.locales))
	for _, l := range p.locales {
		locales = append(locales, language.Make(l))
	}
	grants := make([]oidc.GrantType, len(grantNames))
	for i, g := range grantNames {
		grants[i] = oidc.GrantType(g)
	}
	methods := make([]oidc.AuthMethod, len(authMethods))
	for i, m := range authMethods {
		methods[i] = oidc.AuthMethod(m)
	}
	return &metadata{
		DiscoveryConfiguration: oidc.DiscoveryConfiguration{
			Issuer:                                             p.issuer,
			AuthorizationEndpoint:                              p.issuer + AuthorizePath,
			TokenEndpoint:                                      p.issuer + TokenPath,
			UserinfoEndpoint:                                   p.issuer + UserinfoPath,
			IntrospectionEndpoint:                              p.issuer + IntrospectPath,
			DeviceAuthorizationEndpoint:                        p.issuer + DeviceAuthPath,
			RevocationEndpoint:                                 p.issuer + RevokePath,
			EndSessionEndpoint:                                 p.issuer + LogoutPath,
			JwksURI:                                            p.issuer + JWKSPath,
			ScopesSupported:                                    slices.Concat(personScopes, p.scopes),
			ResponseTypesSupported:                             responseTypes,
			ResponseModesSupported:                             []string{string(oidc.ResponseModeQuery), string(oidc.ResponseModeFormPost)},
			GrantTypesSupported:                                grants,
			SubjectTypesSupported:                              []string{"public"},
			IDTokenSigningAlgValuesSupported:                   algorithms,
			TokenEndpointAuthMethodsSupported:                  methods,
			TokenEndpointAuthSigningAlgValuesSupported:         keys.Algorithms,
			RevocationEndpointAuthMethodsSupported:             methods,
			RevocationEndpointAuthSigningAlgValuesSupported:    keys.Algorithms,
			IntrospectionEndpointAuthMethodsSupported:          slices.DeleteFunc(slices.Clone(methods), func(m oidc.AuthMethod) bool { return m == oidc.AuthMethodNone }),
			IntrospectionEndpointAuthSigningAlgValuesSupported: keys.Algorithms,
			ClaimTypesSupported:                                []string{"normal"},
			ClaimsParameterSupported:                           true,
			ACRValuesSupported:                                 []string{LowestACR},
			ClaimsSupported:                                    claimNames,
			CodeChallengeMethodsSupported:                      []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256},
			UILocalesSupported:                                 locales,
			BackChannelLogoutSupported:                         true,
			BackChannelLogoutSessionSupported:                  true,
		},
		IssParameter: true,
	}
}

// serveJWKS serves the published keys (RFC 7517 §5).
func (p *Provider) serveJWKS(w http.ResponseWriter, r *http.Request) {
	body, maxAge := p.keys.JWKS()
	writePublic(w, body, "application/jwk-set+json", maxAge)
}

// writePublic writes a document that anybody may read and keep.
func writePublic(w http.ResponseWriter, body []byte, contentType string, maxAge time.Duration) {
	forEverybody(w)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	w.Write(body) // a client that went away cannot be told
}
