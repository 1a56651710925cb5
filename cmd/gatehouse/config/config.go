// Package config is every setting of gatehouse: its name, its default and its
// meaning stand in one struct, Config, and nowhere else. It reads them from
// the file, the environment and the flags, and says everything that is wrong
// at once. It knows no database and no protocol.
package config

import (
	"net/netip"
	"time"

	"gatehouse/storage"
)

// Config is the settings. The comment of a field is its documentation: `config
// reference` prints it. Tags: setting (its name), default, and what is
// allowed: oneof, min and max. flag names the commands that take it as a flag;
// file says that it can only stand in the file.
type Config struct {
	// Where people and programs reach the provider: an https address without query
	// or fragment. http is only for a loopback host such as localhost. With a path,
	// every address lies under it. Where only the port to listen on is set, the
	// default follows it.
	Issuer string `setting:"issuer" default:"http://localhost:8000" flag:"serve"`
	// The address to listen on, as host:port. Default: 127.0.0.1:8000 for a loopback
	// issuer, else :8000. PORT changes the port alone.
	Listen string `setting:"listen" flag:"serve"`
	// How long a server that was told to stop goes on taking requests: /readyz answers
	// 503 at once, and this is how long balancers have to notice. It is part of the
	// 30 seconds that stopping takes at most. Default: 5s on PostgreSQL, where other
	// nodes take over; 0s on SQLite.
	DrainDelay time.Duration `setting:"drain_delay" min:"0s" max:"25s"`
	// The directory of the embedded database, the generated master key and its lock.
	// It is made where it is missing, closed to all but its owner.
	DataDir string `setting:"data_dir" default:"./data" flag:"all"`
	// The database: sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME.
	// Default: the file gatehouse.db in the data directory. DATABASE_URL means the
	// same, and so do DB_HOST, DB_PORT, DB_NAME, DB_USER and DB_PASSWORD together.
	DatabaseURL Secret `setting:"database_url"`
	Database    Database
	// Redis, for what nodes count together: redis://USER:PASSWORD@HOST:6379/0,
	// rediss://… (TLS) or unix:///PATH. REDIS_URL means the same. Default: the
	// database counts, as it does while Redis does not answer.
	RedisURL Secret `setting:"redis_url"`
	// When `serve` applies pending migrations: auto, or manual, by `migrate up`.
	// Default: auto on SQLite, manual on PostgreSQL.
	Migrate string `setting:"migrate" oneof:"auto manual"`
	// 32 bytes in base64 (`openssl rand -base64 32`) that encrypt the signing keys at
	// rest. Several, comma separated: the first encrypts, all decrypt. Default, on
	// SQLite: the file master.key in the data directory, made at the first start. On
	// PostgreSQL it must be set.
	MasterKey Secret `setting:"master_key"`
	// The networks, as CIDRs, whose X-Forwarded-For, X-Forwarded-Proto and Forwarded
	// headers are believed. Name your proxies only.
	TrustedProxies []netip.Prefix `setting:"trusted_proxies"`
	// Who may make an account. closed: an administrator, or `gatehouse user create`.
	// open: besides, whoever signs in for the first time at one of the upstreams.
	// invite: who was invited, which in this version nobody can be.
	Registration string `setting:"registration" default:"closed" oneof:"open invite closed"`
	// The domains whose e-mail addresses may make an account, and sign in at an
	// upstream. Only an address that the upstream has verified, and is trusted for,
	// counts. Default: any, and none is needed.
	EmailDomains []string `setting:"email_domains"`
	// The scopes that discovery shows beside the standard ones.
	Scopes    []string `setting:"scopes"`
	TLS       TLS
	Password  Password
	Token     Token
	Session   Session
	Setup     Setup
	Keys      Keys
	Mail      Mail
	Outbound  Outbound
	RateLimit RateLimit
	Log       Log
	// The relying parties that are declared here, by their registered metadata names
	// (RFC 7591, OpenID Connect Registration) and client_id, client_secret or
	// client_secret_file. They are applied at start and on SIGHUP, and edited nowhere
	// else; one that leaves the file is disabled. A secret has at least 32 characters.
	Clients []Client `setting:"clients" file:"only"`
	// The OpenID Connect providers that people may sign in at. They are applied at
	// start and on SIGHUP. The id google is Google, of which everything but client_id
	// and client_secret is known; GOOGLE_OAUTH_CLIENT_ID, GOOGLE_OAUTH_CLIENT_SECRET
	// and GOOGLE_OAUTH_REDIRECT_URI mean the same, and alone are enough.
	Upstreams []Upstream `setting:"upstreams" file:"only"`

	// Warnings are what is allowed and probably not meant.
	Warnings []string

	origins map[string]Origin
	wrong   map[string]bool
}

