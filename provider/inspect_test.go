package provider_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/keys"
	"gatehouse/provider"
	"gatehouse/provider/providertest"
	"gatehouse/storage"
)

// A desk is where tokens are inspected: a house, a client, and what alice got.
type desk struct {
	*testing.T
	*providertest.House
	user    *storage.User
	client  *providertest.Party
	browser *providertest.Browser
	tokens  providertest.Tokens
}

func newDesk(t *testing.T, change ...func(*storage.ClientMetadata)) *desk {
	h := providertest.New(t)
	d := &desk{T: t, House: h, user: h.User("alice"), client: h.Client("w", append(change, providertest.Trusted)...), browser: h.Browser()}
	d.tokens = d.client.SignInWith(d.browser, "alice", "scope", "openid email")
	return d
}

func (d *desk) must(err error) {
	d.T.Helper()
	if err != nil {
		d.T.Fatal(err)
	}
}

// inspect asks, and holds what every answer promises.
func (d *desk) inspect(q provider.Question) *provider.Inspection {
	d.T.Helper()
	found, err := d.Inspector().Inspect(d.T.Context(), q)
	d.must(err)
	for _, f := range found.Findings {
		if f.What == "" || f.Evidence == "" || f.Cause == "" || f.Fix == "" || strings.Contains(f.Evidence, "%!") {
			d.T.Errorf("a finding without words: %+v", f)
		}
	}
	shown, err := json.Marshal(found)
	d.must(err)
	repeats(d.T, q.Pasted, string(shown))
	return found
}

// names are words that may stand in what is pasted and in an answer.
var names = regexp.MustCompile(`(?i)"scope":"[^"]*"|authorization|access_token|refresh_token|client_secret|device_code|undefined`)

// repeats fails where ten characters in a row of what was pasted come back.
func repeats(t *testing.T, pasted, shown string) {
	t.Helper()
	const window = 10
	for _, part := range names.Split(pasted, -1) {
		for i := 0; i+window <= len(part); i++ {
			if strings.Contains(shown, part[i:i+window]) {
				t.Fatalf("the answer repeats %q of what was pasted: %s", part[i:i+window], shown)
			}
		}
	}
}

// judged fails unless there is this one finding.
func (d *desk) judged(q provider.Question, want string) {
	d.T.Helper()
	found := d.inspect(q)
	var got []string
	for _, f := range found.Findings {
		got = append(got, f.Code)
	}
	if len(got) != 1 || got[0] != want {
		d.T.Errorf("found %v, want %s", got, want)
	}
	accepted := want == "good" || want == "bound" || want == "key_next" || want == "refresh_grace"
	if found.Acceptable != accepted {
		d.T.Errorf("acceptable: %v", found.Acceptable)
	}
}

func parts(token string) (header, claims, signature string) {
	p := strings.Split(token, ".")
	return p[0], p[1], p[2]
}

