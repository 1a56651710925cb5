package identity

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"gatehouse/storage"
)

// A claim is one of the standard claims that stand in a profile (OpenID
// Connect Core §5.1), how it is set from text, and what text it takes. An
// empty text takes the claim away.
type claim struct {
	name    string
	field   func(*storage.Profile) *string
	problem func(text string) string // a message id, or empty
}

const maxClaim = 200

var claims = []claim{
	{"name", func(p *storage.Profile) *string { return &p.Name }, plainText},
	{"given_name", func(p *storage.Profile) *string { return &p.GivenName }, plainText},
	{"family_name", func(p *storage.Profile) *string { return &p.FamilyName }, plainText},
	{"middle_name", func(p *storage.Profile) *string { return &p.MiddleName }, plainText},
	{"nickname", func(p *storage.Profile) *string { return &p.Nickname }, plainText},
	{"profile", func(p *storage.Profile) *string { return &p.Profile }, webAddress},
	{"picture", func(p *storage.Profile) *string { return &p.Picture }, webAddress},
	{"website", func(p *storage.Profile) *string { return &p.Website }, webAddress},
	{"gender", func(p *storage.Profile) *string { return &p.Gender }, plainText},
	{"birthdate", func(p *storage.Profile) *string { return &p.Birthdate }, birthdate},
	{"zoneinfo", func(p *storage.Profile) *string { return &p.Zoneinfo }, timeZone},
	{"locale", func(p *storage.Profile) *string { return &p.Locale }, locale},
	{"phone_number", func(p *storage.Profile) *string { return &p.PhoneNumber }, phoneNumber},
	{"address.formatted", func(p *storage.Profile) *string { return &addressOf(p).Formatted }, severalLines},
	{"address.street_address", func(p *storage.Profile) *string { return &addressOf(p).StreetAddress }, severalLines},
	{"address.locality", func(p *storage.Profile) *string { return &addressOf(p).Locality }, plainText},
	{"address.region", func(p *storage.Profile) *string { return &addressOf(p).Region }, plainText},
	{"address.postal_code", func(p *storage.Profile) *string { return &addressOf(p).PostalCode }, plainText},
	{"address.country", func(p *storage.Profile) *string { return &addressOf(p).Country }, plainText},
}

func addressOf(p *storage.Profile) *storage.Address {
	if p.Address == nil {
		p.Address = new(storage.Address)
	}
	return p.Address
}

// ClaimNames lists what SetClaim takes.
func ClaimNames() []string {
	names := make([]string, 0, len(claims)+1)
	for _, c := range claims {
		names = append(names, c.name)
	}
	return append(names, "phone_number_verified")
}

// SetClaim sets one claim of a profile from text; an empty one takes it away.
// It reports whether there is such a claim; what it may not be is said when
// the account is stored. Another phone number is not verified.
func SetClaim(p *storage.Profile, name, text string) bool {
	if name == "phone_number_verified" {
		p.PhoneNumberVerified, _ = strconv.ParseBool(text)
		return true
	}
	for _, c := range claims {
		if c.name != name {
			continue
		}
		field := c.field(p)
		if name == "phone_number" && *field != text {
			p.PhoneNumberVerified = false
		}
		*field = text
		if p.Address != nil && *p.Address == (storage.Address{}) {
			p.Address = nil
		}
		return true
	}
	return false
}

// A Claim is one claim that a profile has, as text.
type Claim struct{ Name, Value string }

// Claims lists the claims that a profile has.
func Claims(p *storage.Profile) []Claim {
	all, copied := []Claim(nil), copyOf(p)
	for _, c := range claims {
		if text := *c.field(copied); text != "" {
			all = append(all, Claim{c.name, text})
		}
	}
	if p.PhoneNumberVerified {
		all = append(all, Claim{"phone_number_verified", "true"})
	}
	return all
}

// copyOf is p with an address of its own: to look at a claim makes none.
func copyOf(p *storage.Profile) *storage.Profile {
	c := *p
	if p.Address != nil {
		address := *p.Address
		c.Address = &address
	}
	return &c
}

// checkProfile returns what is wrong with the first wrong claim.
func checkProfile(p *storage.Profile) error {
	all := copyOf(p)
	for _, c := range claims {
		text := *c.field(all)
		message := ""
		switch {
		case text == "":
		case utf8.RuneCountInString(text) > maxClaim && !strings.HasPrefix(c.name, "address."), utf8.RuneCountInString(text) > 5*maxClaim:
			message = "claim.too_long"
		default:
			message = c.problem(text)
		}
		if c.name == "name" {
			message = strings.Replace(message, "claim.", "name.", 1)
		}
		if message != "" {
			return &FieldError{Field: c.name, Message: message}
		}
	}
	return nil
}

const invalidClaim = "claim.invalid"

func invalidIf(wrong bool) string {
	if wrong {
		return invalidClaim
	}
	return ""
}

func plainText(s string) string {
	return invalidIf(!utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl))
}

// severalLines: RFC 5322 has carriage returns in addresses, people have line feeds.
func severalLines(s string) string {
	return plainText(strings.NewReplacer("\r\n", "", "\n", "").Replace(s))
}

// webAddress: relying parties show it, and make links of it.
func webAddress(s string) string {
	u, err := url.Parse(s)
	return invalidIf(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || plainText(s) != "")
}

// birthdate: a day, a year, or a day whose year is kept back as 0000.
func birthdate(s string) string {
	if strings.HasPrefix(s, "0000-") {
		s = "2000" + s[4:]
	}
	_, day := time.Parse("2006-01-02", s)
	_, year := time.Parse("2006", s)
	return invalidIf(day != nil && year != nil)
}

var zone = regexp.MustCompile(`^[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}$`)

// timeZone: a name of the tz database. Which names there are changes from
// year to year, and is not ours to say.
func timeZone(s string) string { return invalidIf(!zone.MatchString(s)) }

func locale(s string) string {
	_, err := language.Parse(s)
	return invalidIf(err != nil)
}

var e164 = regexp.MustCompile(`^\+[0-9]{4,15}(;ext=[0-9]{1,6})?$`)

func phoneNumber(s string) string { return invalidIf(!e164.MatchString(s)) }
