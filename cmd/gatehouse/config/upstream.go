package config

import (
	"fmt"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Google is the id of Google, and the issuer that is meant by it.
const (
	Google       = "google"
	googleIssuer = "https://accounts.google.com"
)

// An upstreamField is one field of Upstream that the file may set.
type upstreamField struct {
	key, name string
	index     int
	kind      reflect.Type
}

var upstreamFields = sync.OnceValue(func() []upstreamField {
	var all []upstreamField
	for f := range reflect.TypeFor[Upstream]().Fields() {
		if key := f.Tag.Get("key"); key != "" {
			all = append(all, upstreamField{key, f.Name, f.Index[0], f.Type})
		}
	}
	return all
})

// upstreamKeys are the names that an entry may have.
func upstreamKeys() []string {
	var names []string
	for _, f := range upstreamFields() {
		names = append(names, f.key)
		if f.kind == reflect.TypeFor[Secret]() {
			names = append(names, f.key+fileSuffix)
		}
	}
	return names
}

// A declaredUpstream is an upstream on its way in.
type declaredUpstream struct {
	Upstream
	given map[string]string // where each field stands, for messages
}

// at names a field for a message: where it stands, or where it is missing.
func (u *declaredUpstream) at(key string) string {
	if where, given := u.given[key]; given {
		return where
	}
	return u.Where + ": " + key
}

// upstream reads one entry of the file.
func (f *fileReading) upstream(name string, fields map[string]any) *declaredUpstream {
	u := &declaredUpstream{Upstream: Upstream{Where: f.where(name)}, given: make(map[string]string)}
	for key, value := range inOrder(fields) {
		where := f.where(name + "." + key)
		own, fromFile := strings.CutSuffix(key, fileSuffix)
		i := slices.IndexFunc(upstreamFields(), func(field upstreamField) bool { return field.key == own })
		text, ok := plain(value)
		switch {
		case !slices.Contains(upstreamKeys(), key):
			f.problem("%s is nothing that an upstream has%s", where, meant(key, upstreamKeys()))
		case !ok:
			f.problem("%s must be one value, or a list of them", where)
		case u.given[own] != "":
			f.problem("%s has %s and %s; keep one", u.Where, own, key)
		case fromFile:
			f.upstreamSecret(u, own, where, text)
		default:
			u.given[key] = where
			f.secrets = f.secrets || key == "client_secret"
			if problem := u.set(upstreamFields()[i], text); problem != "" {
				f.problem("%s %s", where, problem)
			}
		}
	}
	return u
}

func (r *reading) upstreamSecret(u *declaredUpstream, key, where, file string) {
	u.given[key] = where
	secret, err := ReadSecretFile(file)
	if err != nil {
		r.problem("%s: %s %w", where, file, err)
	}
	u.ClientSecret = secret
}

// set parses a field, and says what is wrong with its value.
func (u *declaredUpstream) set(f upstreamField, text string) (problem string) {
	field := reflect.ValueOf(&u.Upstream).Elem().Field(f.index)
	switch f.kind {
	case reflect.TypeFor[Secret]():
		field.Set(reflect.ValueOf(Secret{text}))
		if text == "" {
			return "is empty"
		}
	case reflect.TypeFor[[]string]():
		field.Set(reflect.ValueOf(strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })))
	case reflect.TypeFor[bool]():
		field.SetBool(text == "true")
		if text != "true" && text != "false" {
			return fmt.Sprintf("is %q; allowed: true, false", text)
		}
	default:
		field.SetString(text)
	}
	return ""
}

// google honours the names that Google's own examples use. They say more than
// the file, which may say the rest.
func (r *reading) google(env map[string]string) {
	const id, secret, redirect = "GOOGLE_OAUTH_CLIENT_ID", "GOOGLE_OAUTH_CLIENT_SECRET", "GOOGLE_OAUTH_REDIRECT_URI"
	if env[id] == "" && env[secret] == "" && env[secret+"_FILE"] == "" && env[redirect] == "" {
		return
	}
	i := slices.IndexFunc(r.upstreams, func(u *declaredUpstream) bool { return u.ID == Google })
	if i < 0 {
		i = len(r.upstreams)
		r.upstreams = append(r.upstreams, &declaredUpstream{
			Upstream: Upstream{ID: Google, Where: "GOOGLE_OAUTH_*"}, given: map[string]string{"id": "GOOGLE_OAUTH_*"},
		})
	}
	u := r.upstreams[i]
	if env[id] != "" {
		u.ClientID, u.given["client_id"] = env[id], id
	}
	if env[redirect] != "" {
		u.RedirectURI, u.given["redirect_uri"] = env[redirect], redirect
	}
	switch file := env[secret+"_FILE"]; {
	case env[secret] != "" && file != "":
		r.problem("%s and %s are both given; keep one", secret, secret+"_FILE")
	case env[secret] != "":
		u.ClientSecret, u.given["client_secret"] = Secret{env[secret]}, secret
	case file != "":
		r.upstreamSecret(u, "client_secret", secret+"_FILE", file)
	}
}

