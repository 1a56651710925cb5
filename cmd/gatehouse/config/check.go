package config

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check judges the settings together and fills in the defaults that follow
// from others.
func (r *reading) check() {
	r.checkAddresses()
	r.checkDatabase()
	r.checkRedis()
	r.checkMasterKey()
	r.checkTLS()
	r.checkTimes()
	r.checkMail()
	r.checkHash()
	r.checkDomains("email_domains", r.c.EmailDomains)
	r.checkUpstreams()
	r.warn()
}

// warn notes what is allowed and probably not meant.
func (r *reading) warn() {
	c := r.c
	u, err := url.Parse(c.Issuer)
	_, port, _ := net.SplitHostPort(c.Listen)
	if err == nil && loopback(u.Hostname()) && u.Port() != "" && u.Port() != port {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the issuer is %s, and we listen on port %s: something else must forward the one to the other", c.Issuer, port))
	}
	if r.exposed != "" {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s has secrets and every user of this machine may read it; run: chmod 600 %[1]s", r.exposed))
	}
}

const (
	defaultPort = "8000"
	// minHashWork is the least product of memory (KiB) and passes that OWASP's
	// password storage advice gives for argon2id.
	minHashWork = 7168 * 5
)

// checkAddresses settles the issuer and the address to listen on; each may
// follow from the other.
func (r *reading) checkAddresses() {
	c := r.c
	host, port, err := net.SplitHostPort(cmp.Or(c.Listen, ":"+defaultPort))
	shown := c.Listen
	if layer := c.origins["listen"].Layer; r.port.text != "" && (layer == "default" || layer == "file") {
		port, shown = r.port.text, r.port.text
		c.origins["listen"] = r.port.origin
	}
	if n, nerr := strconv.ParseUint(port, 10, 16); err != nil || nerr != nil || n > 65535 {
		r.refuse("listen", "is %q; allowed: host:port, such as 127.0.0.1:8000 or :8000", shown)
		port = defaultPort
	}
	if c.origins["issuer"].Layer == "default" {
		c.Issuer = c.localIssuer(port)
	}
	u := r.checkIssuer()
	if c.Listen == "" && u != nil && loopback(u.Hostname()) {
		host = "127.0.0.1"
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			host = a.String()
		}
	}
	c.Listen = net.JoinHostPort(host, port)
}

// localIssuer is the issuer of somebody who set none.
func (c *Config) localIssuer(port string) string {
	scheme, usual := "http", "80"
	if c.TLS.Cert != "" {
		scheme, usual = "https", "443"
	}
	if port == usual {
		return scheme + "://localhost"
	}
	return scheme + "://localhost:" + port
}

// checkIssuer refuses what OpenID Connect Discovery §3 does not allow, and
// plain http to anywhere but this machine.
func (r *reading) checkIssuer() *url.URL {
	issuer := r.c.Issuer
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || (u.Scheme != "http" && u.Scheme != "https"):
		r.refuse("issuer", "is %q; allowed: an address such as https://id.example.com", issuer)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		r.refuse("issuer", "is %q; it must be without user, query and fragment", issuer)
	case strings.HasSuffix(issuer, "/"):
		r.refuse("issuer", "is %q; it must not end with a slash: clients compare it byte for byte", issuer)
	case u.Host != strings.ToLower(u.Host):
		r.refuse("issuer", "is %q; write the host in lower case: clients compare it byte for byte", issuer)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		r.refuse("issuer", "is %q; http is only for localhost: use https", issuer)
	case u.Scheme == "http" && r.c.TLS.Cert != "":
		r.refuse("issuer", "is %q, and tls.cert is set; an address served with TLS begins with https", issuer)
	default:
		return u
	}
	return nil
}

// loopback reports whether the host is this machine.
func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// checkDatabase settles the address of the database and what follows from
// whether it is this process's own.
func (r *reading) checkDatabase() {
	c := r.c
	if c.DataDir == "" {
		r.refuse("data_dir", "is empty; allowed: a directory, such as ./data")
	}
	if c.DatabaseURL.IsZero() {
		c.DatabaseURL = Secret{"sqlite://" + filepath.Join(c.DataDir, "gatehouse.db")}
	}
	switch scheme, rest, found := strings.Cut(c.DatabaseURL.value, "://"); {
	case !found || rest == "" || !slices.Contains([]string{"sqlite", "postgres", "postgresql"}, scheme):
		r.refuse("database_url", "is not understood; allowed: sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")
	case c.Migrate == "" && scheme == "sqlite":
		c.Migrate = "auto"
	}
	if c.Migrate == "" {
		c.Migrate = "manual"
	}
	if _, embedded := c.SQLite(); !embedded && c.origins["drain_delay"].Layer == "default" {
		c.DrainDelay = 5 * time.Second
	}
	if c.Database.MinConnections > c.Database.MaxConnections {
		r.refuse("database.min_connections", "is %d; it must be at most database.max_connections, %d", c.Database.MinConnections, c.Database.MaxConnections)
	}
}