// flip changes one character in the middle of s.
func flip(s string) string {
	b := []byte(s)
	i := len(b) / 2
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestInspect_DamagedOnTheWay(t *testing.T) {
	d := newDesk(t)
	access, refresh := d.tokens.Access, d.tokens.Refresh
	header, claims, signature := parts(access)
	half := len(claims) / 2
	response, err := json.Marshal(d.tokens)
	d.must(err)
	for _, c := range []struct{ name, pasted, want string }{
		{"whole", access, "good"},
		{"whole, with the terminal's line end", access + "\n", "good"},
		{"nothing", "", "empty"},
		{"a line end alone", "\r\n", "empty"},
		{"Bearer in front", "Bearer " + access, "bearer"},
		{"bearer in lower case", "bearer " + access, "bearer"},
		{"Bearer twice", "Bearer Bearer " + access, "bearer"},
		{"Bearer before a refresh token", "Bearer " + refresh, "bearer"},
		{"a whole header line", "Authorization: Bearer " + access, "header_name"},
		{"a header line of curl in lower case", "authorization:Bearer " + access, "header_name"},
		{"double quotes", `"` + access + `"`, "quotes"},
		{"single quotes", "'" + access + "'", "quotes"},
		{"a quote at the end only", access + `"`, "quotes"},
		{"typographic quotes", "“" + access + "”", "quotes"},
		{"white space in front", "  " + access, "white_space"},
		{"a tab behind", access + "\t", "white_space"},
		{"two line ends behind", access + "\n\n", "white_space"},
		{"a space inside", access[:20] + " " + access[20:], "white_space"},
		{"wrapped at 64", access[:64] + "\n" + access[64:128] + "\n" + access[128:], "line_breaks"},
		{"wrapped by a mail", access[:64] + "\r\n" + access[64:], "line_breaks"},
		{"an escaped line break", access[:64] + `\n` + access[64:], "line_breaks"},
		{"URL-encoded dots", strings.ReplaceAll(access, ".", "%2E"), "url_encoded"},
		{"a byte order mark", "\ufeff" + access, "invisible"},
		{"a zero-width space inside", access[:30] + "\u200b" + access[30:], "invisible"},
		{"the whole response", string(response), "json_object"},
		{"an error response", `{"error":"invalid_grant"}`, "json_object"},
		{"a parameter with its name", "access_token=" + access, "form_pasted"},
		{"a fragment of an address", "https://app.example/cb#access_token=" + access + "&token_type=Bearer", "form_pasted"},
		{"padded base64", header + "=." + claims + "." + signature, "padding"},
		{"without its signature", header + "." + claims, "truncated"},
		{"the signature cut", access[:len(access)-9], "truncated"},
		{"the header alone", header, "truncated"},
		{"cut with an ellipsis", access[:40] + "…", "truncated"},
		{"cut with three dots", access[:40] + "...", "truncated"},
		{"an empty signature", header + "." + claims + ".", "no_signature"},
		{"twice, one behind the other", access + access, "too_many"},
		{"twice, with a dot between", access + "." + access, "too_many"},
		{"encrypted", header + ".a2V5.aXY.Y2lwaGVy.dGFn", "encrypted"},
		{"a word", "hello-world", "not_a_token"},
		{"a UUID", "7d4bd1fc-57a0-4b09-9a56-01f2a6a5cb0d", "not_a_token"},
		{"other characters", "пароль", "not_a_token"},
		{"undefined", "undefined", "placeholder"},
		{"a variable that nothing filled in", "${TOKEN}", "placeholder"},
		{"a header that is none", "abc." + claims + "." + signature, "bad_header"},
		{"the beginning lost", access[4:], "bad_header"},
		{"the middle cut", header + "." + claims[:half/4*4+1] + "." + signature, "bad_payload"},
		{"a claim changed", header + "." + encoded(changed(access, "scope", "admin")) + "." + signature, "signature"},
		{"the signature changed", header + "." + claims + "." + flip(signature), "signature"},
		{"a refresh token cut", refresh[:60], "truncated"},
		{"a refresh token changed", flip(refresh), "refresh_foreign"},
		{"a refresh token longer", refresh + "A", "refresh_foreign"},
		{"a refresh token whole", refresh, "good"},
		{"an ID token whole", d.tokens.ID, "good"},
		{"too long", strings.Repeat("x", 70_000), "too_long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := *d
			at.T = t
			at.judged(provider.Question{Pasted: c.pasted}, c.want)
		})
	}
}

// changed are a token's claims with one of them changed.
func changed(token, claim string, value any) map[string]any {
	c := maps.Clone(providertest.Claims(token))
	if c[claim] = value; value == nil {
		delete(c, claim)
	}
	return c
}

func TestInspect_AnotherTokenThanBelongsThere(t *testing.T) {
	d := newDesk(t)
	secret := func(prefix string) string { return prefix + rand.Text() + rand.Text() }
	response, err := json.Marshal(d.tokens)
	d.must(err)
	for _, c := range []struct {
		name string
		ask  provider.Question
		want string
	}{
		{"an access token as one", provider.Question{Pasted: d.tokens.Access, Expect: provider.AccessKind}, "good"},
		{"an ID token as an access token", provider.Question{Pasted: d.tokens.ID, Expect: provider.AccessKind}, "expected_access"},
		{"a refresh token as an access token", provider.Question{Pasted: d.tokens.Refresh, Expect: provider.AccessKind}, "expected_access"},
		{"an access token as an ID token", provider.Question{Pasted: d.tokens.Access, Expect: provider.IDKind}, "expected_id"},
		{"an access token as a refresh token", provider.Question{Pasted: d.tokens.Access, Expect: provider.RefreshKind}, "expected_refresh"},
		{"the whole response for its refresh token", provider.Question{Pasted: string(response), Expect: provider.RefreshKind}, "json_object"},
		{"the whole response for its ID token", provider.Question{Pasted: string(response), Expect: provider.IDKind}, "json_object"},
		{"for its own audience", provider.Question{Pasted: d.tokens.Access, Audience: d.Issuer}, "good"},
		{"for another audience", provider.Question{Pasted: d.tokens.Access, Audience: d.Issuer + "/"}, "audience"},
		{"an ID token of another client", provider.Question{Pasted: d.tokens.ID, Audience: "x"}, "audience"},
		{"the client's secret", provider.Question{Pasted: d.client.Secret}, "client_secret"},
		{"an authorization code", provider.Question{Pasted: secret("ghc_")}, "code"},
		{"a device code", provider.Question{Pasted: secret("ghd_")}, "device_code"},
		{"a set-up link", provider.Question{Pasted: secret("gho_")}, "setup_link"},
		{"a cookie", provider.Question{Pasted: secret("ghi_")}, "cookie"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := *d
			at.T = t
			at.judged(c.ask, c.want)
		})
	}
}

