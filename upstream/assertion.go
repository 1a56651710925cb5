package upstream

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// person are the standard claims about somebody (OpenID Connect Core §5.1), in
// an ID token and at the userinfo endpoint alike.
type person struct {
	Subject       string  `json:"sub"`
	Name          string  `json:"name"`
	GivenName     string  `json:"given_name"`
	FamilyName    string  `json:"family_name"`
	MiddleName    string  `json:"middle_name"`
	Nickname      string  `json:"nickname"`
	Picture       string  `json:"picture"`
	Locale        string  `json:"locale"`
	Zoneinfo      string  `json:"zoneinfo"`
	Email         string  `json:"email"`
	EmailVerified boolean `json:"email_verified"`
}

// A boolean that some providers write as a string.
type boolean bool

// UnmarshalJSON takes true and "true" for true, and everything else for false.
func (b *boolean) UnmarshalJSON(text []byte) error {
	*b = string(text) == "true" || string(text) == `"true"`
	return nil
}

// An Assertion is somebody at an upstream, as far as it is believed.
type Assertion struct {
	Upstream string
	Issuer   string // as it is configured, however the token writes it
	Subject  string
	// Label is what people call this account there, for display alone.
	Label string
	// AuthTime is when somebody signed in there; zero: it does not say.
	AuthTime time.Time
	// AMR is how, in the words of RFC 8176, as far as it says.
	AMR []string
	// Email is an address that the upstream has verified and is trusted for, or empty.
	Email string
	// Claims are the standard claims about the person, by their names.
	Claims map[string]string

	hostedDomain string
}

// methods are the registered values of amr (RFC 8176 §2).
var methods = []string{
	"face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pop", "pwd", "rba", "retina", "sc", "sms", "swk", "tel", "user", "vbm", "wia",
}

// assertion is what of the claims is believed.
func (p *Provider) assertion(c *claims) *Assertion {
	a := &Assertion{
		Upstream: p.ID, Issuer: p.Issuer, Subject: c.Subject, hostedDomain: c.HostedDomain,
		Claims: map[string]string{
			"name": c.Name, "given_name": c.GivenName, "family_name": c.FamilyName, "middle_name": c.MiddleName,
			"nickname": c.Nickname, "picture": c.Picture, "locale": c.Locale, "zoneinfo": c.Zoneinfo,
		},
	}
	if c.AuthTime != nil {
		a.AuthTime = instant(c.AuthTime)
	}
	for _, m := range c.AMR {
		if slices.Contains(methods, m) && !slices.Contains(a.AMR, m) {
			a.AMR = append(a.AMR, m)
		}
	}
	if p.TrustEmail && bool(c.EmailVerified) {
		a.Email = c.Email
	}
	a.Label = cmp.Or(c.Email, c.Name, c.Subject)
	return a
}

// judgeDomain refuses who is of none of the domains that are let in.
func (p *Provider) judgeDomain(a *Assertion) error {
	if p.HostedDomain != "" && a.hostedDomain != p.HostedDomain && (p.HostedDomain != "*" || a.hostedDomain == "") {
		return p.differs("hosted_domain", a.hostedDomain, p.HostedDomain)
	}
	for _, allowed := range p.Domains {
		if len(allowed) > 0 && !slices.Contains(allowed, p.domain(a)) {
			return p.differs("email_domain", cmp.Or(p.domain(a), "no address that it vouches for"), strings.Join(allowed, " "))
		}
	}
	return nil
}

// domain is the domain of the address, where the upstream is an authority on
// who has it today. Google is one for its own addresses and those of a
// Workspace; any other it has merely seen once, perhaps before its owner left.
func (p *Provider) domain(a *Assertion) string {
	_, domain, _ := strings.Cut(a.Email, "@")
	domain = strings.ToLower(domain)
	if p.ID == Google && domain != "gmail.com" && domain != "googlemail.com" && a.hostedDomain == "" {
		return ""
	}
	return domain
}

func decodeSegment(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }
