package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const googleSecret = "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"

// inFile reads settings from this gatehouse.yaml and this environment.
func inFile(t *testing.T, content string, env ...string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(defaultFile, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{Env: env})
}

func TestGoogleNeedsItsIdAndItsSecretAlone(t *testing.T) {
	c := mustLoad(t, "GOOGLE_OAUTH_CLIENT_ID=12.apps.googleusercontent.com", "GOOGLE_OAUTH_CLIENT_SECRET="+googleSecret)
	if len(c.Upstreams) != 1 {
		t.Fatalf("%d upstreams", len(c.Upstreams))
	}
	u := c.Upstreams[0]
	got := []any{u.ID, u.Name, u.Issuer, u.ClientID, u.ClientSecret.Reveal(), u.RedirectURI, strings.Join(u.Scopes, " "), u.TrustEmail}
	want := []any{"google", "Google", "https://accounts.google.com", "12.apps.googleusercontent.com", googleSecret,
		"http://localhost:8000/login/upstream/google/callback", "openid email profile", true}
	if !slices.Equal(got, want) {
		t.Errorf("Google is\n%v, not\n%v", got, want)
	}
}

func TestTheEnvironmentSaysMoreThanTheFileAndLeavesTheRest(t *testing.T) {
	c, err := inFile(t, `
upstreams:
  - id: google
    client_id: of-the-file
    client_secret: `+googleSecret+`
    hosted_domain: example.com
    trust_email_verified: false
  - id: partner
    issuer: https://login.partner.example
    client_id: gatehouse
    client_secret: `+googleSecret+`
    email_domains: [partner.example, partner.test]
`, "GOOGLE_OAUTH_CLIENT_ID=of-the-environment", "GOOGLE_OAUTH_REDIRECT_URI=http://localhost:8000/auth/google/callback/")
	if err != nil {
		t.Fatal(err)
	}
	google, partner := c.Upstreams[0], c.Upstreams[1]
	if google.ClientID != "of-the-environment" || google.HostedDomain != "example.com" || google.TrustEmail ||
		google.RedirectURI != "http://localhost:8000/auth/google/callback/" {
		t.Errorf("Google is %+v", google)
	}
	if partner.Name != "login.partner.example" || partner.TrustEmail || !slices.Equal(partner.EmailDomains, []string{"partner.example", "partner.test"}) ||
		partner.Where != "gatehouse.yaml:8: upstreams[1]" {
		t.Errorf("the partner is %+v", partner)
	}
}

func TestARedirectAddressOfAnotherOriginIsRefusedAndBothAreNamed(t *testing.T) {
	for _, other := range []string{
		"https://id.example.com:8443/cb", "http://id.example.com/cb", "https://id.example.com.evil.example/cb", "https://evil.example/cb", "/cb",
	} {
		_, err := load(t, "GATEHOUSE_ISSUER=https://id.example.com", "GOOGLE_OAUTH_CLIENT_ID=x",
			"GOOGLE_OAUTH_CLIENT_SECRET="+googleSecret, "GOOGLE_OAUTH_REDIRECT_URI="+other)
		lines := problems(t, err)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "GOOGLE_OAUTH_REDIRECT_URI is ") || !strings.Contains(lines[0], other) ||
			!strings.Contains(lines[0], "the issuer's origin is https://id.example.com:") {
			t.Errorf("%s: said %q", other, lines)
		}
	}
}