// checkRedis looks whether the address of Redis is one.
func (r *reading) checkRedis() {
	if r.c.RedisURL.IsZero() {
		return
	}
	u, err := url.Parse(r.c.RedisURL.value)
	switch {
	case err == nil && (u.Scheme == "redis" || u.Scheme == "rediss") && u.Host != "":
	case err == nil && u.Scheme == "unix" && u.Path != "":
	default:
		r.refuse("redis_url", "is not understood; allowed: redis://USER:PASSWORD@HOST:6379/0, rediss://… or unix:///PATH")
	}
}

// SQLite returns the path of the embedded database; ok is false where the
// database is another.
func (c *Config) SQLite() (path string, ok bool) {
	return strings.CutPrefix(c.DatabaseURL.value, "sqlite://")
}

// checkMasterKey looks whether the master keys are keys; without any, only the
// embedded database makes its own.
func (r *reading) checkMasterKey() {
	c := r.c
	_, embedded := c.SQLite()
	switch _, err := ParseMasterKeys(c.MasterKey.value); {
	case c.MasterKey.IsZero() && !c.Wrong("master_key", "database_url") && !embedded:
		r.refuse("master_key", "must be set with PostgreSQL, the same on every node; make one with: openssl rand -base64 32")
	case !c.MasterKey.IsZero() && err != nil:
		r.refuse("master_key", "%w", err)
	}
}

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = 32

// ParseMasterKeys reads master keys, comma separated in base64.
func ParseMasterKeys(text string) ([][]byte, error) {
	var keys [][]byte
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimSpace(word)), "=")
		key, err := base64.RawStdEncoding.DecodeString(word)
		switch {
		case err != nil:
			return nil, errors.New("is not base64; make a key with: openssl rand -base64 32")
		case len(key) != MasterKeySize:
			return nil, fmt.Errorf("has %d bytes, not %d; make a key with: openssl rand -base64 32", len(key), MasterKeySize)
		case weak(word) != "":
			return nil, fmt.Errorf("%s; make a key with: openssl rand -base64 32", weak(word))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (r *reading) checkTLS() {
	t := r.c.TLS
	switch {
	case t.Cert == "" && t.Key == "":
		return
	case t.Cert == "" || t.Key == "":
		name, other := "tls.cert", "tls.key"
		if t.Cert == "" {
			name, other = other, name
		}
		r.refuse(name, "is given without %s; they go together", other)
		return
	}
	if _, err := os.Stat(t.Cert); err != nil {
		r.refuse("tls.cert", "is %q, which cannot be read: %w", t.Cert, errors.Unwrap(err))
	}
	if err := CheckPrivate(t.Key); err != nil {
		r.refuse("tls.key", "is %q, which %w", t.Key, err)
	}
}

// checkTimes looks whether the lifetimes fit one another.
func (r *reading) checkTimes() {
	c := r.c
	r.atMost("token.refresh_idle_lifetime", c.Token.RefreshIdle, "token.refresh_lifetime", c.Token.Refresh)
	r.atMost("session.idle_lifetime", c.Session.Idle, "session.lifetime", c.Session.Lifetime)
	r.atLeast("keys.publish_lead", c.Keys.PublishLead, 2*c.Keys.JWKSMaxAge+time.Second, "twice keys.jwks_max_age and a second", "keys.jwks_max_age")
	longest := max(c.Token.Access, c.Token.ID)
	r.atLeast("keys.keep_after", c.Keys.KeepAfter, longest+time.Minute, "the longest token lifetime and a minute", "token.access_lifetime", "token.id_lifetime")
	if c.Keys.PublishLead >= c.Keys.RotateEvery && !c.Wrong("keys.publish_lead", "keys.rotate_every") {
		r.refuse("keys.publish_lead", "is %s; it must be less than keys.rotate_every, %s", FormatDuration(c.Keys.PublishLead), FormatDuration(c.Keys.RotateEvery))
	}
}

func (r *reading) atMost(name string, d time.Duration, other string, most time.Duration) {
	if d > most && !r.c.Wrong(name, other) {
		r.refuse(name, "is %s; it must be at most %s, %s", FormatDuration(d), other, FormatDuration(most))
	}
}

func (r *reading) atLeast(name string, d, least time.Duration, why string, others ...string) {
	if d < least && !r.c.Wrong(append(others, name)...) {
		r.refuse(name, "is %s; it must be at least %s: %s", FormatDuration(d), FormatDuration(least), why)
	}
}

func (r *reading) checkMail() {
	m := r.c.Mail
	switch u, err := url.Parse(m.URL.value); {
	case m.URL.IsZero():
	case err != nil || u.Host == "" || (u.Scheme != "smtp" && u.Scheme != "smtps"):
		r.refuse("mail.url", "is not understood; allowed: smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST")
	case m.From == "":
		r.problem("mail.from must be set with mail.url: the sender's address")
		r.c.wrong["mail.from"] = true
	}
}

func (r *reading) checkHash() {
	h := r.c.Password.Hash
	if h.Memory*h.Iterations < minHashWork {
		r.refuse("password.hash.memory", "is %d with %d iterations; memory times iterations must be at least %d", h.Memory, h.Iterations, minHashWork)
	}
}
