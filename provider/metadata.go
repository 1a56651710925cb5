package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/jwks"
	"gatehouse/keys"
	"gatehouse/storage"
)

// What a client may register.
const (
	secretBasic = string(oidc.AuthMethodBasic)
	secretPost  = string(oidc.AuthMethodPost)
	noSecret    = string(oidc.AuthMethodNone)

	codeGrant         = string(oidc.GrantTypeCode)
	refreshGrant      = string(oidc.GrantTypeRefreshToken)
	credentialsGrant  = string(oidc.GrantTypeClientCredentials)
	deviceGrant       = string(oidc.GrantTypeDeviceCode)
	codeResponse      = string(oidc.ResponseTypeCode)
	invalidRedirect   = "invalid_redirect_uri" // RFC 7591 §3.2.2
	invalidMetadata   = "invalid_client_metadata"
	minDeclaredSecret = 32
	maxListed         = 64 // values in one list

	formatJWT    = "jwt"
	formatOpaque = "opaque"
)

var (
	authMethods   = []string{secretBasic, secretPost, privateKeyJWT, noSecret}
	grantNames    = []string{codeGrant, refreshGrant, credentialsGrant, deviceGrant}
	responseTypes = []string{codeResponse}
	// personScopes ask for something about, or on behalf of, a person.
	personScopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeAddress, oidc.ScopePhone, oidc.ScopeOfflineAccess}
)

// A MetadataError says which metadata was refused; Code is RFC 7591's.
type MetadataError struct {
	Code, Field, Value, Description string

	cause error // nil: the metadata alone is wrong
}

func (e *MetadataError) Unwrap() error { return e.cause }

func (e *MetadataError) Error() string {
	if e.Value == "" {
		return e.Field + " " + e.Description
	}
	return fmt.Sprintf("%s %q %s", e.Field, e.Value, e.Description)
}

// A metadataCheck collects everything that is wrong, so that it is told at once.
type metadataCheck struct{ errs []error }

func (k *metadataCheck) refuse(field, value, description string) {
	code := invalidMetadata
	if field == "redirect_uris" {
		code = invalidRedirect
	}
	k.errs = append(k.errs, &MetadataError{Code: code, Field: field, Value: shown(value), Description: description})
}

// shown is a refused value as an error may repeat it.
func shown(value string) string {
	if r := []rune(value); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return value
}

// complete fills in the defaults of RFC 7591 §2 and OpenID Connect
// Registration §2, so that what is stored and shown is what holds.
func complete(m storage.ClientMetadata) storage.ClientMetadata {
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = secretBasic
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{codeGrant}
	}
	front := slices.Contains(m.GrantTypes, codeGrant)
	if len(m.ResponseTypes) == 0 && front {
		m.ResponseTypes = []string{codeResponse}
	}
	if m.ApplicationType == "" {
		m.ApplicationType = "web"
	}
	if m.AccessTokenFormat == "" {
		m.AccessTokenFormat = formatJWT
	}
	people := front || slices.Contains(m.GrantTypes, deviceGrant)
	if m.IDTokenSignedAlg == "" && people {
		m.IDTokenSignedAlg = keys.RS256
	}
	if m.AccessTokenSignedAlg == "" {
		m.AccessTokenSignedAlg = keys.ES256
	}
	if m.Scope == "" && people {
		m.Scope = defaultScope(m.GrantTypes)
	}
	return m
}

// defaultScope is what a client that names no scopes may ask its users for.
func defaultScope(grantTypes []string) string {
	scopes := personScopes
	if !slices.Contains(grantTypes, refreshGrant) {
		scopes = scopes[:len(scopes)-1] // offline_access
	}
	return strings.Join(scopes, " ")
}

// validate returns m with its defaults, or everything that is wrong with it.
func (g *Registrar) validate(m storage.ClientMetadata) (storage.ClientMetadata, error) {
	m = complete(m)
	k := new(metadataCheck)
	k.names(m)
	k.grants(m)
	k.keys(m)
	k.switches(m)
	k.redirects(m)
	k.backchannel(m)
	k.addresses(m)
	k.scopes(m, g.Scopes)
	k.algorithms(m, g.algorithms())
	k.lifetimes(m)
	return m, errors.Join(k.errs...)
}

func (k *metadataCheck) names(m storage.ClientMetadata) {
	for _, t := range []struct{ field, value string }{
		{"client_name", m.ClientName}, {"software_id", m.SoftwareID}, {"software_version", m.SoftwareVersion},
	} {
		if problem := textProblem(t.value, 200); problem != "" {
			k.refuse(t.field, t.value, problem)
		}
	}
	k.count("contacts", m.Contacts)
	for _, c := range m.Contacts {
		if problem := textProblem(c, 320); problem != "" || c == "" {
			k.refuse("contacts", c, "must be an address: "+problem)
		}
	}
	if m.ApplicationType != "web" && m.ApplicationType != "native" {
		k.refuse("application_type", m.ApplicationType, "must be web or native")
	}
}