func TestARedirectAddressIsAPathThatIsFree(t *testing.T) {
	const origin = "https://id.example.com"
	for path, ok := range map[string]bool{
		"/auth/google/callback": true, "/accounts/google/login/callback/": true, "/api/auth/callback/google": true, "/id/cb": true,
		"/token": false, "/id/token": false, "/login/other": false, "/id": false, "/": false, "": false, "/healthz": false,
		"/cb?x=1": false, "/cb#x": false, "/cb/../token": false, "/a//b": false, "/%74oken": false, "/{id}": false, "/.well-known/x": false,
	} {
		_, err := load(t, "GATEHOUSE_ISSUER="+origin+"/id", "GOOGLE_OAUTH_CLIENT_ID=x",
			"GOOGLE_OAUTH_CLIENT_SECRET="+googleSecret, "GOOGLE_OAUTH_REDIRECT_URI="+origin+path)
		if (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestEverythingWrongWithTheUpstreamsIsSaidAtOnce(t *testing.T) {
	_, err := inFile(t, `
upstreams:
  - id: Partner
    issuer: http://login.partner.example
    client_id: gatehouse
    client_secret: changeme-changeme
  - id: a
    issuer: https://login.partner.example?x=1
    token_endpoint_auth_method: private_key_jwt
    client_secret_file: nowhere
    scope: openid
  - id: a
    issuer: https://other.example
    client_id: gatehouse
    token_endpoint_auth_method: none
    prompt: none
    scopes: [email]
    trust_email_verified: maybe
    email_domains: "@other.example"
  - issuer: https://other.example
    client_id: gatehouse
    client_secret: ""
  - id: google
    issuer: https://evil.example
    client_id: x
    client_secret: `+googleSecret+`
  - partner
`)
	lines := strings.Join(problems(t, err), "\n")
	for _, says := range []string{
		`gatehouse.yaml:3: upstreams[0].id is "Partner"; allowed: 1 to 32 small letters`,
		`gatehouse.yaml:4: upstreams[0].issuer is "http://login.partner.example"; http is only`,
		`gatehouse.yaml:6: upstreams[0].client_secret is a placeholder`,
		`gatehouse.yaml:8: upstreams[1].issuer is "https://login.partner.example?x=1"; it must be without`,
		`gatehouse.yaml:9: upstreams[1].token_endpoint_auth_method is "private_key_jwt"; allowed`,
		`gatehouse.yaml:10: upstreams[1].client_secret_file: nowhere does not exist`,
		`gatehouse.yaml:11: upstreams[1].scope is nothing that an upstream has; did you mean scopes?`,
		`gatehouse.yaml:7: upstreams[1]: client_id is missing`,
		`gatehouse.yaml:12: upstreams[2].id is "a", and so is that of gatehouse.yaml:7: upstreams[1]`,
		`gatehouse.yaml:16: upstreams[2].prompt is "none"; allowed`,
		`gatehouse.yaml:17: upstreams[2].scopes is "email"; openid must be among them`,
		`gatehouse.yaml:18: upstreams[2].trust_email_verified is "maybe"; allowed: true, false`,
		`gatehouse.yaml:19: upstreams[2].email_domains has "@other.example"`,
		`gatehouse.yaml:20: upstreams[3]: id is ""`,
		`gatehouse.yaml:22: upstreams[3].client_secret is empty`,
		`gatehouse.yaml:24: upstreams[4].issuer is "https://evil.example"; the id google is Google itself`,
		`gatehouse.yaml:27: upstreams[5] must be a mapping`,
	} {
		if !strings.Contains(lines, says) {
			t.Errorf("nothing says %q", says)
		}
	}
	if t.Failed() {
		t.Log(lines)
	}
	if strings.Contains(lines, googleSecret) || strings.Contains(lines, "changeme") {
		t.Error("a secret is told")
	}
}

func TestTwoUpstreamsDoNotComeBackToOneAddress(t *testing.T) {
	entry := func(id string) string {
		return `
  - id: ` + id + `
    issuer: https://` + id + `.example
    client_id: gatehouse
    client_secret: ` + googleSecret + `
    redirect_uri: http://localhost:8000/oauth2/callback`
	}
	_, err := inFile(t, "upstreams:"+entry("one")+entry("two"))
	if lines := problems(t, err); len(lines) != 1 || !strings.Contains(lines[0], "an address of its own") {
		t.Errorf("said %q", lines)
	}
}

func TestTheSecretOfAnUpstreamMakesAnOpenFileWorthAWarning(t *testing.T) {
	t.Chdir(t.TempDir())
	content := "upstreams:\n  - {id: partner, issuer: https://partner.example, client_id: x, client_secret: " + googleSecret + "}\n"
	if err := os.WriteFile(defaultFile, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "chmod 600") {
		t.Errorf("warned of %q", c.Warnings)
	}
}