// made signs claims of the desk's access token, changed, with a key of the house.
func (d *desk) made(typ, claim string, value any) string {
	d.T.Helper()
	signer, err := d.Keys.Signer(keys.ES256)
	d.must(err)
	token, err := signer.Sign(typ, changed(d.tokens.Access, claim, value))
	d.must(err)
	return token
}

func TestInspect_MadeByAnother(t *testing.T) {
	d := newDesk(t)
	header, claims, signature := parts(d.tokens.Access)
	kid := providertest.Header(d.tokens.Access)["kid"]
	headed := func(alg string, kid any) string {
		h := map[string]any{"alg": alg, "typ": "at+jwt"}
		if kid != nil {
			h["kid"] = kid
		}
		return encoded(h)
	}
	elsewhere := encoded(changed(d.tokens.Access, "iss", "https://other.example"))
	for _, c := range []struct{ name, pasted, want string }{
		{"alg none, unsigned", headed("none", nil) + "." + claims + ".", "algorithm_none"},
		{"alg None, signed", headed("None", kid) + "." + claims + "." + signature, "algorithm_none"},
		{"HS256", headed("HS256", kid) + "." + claims + "." + signature, "algorithm_hmac"},
		{"ES384", headed("ES384", kid) + "." + claims + "." + signature, "algorithm"},
		{"RS256 over the key of ES256", headed("RS256", kid) + "." + claims + "." + signature, "algorithm_of_key"},
		{"an unknown key", headed("ES256", "UNKNOWN") + "." + claims + "." + signature, "kid_unknown"},
		{"no kid", headed("ES256", nil) + "." + claims + "." + signature, "kid_missing"},
		{"another issuer", headed("ES256", "theirs") + "." + elsewhere + "." + signature, "other_issuer"},
		{"our key under another issuer's name", d.made("at+jwt", "iss", d.Issuer+"/"), "issuer"},
		{"our kid over another issuer's claims", header + "." + elsewhere + "." + signature, "signature"},
		{"a logout token", d.made("logout+jwt", "x", 1), "logout_token"},
		{"bound to a key", d.made("at+jwt", "cnf", map[string]string{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}), "bound"},
		{"not good yet", d.made("at+jwt", "nbf", d.Now().Add(time.Minute).Unix()), "not_before"},
		{"issued in the future", d.made("at+jwt", "iat", d.Now().Add(3*time.Minute).Unix()), "issued_late"},
		{"issued by a clock two seconds ahead", d.made("at+jwt", "iat", d.Now().Add(2*time.Second).Unix()), "good"},
		{"expired", d.made("at+jwt", "exp", d.Now().Add(-2*time.Hour).Unix()), "expired"},
		{"no exp", d.made("at+jwt", "exp", nil), "no_expiry"},
		{"a jti that was never given", d.made("at+jwt", "jti", "other"), "good"},
		{"a grant that is not here", d.made("at+jwt", "gid", "nowhere"), "grant_unknown"},
		{"an opaque one that is not here", "gha_" + opaqueOf(rand.Text()+rand.Text()), "opaque_unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := *d
			at.T = t
			at.judged(provider.Question{Pasted: c.pasted}, c.want)
		})
	}
}

// opaqueOf adds the checksum to random text, as the provider writes it.
func opaqueOf(random string) string { return provider.WithChecksum(random) }

// An ending is what can become of a token, and what is said of it then.
type ending struct {
	name string
	end  func(d *desk)
	want string
}