func textProblem(s string, most int) string {
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return "must be text without control characters"
	case utf8.RuneCountInString(s) > most:
		return "is longer than " + strconv.Itoa(most) + " characters"
	}
	return ""
}

func (k *metadataCheck) count(field string, list []string) {
	if len(list) > maxListed {
		k.refuse(field, "", "has more than "+strconv.Itoa(maxListed)+" values")
	}
}

// grants checks what RFC 7591 §2.1 ties together.
func (k *metadataCheck) grants(m storage.ClientMetadata) {
	if !slices.Contains(authMethods, m.TokenEndpointAuthMethod) {
		k.refuse("token_endpoint_auth_method", m.TokenEndpointAuthMethod, "must be one of "+strings.Join(authMethods, ", "))
	}
	for _, t := range m.GrantTypes {
		if !slices.Contains(grantNames, t) {
			k.refuse("grant_types", t, "must be among "+strings.Join(grantNames, ", "))
		}
	}
	for _, t := range m.ResponseTypes {
		// The words of a response type are a set: their order says nothing.
		words := strings.Fields(t)
		slices.Sort(words)
		if !slices.Contains(responseTypes, strings.Join(words, " ")) {
			k.refuse("response_types", t, "must be among "+strings.Join(responseTypes, ", "))
		}
	}
	front := slices.Contains(m.GrantTypes, codeGrant)
	if front != (len(m.ResponseTypes) > 0) {
		k.refuse("response_types", strings.Join(m.ResponseTypes, ", "), "must be code where grant_types has authorization_code, and empty otherwise")
	}
	if slices.Contains(m.GrantTypes, refreshGrant) && !front && !slices.Contains(m.GrantTypes, deviceGrant) {
		k.refuse("grant_types", refreshGrant, "needs authorization_code or "+deviceGrant+", which give the first refresh token")
	}
	if slices.Contains(m.GrantTypes, credentialsGrant) && m.TokenEndpointAuthMethod == noSecret {
		k.refuse("grant_types", credentialsGrant, "is not for public clients (RFC 6749 §4.4)")
	}
	if front && len(m.RedirectURIs) == 0 {
		k.refuse("redirect_uris", "", "must name at least one address")
	}
}

// keys checks what a client signs its assertions with: keys by value or by
// address, never both (RFC 7591 §2).
func (k *metadataCheck) keys(m storage.ClientMetadata) {
	switch {
	case m.JWKSURI != "" && len(m.JWKS) > 0:
		k.refuse("jwks", "", "and jwks_uri are not given together")
	case m.JWKSURI != "":
		if problem := httpsProblem(m.JWKSURI); problem != "" {
			k.refuse("jwks_uri", m.JWKSURI, problem)
		}
	case len(m.JWKS) > 0:
		k.keySet(m.JWKS)
	case m.TokenEndpointAuthMethod == privateKeyJWT:
		k.refuse("jwks", "", "or jwks_uri must be given for private_key_jwt")
	}
	if alg := m.TokenEndpointAuthSigningAlg; alg != "" && !slices.Contains(keys.Algorithms, alg) {
		k.refuse("token_endpoint_auth_signing_alg", alg, "must be one of "+strings.Join(keys.Algorithms, ", "))
	}
}

func (k *metadataCheck) keySet(raw []byte) {
	set := new(jose.JSONWebKeySet)
	if len(raw) > maxLongValue || json.Unmarshal(raw, set) != nil || len(set.Keys) == 0 || len(set.Keys) > jwks.MaxKeys {
		k.refuse("jwks", "", fmt.Sprintf("must be a JWK set of 1 to %d public keys", jwks.MaxKeys))
		return
	}
	for _, key := range set.Keys {
		if problem := jwks.Problem(key); problem != "" {
			k.refuse("jwks", key.KeyID, problem)
		}
	}
}

// switches checks what is loosened for old software.
func (k *metadataCheck) switches(m storage.ClientMetadata) {
	if m.NonceInsteadOfPKCE && (m.TokenEndpointAuthMethod == noSecret || !slices.Contains(strings.Fields(m.Scope), oidc.ScopeOpenID)) {
		k.refuse("nonce_instead_of_pkce", "true", "is for confidential clients with the scope openid")
	}
	if m.AssertionAudTokenEndpoint && m.TokenEndpointAuthMethod != privateKeyJWT {
		k.refuse("assertion_aud_token_endpoint", "true", "is for private_key_jwt")
	}
}

func (k *metadataCheck) redirects(m storage.ClientMetadata) {
	isNative := m.ApplicationType == "native"
	k.count("redirect_uris", m.RedirectURIs)
	for _, uri := range m.RedirectURIs {
		if problem := redirectProblem(uri, isNative); problem != "" {
			k.refuse("redirect_uris", uri, problem)
		}
	}
	k.count("post_logout_redirect_uris", m.PostLogoutRedirectURIs)
	for _, uri := range m.PostLogoutRedirectURIs {
		if problem := redirectProblem(uri, isNative); problem != "" {
			k.refuse("post_logout_redirect_uris", uri, problem)
		}
	}
}

