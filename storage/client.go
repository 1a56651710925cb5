package storage

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// A Client is a relying party.
type Client struct {
	ID       string
	Metadata ClientMetadata
	// Origins are those from which its pages may call us, derived from the metadata.
	Origins []string
	// Secrets are the digests of its live secrets, newest first: two while one
	// replaces the other.
	Secrets []StoredSecret
	// Declared: it comes from the configuration file and is edited only there.
	Declared   bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DisabledAt time.Time // zero while it is enabled
	// Version counts updates; Update refuses to write over a version it did not read.
	Version int64
}

// A StoredSecret is one client secret as storage keeps it.
type StoredSecret struct {
	Digest    Digest    `json:"digest"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
}

// MarshalJSON and UnmarshalJSON write a digest as a JSON string, so that the
// secrets of a client fit one column.
func (d Digest) MarshalJSON() ([]byte, error) { return json.Marshal(d[:]) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *Digest) UnmarshalJSON(b []byte) error {
	var raw []byte
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	return d.Scan(raw)
}

// ClientMetadata is what a client registers, by the names of RFC 7591, OpenID
// Connect Dynamic Client Registration and their extensions, and our own. It is
// the one shape in the database, the configuration file, the command line and
// the registration response. A zero field is absent.
type ClientMetadata struct {
	ClientName              string   `json:"client_name,omitempty"`
	ClientURI               string   `json:"client_uri,omitempty"`
	LogoURI                 string   `json:"logo_uri,omitempty"`
	PolicyURI               string   `json:"policy_uri,omitempty"`
	TOSURI                  string   `json:"tos_uri,omitempty"`
	Contacts                []string `json:"contacts,omitempty"`
	ApplicationType         string   `json:"application_type,omitempty"` // web, native
	RedirectURIs            []string `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs  []string `json:"post_logout_redirect_uris,omitempty"`
	ResponseTypes           []string `json:"response_types,omitempty"`
	GrantTypes              []string `json:"grant_types,omitempty"`
	Scope                   string   `json:"scope,omitempty"` // space-separated
	TokenEndpointAuthMethod string   `json:"token_endpoint_auth_method,omitempty"`
	// TokenEndpointAuthSigningAlg is the one algorithm of its assertions; empty: any.
	TokenEndpointAuthSigningAlg string          `json:"token_endpoint_auth_signing_alg,omitempty"`
	JWKS                        json.RawMessage `json:"jwks,omitempty"`
	JWKSURI                     string          `json:"jwks_uri,omitempty"`
	IDTokenSignedAlg            string          `json:"id_token_signed_response_alg,omitempty"`
	DefaultMaxAge               *int64          `json:"default_max_age,omitempty"` // seconds
	RequireAuthTime             bool            `json:"require_auth_time,omitempty"`
	InitiateLoginURI            string          `json:"initiate_login_uri,omitempty"`
	// BackchannelLogoutURI is told of every session that ends.
	BackchannelLogoutURI             string `json:"backchannel_logout_uri,omitempty"`
	BackchannelLogoutSessionRequired bool   `json:"backchannel_logout_session_required,omitempty"`
	SoftwareID                       string `json:"software_id,omitempty"`
	SoftwareVersion                  string `json:"software_version,omitempty"`

	// Our own.
	AccessTokenFormat    string   `json:"access_token_format,omitempty"` // jwt, opaque
	AccessTokenSignedAlg string   `json:"access_token_signed_response_alg,omitempty"`
	Audience             []string `json:"audience,omitempty"`
	SkipConsent          bool     `json:"skip_consent,omitempty"`
	// Switches for old software, off unless an administrator sets them.
	// NonceInsteadOfPKCE lets a confidential client leave PKCE out where it sends a nonce.
	NonceInsteadOfPKCE bool `json:"nonce_instead_of_pkce,omitempty"`
	// AssertionAudTokenEndpoint takes the token endpoint as the audience of its assertions.
	AssertionAudTokenEndpoint bool `json:"assertion_aud_token_endpoint,omitempty"`
	// AllowedOrigins may call the token and userinfo endpoints across origins.
	AllowedOrigins []string `json:"allowed_origins,omitempty"`

	// Lifetimes in seconds; zero means the setting's.
	AccessTokenLifetime  int64 `json:"access_token_lifetime,omitempty"`
	IDTokenLifetime      int64 `json:"id_token_lifetime,omitempty"`
	RefreshTokenIdle     int64 `json:"refresh_token_idle_lifetime,omitempty"`
	RefreshTokenLifetime int64 `json:"refresh_token_lifetime,omitempty"`
	// RefreshGrace is how many seconds a rotated refresh token is still answered
	// with its successor; nil means the setting's, 0 none.
	RefreshGrace *int64 `json:"refresh_grace,omitempty"`
}

// LogValue keeps the digests of secrets out of logs.
func (c Client) LogValue() slog.Value { return slog.StringValue(c.ID) }

// Public reports whether the client authenticates with nothing but its id
// (RFC 6749 §2.1).
func (c *Client) Public() bool { return c.Metadata.TokenEndpointAuthMethod == "none" }

// Clients keeps the relying parties. Every change adds one to the counter
// "clients" in the same transaction, but creating does not: absence is never kept.
type Clients interface {
	// Create stores c with its event, enabled. ErrExists where the id is taken, by a deleted client too.
	Create(ctx context.Context, c *Client, e *Event) error
	Get(ctx context.Context, id string) (*Client, error)
	// Update writes c where its Version is still the one that was read, and adds
	// one to c.Version: ErrConflict otherwise. Disabling a client revokes its grants.
	Update(ctx context.Context, c *Client, now time.Time, e *Event) error
	// Delete removes the client and revokes its grants.
	Delete(ctx context.Context, id string, now time.Time, e *Event) error
	// Origin reports whether any enabled client has this origin.
	Origin(ctx context.Context, origin string) (bool, error)
	// List returns at most limit clients whose id is greater than after, by id.
	List(ctx context.Context, after string, limit int) ([]*Client, error)
}