// Database is the pool of connections to PostgreSQL. A connection lives for 10
// minutes at most.
type Database struct {
	// Connections kept open to PostgreSQL.
	MinConnections int `setting:"database.min_connections" default:"5" min:"1" max:"1000"`
	// The most connections to PostgreSQL.
	MaxConnections int `setting:"database.max_connections" default:"20" min:"1" max:"1000"`
}

// TLS is for serving https without a proxy.
type TLS struct {
	// The file of the certificate chain (PEM), to serve https without a proxy. Reread on SIGHUP.
	Cert string `setting:"tls.cert"`
	// The file of the certificate's private key (PEM), closed to others. Reread on SIGHUP.
	Key string `setting:"tls.key"`
	// The oldest version of TLS that is spoken.
	MinVersion string `setting:"tls.min_version" default:"1.2" oneof:"1.2 1.3"`
}

// Password is the password policy and the cost of a hash.
type Password struct {
	// The fewest characters of a password.
	MinLength int `setting:"password.min_length" default:"8" min:"8" max:"64"`
	// Whether a password needs an upper-case letter.
	Upper bool `setting:"password.upper" default:"true"`
	// Whether a password needs a lower-case letter.
	Lower bool `setting:"password.lower" default:"true"`
	// Whether a password needs a digit.
	Digit bool `setting:"password.digit" default:"true"`
	// Whether a password needs a character that is neither letter nor digit.
	Special bool `setting:"password.special" default:"true"`
	// Whether common and breached passwords, and those made of the account's own
	// names, are refused.
	RefuseCommon bool `setting:"password.refuse_common" default:"true"`
	Hash         Hash
}

// Hash is the cost of argon2id.
type Hash struct {
	// The memory of one argon2id hash, in KiB. Memory times iterations is at least 35840.
	Memory int `setting:"password.hash.memory" default:"19456" min:"7168" max:"262144"`
	// The passes of one argon2id hash.
	Iterations int `setting:"password.hash.iterations" default:"2" min:"1" max:"16"`
	// The lanes of one argon2id hash.
	Parallelism int `setting:"password.hash.parallelism" default:"1" min:"1" max:"16"`
	// How many hashes run at once; 0 is one for each core.
	AtOnce int `setting:"password.hash.at_once" default:"0" min:"0" max:"256"`
	// How many more may wait; whoever comes then is asked to try again.
	Queue int `setting:"password.hash.queue" default:"32" min:"1" max:"4096"`
}

// Token is lifetimes. A client's metadata may set others for it.
type Token struct {
	// How long an authorization code lives.
	Code time.Duration `setting:"token.code_lifetime" default:"60s" min:"1s" max:"60s"`
	// How long an access token lives. Of a client: access_token_lifetime.
	Access time.Duration `setting:"token.access_lifetime" default:"10m" min:"1s" max:"24h"`
	// How long an ID token lives. Of a client: id_token_lifetime.
	ID time.Duration `setting:"token.id_lifetime" default:"10m" min:"1s" max:"24h"`
	// How long a refresh token lives unused. Of a client: refresh_token_idle_lifetime.
	RefreshIdle time.Duration `setting:"token.refresh_idle_lifetime" default:"30d" min:"1s" max:"366d"`
	// How long a refresh token and its successors live in all. Of a client: refresh_token_lifetime.
	Refresh time.Duration `setting:"token.refresh_lifetime" default:"90d" min:"1s" max:"366d"`
	// How long a rotated refresh token is still answered, with the same successor. Of
	// a client: refresh_grace.
	RefreshGrace time.Duration `setting:"token.refresh_grace" default:"60s" min:"0s" max:"5m"`
	// The same for public clients.
	RefreshGracePublic time.Duration `setting:"token.refresh_grace_public" default:"10s" min:"0s" max:"5m"`
}

// Session is how long people stay signed in.
type Session struct {
	// How long a browser stays signed in without coming back.
	Idle time.Duration `setting:"session.idle_lifetime" default:"8h" min:"1m" max:"366d"`
	// How long a browser stays signed in at most.
	Lifetime time.Duration `setting:"session.lifetime" default:"24h" min:"1m" max:"366d"`
	// How long a person may take from the application's request to the answer.
	Request time.Duration `setting:"session.request_lifetime" default:"1h" min:"1m" max:"24h"`
}

// Setup is about the first administrator.
type Setup struct {
	// How long a set-up link can be used.
	LinkLifetime time.Duration `setting:"setup.link_lifetime" default:"1h" min:"1m" max:"7d"`
}

// Keys is the timetable of the signing keys.
type Keys struct {
	// How long one generation of keys signs before the next one takes over.
	RotateEvery time.Duration `setting:"keys.rotate_every" default:"30d" min:"1s" max:"366d"`
	// How long others may keep the JWKS (its Cache-Control).
	JWKSMaxAge time.Duration `setting:"keys.jwks_max_age" default:"5m" min:"1s" max:"24h"`
	// How long a key is published before it signs: at least twice the age that caches
	// of the JWKS may have and a second, and less than keys.rotate_every.
	PublishLead time.Duration `setting:"keys.publish_lead" default:"1h" min:"1s" max:"30d"`
	// How long a key stays published after its last signature: a minute longer than
	// any token lives, at least.
	KeepAfter time.Duration `setting:"keys.keep_after" default:"25h" min:"1s" max:"366d"`
}

