package identity

import (
	"errors"
	"strings"
	"testing"

	"gatehouse/storage"
)

func TestWhatAClaimMayBe(t *testing.T) {
	p := open(t)
	for name, texts := range map[string]struct{ good, bad []string }{
		"given_name":             {[]string{"Alice", "Zoë", "李"}, []string{"a\nb", strings.Repeat("a", 201), "\xff"}},
		"picture":                {[]string{"https://a.example/1.png"}, []string{"javascript:alert(1)", "data:image/png,x", "//a", "https://u@a.example/", "x"}},
		"birthdate":              {[]string{"1852-05-04", "1852", "0000-02-29"}, []string{"1852-13-01", "04.05.1852", "0000-02-30"}},
		"zoneinfo":               {[]string{"Europe/London", "America/Argentina/Ushuaia", "UTC", "Etc/GMT+5"}, []string{"../etc/passwd", "a b"}},
		"locale":                 {[]string{"en", "en-GB", "vi"}, []string{"english please", "-"}},
		"phone_number":           {[]string{"+441865270000", "+1604555123;ext=42"}, []string{"0123", "+44 1865", "+1;ext=x"}},
		"address.street_address": {[]string{"Christ Church\r\nSt Aldate's"}, []string{"a\x07", strings.Repeat("a", 1001)}},
		"address.country":        {[]string{"England"}, []string{"a\nb"}},
	} {
		for _, text := range texts.good {
			u := p.create(NewAccount{Username: "u" + strings.Map(onlyLetters, name+text)})
			if !SetClaim(&u.Profile, name, text) {
				t.Fatalf("there is no claim %s", name)
			}
			if err := p.Update(t.Context(), u); err != nil {
				t.Errorf("%s may not be %q: %v", name, text, err)
			}
			if err := p.Delete(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		for _, text := range texts.bad {
			profile := storage.Profile{}
			SetClaim(&profile, name, text)
			_, err := p.Create(t.Context(), NewAccount{Username: "bad", Profile: profile})
			if refusal, ok := errors.AsType[*FieldError](err); !ok || refusal.Field != name || fieldTexts[refusal.Message] == "" {
				t.Errorf("%s may be %.30q: %v", name, text, err)
			}
		}
	}
}

func onlyLetters(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return -1
}

func TestEveryClaimIsSetAndTakenAway(t *testing.T) {
	var p storage.Profile
	for _, name := range ClaimNames() {
		if !SetClaim(&p, name, "true") {
			t.Errorf("%s is not set", name)
		}
	}
	if !p.PhoneNumberVerified || p.Address == nil || p.Address.Country != "true" || p.Locale != "true" {
		t.Errorf("%+v", p)
	}
	SetClaim(&p, "phone_number", "+1234567")
	if p.PhoneNumberVerified {
		t.Error("another phone number is verified")
	}
	for _, name := range ClaimNames() {
		SetClaim(&p, name, "")
	}
	if p != (storage.Profile{}) {
		t.Errorf("something is left: %+v", p)
	}
	if SetClaim(&p, "sub", "x") || SetClaim(&p, "email_verified", "true") {
		t.Error("AC-169 a claim that is no part of a profile is set")
	}
}