// checkUpstreams fills in what follows from the rest and judges each upstream,
// and all of them together.
func (r *reading) checkUpstreams() {
	ids, redirects := make(map[string]string), make(map[string]string)
	for _, u := range r.upstreams {
		r.completeUpstream(u)
		r.checkUpstream(u)
		if other, twice := ids[u.ID]; twice && u.ID != "" {
			r.problem("%s is %q, and so is that of %s; ids are unique", u.at("id"), u.ID, other)
		}
		if other, twice := redirects[u.RedirectURI]; twice && ids[u.ID] == "" {
			r.problem("%s is %s, and so is that of %s; each upstream comes back to an address of its own", u.at("redirect_uri"), u.RedirectURI, other)
		}
		ids[u.ID], redirects[u.RedirectURI] = u.Where, u.Where
		r.c.Upstreams = append(r.c.Upstreams, u.Upstream)
	}
}

// completeUpstream fills in the defaults.
func (r *reading) completeUpstream(u *declaredUpstream) {
	def := func(key string, field *string, value string) {
		if u.given[key] == "" {
			*field = value
		}
	}
	issuer, err := url.Parse(u.Issuer)
	switch {
	case u.ID == Google:
		def("issuer", &u.Issuer, googleIssuer)
		def("name", &u.Name, "Google")
		u.TrustEmail = u.TrustEmail || u.given["trust_email_verified"] == ""
	case err == nil:
		def("name", &u.Name, issuer.Host)
	}
	method := "client_secret_basic"
	if u.ID == Google {
		method = "client_secret_post" // as Google's own libraries do
	}
	def("token_endpoint_auth_method", &u.AuthMethod, method)
	def("redirect_uri", &u.RedirectURI, r.c.Issuer+UpstreamCallback(u.ID))
	if u.given["scopes"] == "" {
		u.Scopes = []string{"openid", "email", "profile"}
	}
}

// UpstreamCallback is the path below the issuer that the upstream with this id
// comes back to, where no other is set.
func UpstreamCallback(id string) string { return "/login/upstream/" + id + "/callback" }

var upstreamID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

func (r *reading) checkUpstream(u *declaredUpstream) {
	wrong := func(key, format string, args ...any) { r.problem("%s "+format, append([]any{u.at(key)}, args...)...) }
	if !upstreamID.MatchString(u.ID) {
		wrong("id", "is %q; allowed: 1 to 32 small letters, digits and hyphens", u.ID)
	}
	if why := r.badUpstreamIssuer(u); why != "" {
		wrong("issuer", "is %q; %s", u.Issuer, why)
	}
	if n := utf8.RuneCountInString(u.Name); u.Issuer != "" && (n == 0 || n > 40) {
		wrong("name", "is %q; allowed: 1 to 40 characters", u.Name)
	}
	if u.ClientID == "" {
		wrong("client_id", "is missing: the id that the upstream gave us")
	}
	switch none := u.AuthMethod == "none"; {
	case !slices.Contains([]string{"client_secret_basic", "client_secret_post", "none"}, u.AuthMethod):
		wrong("token_endpoint_auth_method", "is %q; allowed: client_secret_basic, client_secret_post, none", u.AuthMethod)
	case none && !u.ClientSecret.IsZero():
		wrong("client_secret", "is given, and token_endpoint_auth_method is none; keep one")
	case !none && u.given["client_secret"] == "":
		wrong("client_secret", "is missing, or client_secret_file: the secret that the upstream gave us")
	case !none && !u.ClientSecret.IsZero() && weak(u.ClientSecret.value) != "":
		wrong("client_secret", "%s; copy it from the upstream", weak(u.ClientSecret.value))
	}
	if !slices.Contains(u.Scopes, "openid") {
		wrong("scopes", "is %q; openid must be among them", strings.Join(u.Scopes, " "))
	}
	for _, p := range strings.Fields(u.Prompt) {
		if !slices.Contains([]string{"login", "consent", "select_account"}, p) {
			wrong("prompt", "is %q; allowed: login, consent, select_account", u.Prompt)
		}
	}
	if u.HostedDomain != "" && u.HostedDomain != "*" {
		r.checkDomains(u.at("hosted_domain"), []string{u.HostedDomain})
	}
	r.checkDomains(u.at("email_domains"), u.EmailDomains)
	r.checkUpstreamRedirect(u)
}