func (d *desk) identityEvent(name string) *storage.Event {
	return storage.NewEvent(d.T.Context(), d.Now(), name, d.user.ID)
}

func (d *desk) update(change func(*storage.Client)) {
	c, err := d.Store.Clients.Get(d.T.Context(), "w")
	d.must(err)
	change(c)
	d.must(d.Store.Clients.Update(d.T.Context(), c, d.Now(), nil))
}

func (d *desk) session() string {
	all, err := d.Store.Sessions.ListByUser(d.T.Context(), d.user.ID, d.Now())
	d.must(err)
	return all[0].ID
}

// endings end what access tokens of both formats and refresh tokens hang from.
var endings = []ending{
	{"nothing", func(d *desk) {}, "good"},
	{"the client revoked the refresh token", func(d *desk) { d.client.Revoke(d.tokens.Refresh) }, "grant_revoked"},
	{"the code was presented again", func(d *desk) {
		code, verifier := d.client.Code(d.browser, "alice", "scope", "openid email")
		d.tokens = d.client.Token(d.client.Redemption(code, verifier)).Tokens()
		d.client.Token(d.client.Redemption(code, verifier))
	}, "grant_revoked"},
	{"the person signed out", func(d *desk) { d.must(d.Store.Sessions.End(d.T.Context(), d.session(), d.Now(), nil)) }, "session_ended"},
	{"the account was disabled", func(d *desk) {
		d.must(d.Store.Users.Disable(d.T.Context(), d.user.ID, d.Now(), d.identityEvent("user.disabled")))
	}, "user_disabled"},
	{"the account was disabled and enabled", func(d *desk) {
		d.must(d.Store.Users.Disable(d.T.Context(), d.user.ID, d.Now(), d.identityEvent("user.disabled")))
		d.must(d.Store.Users.Enable(d.T.Context(), d.user.ID, d.Now(), nil))
	}, "user_invalidated"},
	{"the password was changed", func(d *desk) {
		d.must(d.Store.Credentials.SetPassword(d.T.Context(), storage.Password{UserID: d.user.ID, Hash: "x", ChangedAt: d.Now()}, d.identityEvent("user.password_changed")))
	}, "user_invalidated"},
	{"the client was disabled", func(d *desk) { d.update(func(c *storage.Client) { c.DisabledAt = d.Now() }) }, "client_disabled"},
}

func TestInspect_WhatEndedAToken(t *testing.T) {
	for format, change := range formats {
		for _, e := range endings {
			t.Run(format+", "+e.name, func(t *testing.T) {
				d := newDesk(t, change)
				e.end(d)
				d.judged(provider.Question{Pasted: d.tokens.Access}, e.want)
				d.judged(provider.Question{Pasted: d.tokens.Refresh}, e.want)
			})
		}
	}
}