// backchannel checks where the client is told of sign-outs (OpenID Connect
// Back-Channel Logout §2.2: absolute, without a fragment): https, or http on
// this machine.
func (k *metadataCheck) backchannel(m storage.ClientMetadata) {
	uri := m.BackchannelLogoutURI
	switch problem := redirectProblem(uri, false); {
	case uri != "" && problem != "":
		k.refuse("backchannel_logout_uri", uri, problem)
	case uri == "" && m.BackchannelLogoutSessionRequired:
		k.refuse("backchannel_logout_session_required", "true", "needs backchannel_logout_uri")
	}
}

// addresses checks what people are sent to, and who may call across origins.
func (k *metadataCheck) addresses(m storage.ClientMetadata) {
	for _, a := range []struct{ field, uri string }{
		{"client_uri", m.ClientURI}, {"logo_uri", m.LogoURI}, {"policy_uri", m.PolicyURI},
		{"tos_uri", m.TOSURI}, {"initiate_login_uri", m.InitiateLoginURI},
	} {
		if problem := httpsProblem(a.uri); a.uri != "" && problem != "" {
			k.refuse(a.field, a.uri, problem)
		}
	}
	k.count("allowed_origins", m.AllowedOrigins)
	for _, o := range m.AllowedOrigins {
		if redirectProblem(o, false) != "" || origin(o) != o || strings.ToLower(o) != o {
			k.refuse("allowed_origins", o, "must be an origin such as https://app.example, without a path")
		}
	}
	k.count("audience", m.Audience)
	for _, a := range m.Audience {
		if resourceProblem(a) != "" && idProblem(a) != nil {
			k.refuse("audience", a, "must be an absolute URI or a client_id")
		}
	}
}

func httpsProblem(uri string) string {
	if problem := uriProblem(uri); problem != "" {
		return problem
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "must be an https address"
	}
	return hostProblem(u)
}

// resourceProblem says why uri names no resource (RFC 8707 §2: an absolute URI
// without a fragment), or is empty.
func resourceProblem(uri string) string {
	if problem := uriProblem(uri); problem != "" {
		return problem
	}
	u, err := url.Parse(uri)
	if err != nil || !u.IsAbs() || u.Opaque == "" && u.Host == "" {
		return "must be an absolute URI"
	}
	return ""
}

// scopes checks each scope token; known, where it is not nil, lists those that
// may be registered beside the standard ones.
func (k *metadataCheck) scopes(m storage.ClientMetadata, known []string) {
	if len(m.Scope) > maxValue {
		k.refuse("scope", m.Scope, "is longer than 2048 characters")
		return
	}
	for s := range strings.SplitSeq(m.Scope, " ") {
		switch {
		case s == "" && m.Scope != "":
			k.refuse("scope", m.Scope, "must be words with one space between them")
		case !scopeToken(s):
			k.refuse("scope", s, "has a character that no scope may have (RFC 6749 §3.3)")
		case s != "" && known != nil && !slices.Contains(personScopes, s) && !slices.Contains(known, s):
			k.refuse("scope", s, "is unknown: the configuration must declare it first")
		}
	}
}

func scopeToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

func (k *metadataCheck) algorithms(m storage.ClientMetadata, active []string) {
	for _, a := range []struct{ field, alg string }{
		{"id_token_signed_response_alg", m.IDTokenSignedAlg},
		{"access_token_signed_response_alg", m.AccessTokenSignedAlg},
	} {
		if a.alg != "" && !slices.Contains(active, a.alg) {
			k.refuse(a.field, a.alg, "must be one of "+strings.Join(active, ", "))
		}
	}
	if m.AccessTokenFormat != formatJWT && m.AccessTokenFormat != formatOpaque {
		k.refuse("access_token_format", m.AccessTokenFormat, "must be jwt or opaque")
	}
}

func (k *metadataCheck) lifetimes(m storage.ClientMetadata) {
	seconds := func(field string, v, least, most int64) {
		if v != 0 && (v < least || v > most) {
			k.refuse(field, strconv.FormatInt(v, 10), fmt.Sprintf("must be between %d and %d seconds", least, most))
		}
	}
	token, refresh := int64(MaxToken/time.Second), int64(MaxRefresh/time.Second)
	seconds("access_token_lifetime", m.AccessTokenLifetime, 10, token)
	seconds("id_token_lifetime", m.IDTokenLifetime, 10, token)
	seconds("refresh_token_idle_lifetime", m.RefreshTokenIdle, 60, refresh)
	seconds("refresh_token_lifetime", m.RefreshTokenLifetime, 60, refresh)
	if m.RefreshGrace != nil {
		seconds("refresh_grace", *m.RefreshGrace, 0, int64(MaxRefreshGrace/time.Second))
	}
	if m.DefaultMaxAge != nil && *m.DefaultMaxAge < 0 {
		k.refuse("default_max_age", strconv.FormatInt(*m.DefaultMaxAge, 10), "must not be negative")
	}
}
