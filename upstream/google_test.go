package upstream

import "testing"

func TestGoogleMayLeaveTheSchemeOfItsIssuerOut(t *testing.T) {
	google := &Provider{Config: Config{ID: Google, Issuer: "https://accounts.google.com"}}
	partner := &Provider{Config: Config{ID: "partner", Issuer: "https://accounts.google.com"}}
	for iss, of := range map[string][2]bool{
		"https://accounts.google.com": {true, true}, "accounts.google.com": {true, false},
		"http://accounts.google.com": {false, false}, "https://accounts.google.com/": {false, false}, "evil.example": {false, false}, "": {false, false},
	} {
		if google.isIssuer(iss) != of[0] || partner.isIssuer(iss) != of[1] {
			t.Errorf("%q: Google %v, another %v", iss, google.isIssuer(iss), partner.isIssuer(iss))
		}
	}
}

// Whoever left a company may keep a Google account that they once made with its
// address: Google vouches for its own addresses and for those of a Workspace.
func TestGoogleIsNoAuthorityOnAddressesOfOthers(t *testing.T) {
	google := &Provider{Config: Config{ID: Google, Domains: [][]string{{"example.com", "gmail.com"}}}}
	for name, c := range map[string]struct {
		address, hd string
		in          bool
	}{
		"its own":                      {"alice@gmail.com", "", true},
		"of a Workspace":               {"alice@example.com", "example.com", true},
		"of a company, made privately": {"alice@example.com", "", false},
		"of another company":           {"alice@other.example", "other.example", false},
		"two at once":                  {"alice@example.com@gmail.com", "", false},
		"none":                         {"", "", false},
	} {
		if err := google.judgeDomain(&Assertion{Email: c.address, hostedDomain: c.hd}); (err == nil) != c.in {
			t.Errorf("%s: %v", name, err)
		}
	}
}