// badUpstreamIssuer says why an issuer is none, or is empty.
func (r *reading) badUpstreamIssuer(u *declaredUpstream) string {
	issuer, err := url.Parse(u.Issuer)
	switch {
	case u.ID == Google && u.Issuer != googleIssuer:
		return "the id google is Google itself, " + googleIssuer + "; give another provider another id"
	case err != nil || issuer.Host == "" || issuer.Scheme != "https" && issuer.Scheme != "http":
		return "allowed: an address such as https://login.partner.example"
	case issuer.User != nil || issuer.RawQuery != "" || issuer.ForceQuery || strings.Contains(u.Issuer, "#"):
		return "it must be without user, query and fragment"
	case issuer.Scheme == "http" && !(loopback(issuer.Hostname()) && strings.HasPrefix(r.c.Issuer, "http://")):
		return "http is only for a provider on this machine, where our own issuer is http too: use https"
	case u.Issuer == r.c.Issuer:
		return "that is ourselves"
	}
	return ""
}

// ownPaths are addresses that mean something else here.
var ownPaths = []string{
	"/authorize", "/token", "/userinfo", "/jwks", "/introspect", "/revoke", "/device", "/device_authorization",
	"/login", "/consent", "/logout", "/setup", "/signup", "/signed-out", "/recover", "/account", "/admin", "/assets", "/api/v1", "/api/health",
	"/healthz", "/readyz", "/metrics", "/.well-known",
}

var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+/?$`)

// checkUpstreamRedirect wants an address that comes to us, and means nothing
// else here.
func (r *reading) checkUpstreamRedirect(u *declaredUpstream) {
	own, err := url.Parse(r.c.Issuer)
	if err != nil || own.Host == "" {
		return // the issuer was refused, and this may follow from it
	}
	to, err := url.Parse(u.RedirectURI)
	origin := own.Scheme + "://" + own.Host
	switch {
	case err != nil || to.Scheme+"://"+to.Host != origin:
		r.problem("%s is %q, and the issuer's origin is %s: the address must be one of ours, such as %s", u.at("redirect_uri"), u.RedirectURI, origin, r.c.Issuer+UpstreamCallback(u.ID))
	case u.RedirectURI == r.c.Issuer+UpstreamCallback(u.ID):
	case u.RedirectURI != origin+to.Path || !plainPath.MatchString(to.Path) || path.Clean(to.Path) != strings.TrimSuffix(to.Path, "/"):
		r.problem("%s is %q; it must be a plain path of ours, without query and fragment", u.at("redirect_uri"), u.RedirectURI)
	case to.Path == own.Path, slices.ContainsFunc(ownPaths, func(p string) bool {
		return strings.HasPrefix(to.Path+"/", own.Path+p+"/") || strings.HasPrefix(to.Path+"/", p+"/")
	}):
		r.problem("%s is %q, which means something else here; allowed: %s, or a path that is free, such as %s/oauth2/callback", u.at("redirect_uri"), u.RedirectURI, r.c.Issuer+UpstreamCallback(u.ID), origin)
	}
}

var domainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// checkDomains refuses what is no domain of e-mail addresses. where is the
// setting, or says where the value stands.
func (r *reading) checkDomains(where string, domains []string) {
	for _, d := range domains {
		if domainName.MatchString(d) {
			continue
		}
		if s := find(where); s != nil {
			where = r.where(where)
			r.c.wrong[s.Name] = true
		}
		r.problem("%s has %q; allowed: domains such as example.com, in small letters, without @", where, d)
	}
}