// Mail is where mails go out.
type Mail struct {
	// The mail server: smtp://USER:PASSWORD@HOST:587 (STARTTLS, demanded but on
	// loopback) or smtps://… Default: nothing is mailed.
	URL Secret `setting:"mail.url"`
	// The sender's address.
	From string `setting:"mail.from"`
}

// Outbound is what may be fetched from elsewhere, and told to others: clients'
// keys, and their sign-outs. It is https, to public addresses, by default.
type Outbound struct {
	// The networks, as CIDRs, that may be fetched from although they are private.
	// Without it only public addresses are. Where the issuer is http, on loopback,
	// loopback addresses that are listed here are reached by http too.
	Allow []netip.Prefix `setting:"outbound.allow"`
	// A file of certificates (PEM) that are trusted beside the system's when
	// something is fetched.
	CAFile string `setting:"outbound.ca_file"`
}

// RateLimit is how often a network, an IPv4 address or an IPv6 /64, may do what
// costs us something. Assets, discovery, the JWKS, health and authenticated
// clients are not counted.
type RateLimit struct {
	// How many forms a network may get wrong in an hour; one that turns out right is
	// not counted. 0 is no limit.
	Anonymous int `setting:"rate_limit.anonymous.per_hour" default:"100" min:"0" max:"1000000"`
	// How many forms somebody signed in may get wrong in an hour. 0 is no limit.
	User int `setting:"rate_limit.user.per_hour" default:"1000" min:"0" max:"1000000"`
	// How many authorization requests a network may send in a minute, ways to
	// upstreams and back among them. 0 is no limit.
	Authorize int `setting:"rate_limit.authorize.per_minute" default:"600" min:"0" max:"1000000"`
	// How many devices a network may connect in an hour by clients without a secret.
	// 0 is no limit.
	Device int `setting:"rate_limit.device.per_hour" default:"100" min:"0" max:"1000000"`
	// How many wrong device codes a network may type in an hour. 0 is no limit, but
	// each session keeps its own.
	DeviceCode int `setting:"rate_limit.device_code.per_hour" default:"30" min:"0" max:"1000000"`
}

// Log is what is written, and where.
type Log struct {
	// The least important lines that are written.
	Level string `setting:"log.level" default:"info" oneof:"debug info warn error" flag:"serve"`
	// How lines look: text, json, or auto: text on a terminal, else json.
	Format string `setting:"log.format" default:"auto" oneof:"auto text json" flag:"serve"`
	// A file that is written beside stderr, as JSON, closed to others; a new one is
	// begun at 100 MB, and 5 are kept.
	File string `setting:"log.file"`
}

// A Client is a relying party that the file declares.
type Client struct {
	ID       string
	Secret   Secret
	Metadata storage.ClientMetadata
	// Where it stands in the file.
	Where string
}

// An Upstream is an OpenID Connect provider that people may sign in at. key is
// the name of a field in the file.
type Upstream struct {
	// Its name in addresses, in events and in accounts, for good: small letters,
	// digits and hyphens. Accounts are found by it, the issuer and the subject.
	ID string `key:"id"`
	// Its issuer, as its own discovery document has it, byte for byte.
	Issuer string `key:"issuer"`
	// What people read on its button. Default: the issuer's host.
	Name string `key:"name"`
	// The id that it gave us.
	ClientID string `key:"client_id"`
	// The secret that it gave us; client_secret_file names a file that holds it.
	ClientSecret Secret `key:"client_secret"`
	// How we show the secret at its token endpoint: client_secret_basic,
	// client_secret_post, or none where it gave us no secret. Default:
	// client_secret_basic, and client_secret_post for Google.
	AuthMethod string `key:"token_endpoint_auth_method"`
	// Where it sends people back to, any path of our own origin; it must be
	// registered there, byte for byte. Default: ISSUER/login/upstream/ID/callback.
	RedirectURI string `key:"redirect_uri"`
	// What is asked for. Default: openid, email, profile.
	Scopes []string `key:"scopes"`
	// The prompt that is sent where the application asks for none: login, consent or
	// select_account.
	Prompt string `key:"prompt"`
	// Of Google: the Workspace domain (hd) that people must belong to; * is any.
	HostedDomain string `key:"hosted_domain"`
	// The domains that addresses must be of to sign in here, as email_domains.
	EmailDomains []string `key:"email_domains"`
	// Whether an address is believed that it calls verified. Without that, accounts
	// that come from it have none. Default: true for Google, else false.
	TrustEmail bool `key:"trust_email_verified"`
	// Where it stands in the file, or the name in the environment.
	Where string
}