func TestInspect_WhatEndedOneKindOnly(t *testing.T) {
	access := func(d *desk) string { return d.tokens.Access }
	refresh := func(d *desk) string { return d.tokens.Refresh }
	id := func(d *desk) string { return d.tokens.ID }
	opaque, jwt := formats["opaque"], formats["jwt"]
	for _, c := range []struct {
		ending
		format func(*storage.ClientMetadata)
		token  func(d *desk) string
	}{
		{ending{"a JWT alone was revoked", func(d *desk) { d.client.Revoke(d.tokens.Access) }, "token_revoked"}, jwt, access},
		{ending{"an opaque token alone was revoked", func(d *desk) { d.client.Revoke(d.tokens.Access) }, "token_revoked"}, opaque, access},
		{ending{"a JWT is eleven minutes old", func(d *desk) { d.Skip(11 * time.Minute) }, "expired"}, jwt, access},
		{ending{"an opaque token is eleven minutes old", func(d *desk) { d.Skip(11 * time.Minute) }, "expired"}, opaque, access},
		{ending{"an opaque token lost a character", func(d *desk) { d.tokens.Access = d.tokens.Access[:63] }, "truncated"}, opaque, access},
		{ending{"an opaque token was changed", func(d *desk) { d.tokens.Access = flip(d.tokens.Access) }, "opaque_damaged"}, opaque, access},
		{ending{"an opaque token in lower case", func(d *desk) { d.tokens.Access = strings.ToLower(d.tokens.Access) }, "opaque_damaged"}, opaque, access},
		{ending{"the account was deleted", func(d *desk) {
			d.must(d.Store.Users.Delete(d.T.Context(), d.user.ID, d.Now(), d.identityEvent("user.deleted")))
		}, "user_deleted"}, jwt, access},
		{ending{"the client was deleted", func(d *desk) {
			c, err := d.Store.Clients.Get(d.T.Context(), "w")
			d.must(err)
			d.must(d.Registrar.Delete(d.T.Context(), c))
		}, "client_deleted"}, jwt, access},
		{ending{"the client of an ID token was disabled", func(d *desk) { d.update(func(c *storage.Client) { c.DisabledAt = d.Now() }) }, "client_disabled"}, jwt, id},
		{ending{"the client's own token", func(d *desk) {
			d.tokens.Access = d.client.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access
		}, "good"}, jwt, access},
		{ending{"it was replaced a moment ago", func(d *desk) { d.client.Refresh(d.tokens.Refresh) }, "refresh_grace"}, jwt, refresh},
		{ending{"it replaced another", func(d *desk) { d.tokens = d.client.Refresh(d.tokens.Refresh).Tokens() }, "good"}, jwt, refresh},
		{ending{"it was replaced two minutes ago", func(d *desk) { d.client.Refresh(d.tokens.Refresh); d.Skip(2 * time.Minute) }, "refresh_rotated"}, jwt, refresh},
		{ending{"it was replaced twice", func(d *desk) { d.client.Refresh(d.client.Refresh(d.tokens.Refresh).Tokens().Refresh) }, "refresh_rotated"}, jwt, refresh},
		{ending{"it was presented again", func(d *desk) {
			d.client.Refresh(d.tokens.Refresh)
			d.Skip(2 * time.Minute)
			d.client.Refresh(d.tokens.Refresh)
		}, "refresh_reused"}, jwt, refresh},
		{ending{"its successor, after it was presented again", func(d *desk) {
			next := d.client.Refresh(d.tokens.Refresh).Tokens()
			d.Skip(2 * time.Minute)
			d.client.Refresh(d.tokens.Refresh)
			d.tokens = next
		}, "refresh_reused"}, jwt, refresh},
		{ending{"the session was idle too long", func(d *desk) { d.Skip(9 * time.Hour) }, "session_expired"}, jwt, refresh},
		{ending{"it was idle for 31 days", func(d *desk) { d.offline(); d.Skip(31 * 24 * time.Hour) }, "refresh_idle"}, jwt, refresh},
		{ending{"its family is 91 days old", func(d *desk) {
			d.offline()
			for range 4 {
				d.Skip(22 * 24 * time.Hour)
				d.tokens = d.client.Refresh(d.tokens.Refresh).Tokens()
			}
			d.Skip(3 * 24 * time.Hour)
		}, "refresh_expired"}, jwt, refresh},
		{ending{"its grant is cleared away", func(d *desk) {
			d.must(d.Store.Users.Delete(d.T.Context(), d.user.ID, d.Now(), nil))
		}, "refresh_unknown"}, jwt, refresh},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.format)
			c.end(d)
			d.judged(provider.Question{Pasted: c.token(d)}, c.want)
		})
	}
}

// offline signs alice in anew, for tokens that outlive her session.
func (d *desk) offline() {
	d.tokens = d.client.SignInWith(d.browser, "alice", "scope", "openid offline_access", "prompt", "consent")
}

