package identity

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// maxPassword bounds what is hashed at all, in characters.
const maxPassword = 128

// PasswordPolicy says which passwords may be set. The zero value of a rule is
// off; DefaultPolicy is what the settings start from.
type PasswordPolicy struct {
	MinLength    int // in characters, after NFC
	Upper        bool
	Lower        bool
	Digit        bool
	Special      bool
	RefuseCommon bool // the built-in list of common and breached passwords
}

// DefaultPolicy is the policy of a fresh installation.
func DefaultPolicy() PasswordPolicy {
	return PasswordPolicy{MinLength: 8, Upper: true, Lower: true, Digit: true, Special: true, RefuseCommon: true}
}

// A Rule names one thing a password must be. Its text is the message id that
// pages translate.
type Rule string

// The rules.
const (
	TooShort     Rule = "password.too_short"
	TooLong      Rule = "password.too_long"
	NeedsUpper   Rule = "password.needs_upper"
	NeedsLower   Rule = "password.needs_lower"
	NeedsDigit   Rule = "password.needs_digit"
	NeedsSpecial Rule = "password.needs_special"
	TooCommon    Rule = "password.too_common"
	ContainsName Rule = "password.contains_name" // little more than a name, address or the product's name
	BadCharacter Rule = "password.bad_character"
)

// Rules lists every rule, in the order in which they are reported.
var Rules = []Rule{BadCharacter, TooLong, TooShort, NeedsUpper, NeedsLower, NeedsDigit, NeedsSpecial, TooCommon, ContainsName}

var ruleTexts = map[Rule]string{
	TooShort:     "it is too short",
	TooLong:      "it is longer than 128 characters",
	NeedsUpper:   "it needs an upper-case letter",
	NeedsLower:   "it needs a lower-case letter",
	NeedsDigit:   "it needs a digit",
	NeedsSpecial: "it needs a character that is neither letter nor digit",
	TooCommon:    "it is on the list of common and breached passwords",
	ContainsName: "it is little more than the account's name or this product's",
	BadCharacter: "it has a control character",
}

// PolicyError lists every rule that a password breaks.
type PolicyError struct {
	Rules  []Rule
	Policy PasswordPolicy
}

func (e *PolicyError) Error() string {
	texts := make([]string, len(e.Rules))
	for i, r := range e.Rules {
		texts[i] = ruleTexts[r]
		if r == TooShort {
			texts[i] = fmt.Sprintf("it is shorter than %d characters", e.Policy.MinLength)
		}
	}
	return "this password cannot be used: " + strings.Join(texts, "; ")
}

// normal is the password as it is compared and hashed: NFC and one kind of
// space (RFC 8265 §4.2, OpaqueString), so that two keyboards type the same.
func normal(password string) (string, error) {
	if len(password) > 4*maxPassword || utf8.RuneCountInString(password) > maxPassword {
		return "", &PolicyError{Rules: []Rule{TooLong}}
	}
	s, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", &PolicyError{Rules: []Rule{BadCharacter}}
	}
	return s, nil
}

// check returns the password as it is to be hashed, or a *PolicyError. names
// are what the password must not consist of.
func (p PasswordPolicy) check(password string, names ...string) (string, error) {
	if password == "" {
		return "", &PolicyError{Rules: []Rule{TooShort}, Policy: p}
	}
	s, err := normal(password)
	if err != nil {
		return "", err
	}
	var broken []Rule
	refuse := func(when bool, r Rule) {
		if when {
			broken = append(broken, r)
		}
	}
	has := func(is func(rune) bool) bool { return strings.IndexFunc(s, is) >= 0 }
	refuse(utf8.RuneCountInString(s) < p.MinLength, TooShort)
	refuse(p.Upper && !has(unicode.IsUpper), NeedsUpper)
	refuse(p.Lower && !has(unicode.IsLower), NeedsLower)
	refuse(p.Digit && !has(unicode.IsDigit), NeedsDigit)
	refuse(p.Special && !has(func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), NeedsSpecial)
	refuse(p.RefuseCommon && common(s), TooCommon)
	refuse(p.RefuseCommon && mostlyNames(s, names), ContainsName)
	if len(broken) > 0 {
		return "", &PolicyError{Rules: broken, Policy: p}
	}
	return s, nil
}

// beyondNames is how many characters a password must have beside names.
const beyondNames = 6

// mostlyNames reports whether little is left of s without the names in it.
func mostlyNames(s string, names []string) bool {
	rest := strings.ToLower(s)
	for _, n := range append(names, "gatehouse") {
		if len(n) >= 3 {
			rest = strings.ReplaceAll(rest, strings.ToLower(n), "")
		}
	}
	return len(rest) < len(strings.ToLower(s)) && utf8.RuneCountInString(rest) < beyondNames
}

// ownNames lists the names of an account that its password must not consist of.
func ownNames(username, email, name string) []string {
	local, domain, _ := strings.Cut(email, "@")
	company, _, _ := strings.Cut(domain, ".")
	return append([]string{email, username, local, company}, strings.Fields(name)...)
}
