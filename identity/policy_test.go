package identity

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestThePasswordPolicy(t *testing.T) {
	for _, c := range []struct {
		sentence, password string
		broken             []Rule
	}{
		{"all it needs", "Tr0ub4dor &3", nil},
		{"AC-171 64 characters", "Aa1 " + strings.Repeat("xyZ9", 15), nil},
		{"AC-171 128 characters", "Aa1 " + strings.Repeat("xyZ9", 31), nil},
		{"AC-171 129 characters", "Aa1 x" + strings.Repeat("xyZ9", 31), []Rule{TooLong}},
		{"AC-171 a megabyte", strings.Repeat("aB1!", 1<<18), []Rule{TooLong}},
		{"AC-171 spaces count as special", "Aa1 bcdefg hij", nil},
		{"other alphabets have letters, digits and cases", "Ünïcödé ٣ Ж", nil},
		{"too short", "Aa1!xyz", []Rule{TooShort}},
		{"only lower case", "qwmzlkvnb", []Rule{NeedsUpper, NeedsDigit, NeedsSpecial}},
		{"no lower case", "QWMZLKV7!", []Rule{NeedsLower}},
		{"a control character", "Aa1!xyzw\x07", []Rule{BadCharacter}},
		{"empty", "", []Rule{TooShort}},
		{"AC-172 a common one", "P@ssw0rd", []Rule{TooCommon}},
		{"AC-172 the product", "Gatehouse1!", []Rule{ContainsName}},
		{"AC-172 the account's name", "Wonderland1!", []Rule{ContainsName}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			_, err := DefaultPolicy().check(c.password, "wonderland")
			refusal, _ := errors.AsType[*PolicyError](err)
			var got []Rule
			if refusal != nil {
				got = refusal.Rules
			}
			if !slices.Equal(got, c.broken) || (err != nil) != (refusal != nil) {
				t.Errorf("it breaks %v (%v), want %v", got, err, c.broken)
			}
			if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
				t.Error("the error repeats the password")
			}
		})
	}
}

func TestAC171_TwoKeyboardsTypeTheSamePassword(t *testing.T) {
	composed, decomposed := "Aa1! \u00e9t\u00e9 xyz", "Aa1!\u00a0e\u0301te\u0301 xyz"
	a, err := normal(composed)
	if err != nil {
		t.Fatal(err)
	}
	b, err := normal(decomposed)
	if err != nil || a != b {
		t.Errorf("%q and %q, %v", a, b, err)
	}
	p := open(t)
	p.create(NewAccount{Username: "alice", Password: composed})
	if _, err := p.try("alice", decomposed); err != nil {
		t.Errorf("the other keyboard: %v", err)
	}
	if _, err := p.try("alice", strings.ToUpper(composed)); err == nil {
		t.Error("another case signs in")
	}
}

func TestAC172_TheMostCommonPasswordsAreRefused(t *testing.T) {
	policy := PasswordPolicy{MinLength: 1, RefuseCommon: true}
	for _, password := range strings.Fields("123456 password 123456789 12345678 qwerty 111111 abc123 password1 iloveyou 1234567890 " +
		"Password PASSWORD letmein dragon monkey sunshine princess football baseball welcome shadow superman trustno1 qwertyuiop P@ssw0rd passw0rd") {
		if _, err := policy.check(password); err == nil {
			t.Errorf("%s may be set", password)
		}
	}
	for _, password := range []string{"zqv-mul-tren-9", "Ünïcödé ٣ Ж", "correct horse battery staple 42"} {
		if _, err := policy.check(password); err != nil {
			t.Errorf("%s: %v", password, err)
		}
	}
}

func TestEachRuleCanBeSwitchedOff(t *testing.T) {
	if _, err := (PasswordPolicy{}).check("a"); err != nil {
		t.Errorf("with no rule: %v", err)
	}
	if _, err := (PasswordPolicy{MinLength: 12}).check("abcdefghijk"); err == nil || !strings.Contains(err.Error(), "12") {
		t.Errorf("with a length alone: %v", err)
	}
}

func TestAC227_HostileTextIsJudgedQuickly(t *testing.T) {
	p := open(t)
	began := time.Now()
	for _, bomb := range []string{strings.Repeat("a\u0301\u0301\u0301", 30_000), strings.Repeat("(a+)+", 20_000), strings.Repeat("\U0001F468\u200d", 10_000), strings.Repeat("@", 100_000)} {
		if _, err := p.Create(t.Context(), NewAccount{Username: bomb}); err == nil {
			t.Error("it is a user name")
		}
		if _, err := p.Create(t.Context(), NewAccount{Email: bomb + "@example.com"}); err == nil {
			t.Error("it is an address")
		}
		if _, err := p.try(bomb, bomb); !errors.Is(err, ErrWrong) {
			t.Errorf("sign-in: %v", err)
		}
	}
	// Ten times what it takes on a slow machine: this catches what never ends.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