func TestInspect_KeysThatCameAndWent(t *testing.T) {
	d := newDesk(t)
	kid := providertest.Header(d.tokens.Access)["kid"].(string)
	next, err := d.Keys.Rotate(t.Context(), keys.ES256)
	d.must(err)
	all, err := d.Store.Keys.List(t.Context())
	d.must(err)
	if len(all) < 2 || next.ID == kid {
		t.Fatal("there is no next key")
	}
	d.judged(provider.Question{Pasted: d.tokens.Access}, "good")
	d.Reread()
	d.Skip(2 * time.Hour) // the next key signs, the token is over
	d.tokens.Access = d.client.Token(url.Values{"grant_type": {"client_credentials"}}).Tokens().Access
	if got := providertest.Header(d.tokens.Access)["kid"]; got != next.ID {
		t.Fatalf("signed with %v", got)
	}
	old := d.made("at+jwt", "x", 1)
	d.must(d.Keys.Retire(t.Context(), kid))
	d.judged(provider.Question{Pasted: old}, "good")
	header := encoded(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": kid})
	_, claims, signature := parts(old)
	d.judged(provider.Question{Pasted: header + "." + claims + "." + signature}, "key_retired")
	d.must(d.Store.Keys.Delete(t.Context(), kid, nil))
	d.judged(provider.Question{Pasted: header + "." + claims + "." + signature}, "key_retired")
}

func TestInspect_ATokenSignedWithTheNextKeyIsGoodAndTellsOfAClock(t *testing.T) {
	d := newDesk(t)
	next, err := d.Keys.Rotate(t.Context(), keys.ES256)
	d.must(err)
	ahead := *d
	ahead.Skip(2 * time.Hour)
	token := ahead.made("at+jwt", "x", 1)
	ahead.Skip(-2 * time.Hour)
	if providertest.Header(token)["kid"] != next.ID {
		t.Fatal("it is signed with another key")
	}
	d.judged(provider.Question{Pasted: token}, "key_next")
}

func TestInspect_EvidenceSaysHowMuchAndWhere(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		ask  provider.Question
		want string
	}{
		{provider.Question{Pasted: d.made("at+jwt", "exp", d.Now().Add(-2*time.Hour).Unix())}, "2 h 0 min ago"},
		{provider.Question{Pasted: d.made("at+jwt", "iat", d.Now().Add(3*time.Minute).Unix())}, "3 min 0 s ahead of this clock"},
		{provider.Question{Pasted: d.made("at+jwt", "iss", strings.Replace(d.Issuer, "http:", "https:", 1))}, `character 5: "s:`},
		{provider.Question{Pasted: d.tokens.Access, Audience: d.Issuer + "/"}, "its end where \"/\" is expected"},
	} {
		found := d.inspect(c.ask)
		if len(found.Findings) != 1 || !strings.Contains(found.Findings[0].Evidence, c.want) {
			t.Errorf("want %s in %+v", c.want, found.Findings)
		}
	}
	d.client.Revoke(d.tokens.Refresh)
	found := d.inspect(provider.Question{Pasted: d.tokens.Refresh})
	if e := found.Findings[0].Evidence; !strings.Contains(e, "revoked by the client") || !strings.Contains(e, " ago") {
		t.Errorf("revoked when and why: %s", e)
	}
}

func TestInspect_NothingIsSpentLoggedOrStored(t *testing.T) {
	d := newDesk(t)
	events, lines := len(d.Events()), d.Log.String()
	for _, token := range []string{d.tokens.Access, d.tokens.ID, d.tokens.Refresh, d.client.Secret} {
		for range 3 {
			d.inspect(provider.Question{Pasted: token})
		}
	}
	if len(d.Events()) != events || d.Log.String() != lines {
		t.Error("something was written")
	}
	next := d.client.Refresh(d.tokens.Refresh).Tokens()
	if next.Error != "" || !d.Alive(next.Access) {
		t.Errorf("inspecting a refresh token spent it: %s", next.Error)
	}
}

func TestInspect_AnotherHouseHasNoSuchKey(t *testing.T) {
	d := newDesk(t)
	key, err := keysOfAnother()
	d.must(err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: "theirs"}}, (&jose.SignerOptions{}).WithType("at+jwt"))
	d.must(err)
	payload, err := json.Marshal(changed(d.tokens.Access, "iss", "https://accounts.example"))
	d.must(err)
	jws, err := signer.Sign(payload)
	d.must(err)
	token, err := jws.CompactSerialize()
	d.must(err)
	d.judged(provider.Question{Pasted: token}, "other_issuer")
}

func keysOfAnother() (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

func TestInspect_AC213_EvidenceCarriesNoControlCharacters(t *testing.T) {
	d := newDesk(t)
	hostile := "\x1b[2J\r\nok  the token is acceptable"
	header := encoded(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": hostile})
	_, _, signature := parts(d.tokens.Access)
	for _, token := range []string{
		d.made("at+jwt", "iss", hostile), d.made("at+jwt", "gid", hostile), d.made("at+jwt", "aud", hostile), d.made("at+jwt", "client_id", hostile),
		header + "." + encoded(changed(d.tokens.Access, "iss", d.Issuer)) + "." + signature,
	} {
		for _, f := range d.inspect(provider.Question{Pasted: token, Audience: d.Issuer}).Findings {
			if strings.ContainsAny(f.What+f.Evidence, "\x1b\r\n") {
				t.Errorf("%q", f.Evidence)
			}
		}
	}
}
