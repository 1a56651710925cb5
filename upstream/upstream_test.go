package upstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/outbound"
	"gatehouse/upstream"
	"gatehouse/upstream/upstreamtest"
)

// A party is ourselves at one provider.
type party struct {
	t       *testing.T
	op      *upstreamtest.OP
	set     *upstream.Set
	skipped atomic.Int64
}

func (p *party) now() time.Time { return time.Now().Add(time.Duration(p.skipped.Load())) }

const callback = "http://localhost:8000/login/upstream/partner/callback"

func newParty(t *testing.T, change ...func(*upstream.Config)) *party {
	t.Helper()
	p := &party{t: t, op: upstreamtest.New(t)}
	out, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	c := upstream.Config{
		ID: "partner", Name: "Partner", Issuer: p.op.URL, ClientID: upstreamtest.ClientID, ClientSecret: upstreamtest.ClientSecret,
		AuthMethod: "client_secret_basic", RedirectURI: callback, Scopes: []string{"openid", "email", "profile"}, TrustEmail: true,
	}
	for _, f := range change {
		f(&c)
	}
	p.set = upstream.NewSet(out, p.now, c)
	return p
}

func (p *party) leave(ask upstream.Ask) *upstream.Leaving {
	p.t.Helper()
	l, err := p.set.List()[0].Leave(p.t.Context(), ask)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// arrive is a whole sign-in of somebody.
func (p *party) arrive(who upstreamtest.Person) (*upstream.Assertion, error) {
	p.t.Helper()
	l := p.leave(upstream.Ask{})
	back, err := url.Parse(p.op.SignIn(l.Address, who))
	if err != nil {
		p.t.Fatal(err)
	}
	q := back.Query()
	if q.Get("state") != l.State {
		p.t.Fatalf("the state is %q", q.Get("state"))
	}
	return p.set.List()[0].Arrive(p.t.Context(), upstream.Answer{
		Code: q.Get("code"), Issuer: q.Get("iss"), Error: q.Get("error"), ErrorDescription: q.Get("error_description"),
	}, l)
}

// faulty fails the test unless err is a fault of this kind.
func faulty(t *testing.T, err error, kind string) *upstream.Fault {
	t.Helper()
	f, ok := errors.AsType[*upstream.Fault](err)
	if !ok || f.Kind != kind {
		t.Fatalf("got %v, want a fault %q", err, kind)
	}
	return f
}

var alice = upstreamtest.Person{
	Subject:  "248289761001",
	Claims:   map[string]any{"amr": []string{"pwd", "otp", "magic"}, "auth_time": int64(1_790_000_000)},
	Userinfo: map[string]any{"name": "Alice Liddell", "email": "alice@partner.example", "email_verified": true, "locale": "en-GB"},
}

func TestSomebodySignsInAtAnUpstream(t *testing.T) {
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		p := newParty(t, func(c *upstream.Config) { c.AuthMethod = method })
		a, err := p.arrive(alice)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		got := []string{a.Upstream, a.Issuer, a.Subject, a.Label, a.Email, a.Claims["name"], a.Claims["locale"], strings.Join(a.AMR, " "), a.AuthTime.UTC().Format(time.DateOnly)}
		want := []string{"partner", p.op.URL, "248289761001", "alice@partner.example", "alice@partner.example", "Alice Liddell", "en-GB", "pwd otp", "2026-09-21"}
		if !slices.Equal(got, want) {
			t.Errorf("%s: arrived as\n%q, not\n%q", method, got, want)
		}
	}
}

func TestWhatTheApplicationAsksReachesTheUpstream(t *testing.T) {
	p := newParty(t, func(c *upstream.Config) { c.Prompt, c.HostedDomain = "select_account", "partner.example" })
	seconds := int64(300)
	p.op.Document(func(d map[string]any) { d["prompt_values_supported"] = []string{"login", "select_account"} })
	for _, c := range []struct {
		ask                           upstream.Ask
		prompt, hint, maxAge, locales string
	}{
		{upstream.Ask{}, "select_account", "", "31536000", ""},
		{upstream.Ask{Prompt: "login", LoginHint: "alice", MaxAge: &seconds, UILocales: []string{"vi", "en"}}, "login", "alice", "300", "vi en"},
	} {
		u, err := url.Parse(p.leave(c.ask).Address)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		got := []string{q.Get("prompt"), q.Get("login_hint"), q.Get("max_age"), q.Get("ui_locales")}
		if want := []string{c.prompt, c.hint, c.maxAge, c.locales}; !slices.Equal(got, want) {
			t.Errorf("asked %q, not %q", got, want)
		}
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "gatehouse", "redirect_uri": callback, "scope": "openid email profile", "code_challenge_method": "S256", "hd": "partner.example",
		} {
			if q.Get(name) != want {
				t.Errorf("%s is %q", name, q.Get(name))
			}
		}
		for _, secret := range []string{"state", "nonce", "code_challenge"} {
			if len(q.Get(secret)) < 26 {
				t.Errorf("%s is %q", secret, q.Get(secret))
			}
		}
	}
}

func TestAPromptThatTheUpstreamDoesNotTakeIsNotSent(t *testing.T) {
	for _, c := range []struct {
		takes         []string
		wanted, asked string
	}{
		{nil, "login select_account", "login"},
		{[]string{"login", "select_account"}, "login select_account", "login select_account"},
		{[]string{"none", "login", "consent"}, "select_account", "login"},
		{[]string{"none", "login", "consent"}, "login select_account", "login"},
		{[]string{"none", "consent", "select_account"}, "login consent", "select_account consent"},
		{[]string{"none"}, "login", ""},
	} {
		p := newParty(t)
		p.op.Document(func(d map[string]any) { d["prompt_values_supported"] = c.takes })
		u, err := url.Parse(p.leave(upstream.Ask{Prompt: c.wanted}).Address)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("prompt"); got != c.asked {
			t.Errorf("of %v, %q became %q, not %q", c.takes, c.wanted, got, c.asked)
		}
	}
}

func TestAC177_AnIDTokenThatIsNotForThisSignInIsRefused(t *testing.T) {
	p := newParty(t)
	now := time.Now()
	rogue := upstreamtest.NewKey(t)
	signed := func(key jose.SigningKey) func(*upstreamtest.OP, map[string]any) string {
		return func(_ *upstreamtest.OP, claims map[string]any) string { return upstreamtest.SignWith(t, key, claims) }
	}
	for name, c := range map[string]struct {
		kind   string
		claims map[string]any
		sign   func(*upstreamtest.OP, map[string]any) string
	}{
		"for another client":                    {kind: "audience", claims: map[string]any{"aud": "somebody-else"}},
		"for others too, without azp":           {kind: "azp", claims: map[string]any{"aud": []string{"gatehouse", "other"}}},
		"handed out to another client":          {kind: "azp", claims: map[string]any{"azp": "other"}},
		"of another issuer":                     {kind: "issuer", claims: map[string]any{"iss": "https://evil.example"}},
		"of the issuer without its scheme":      {kind: "issuer", claims: map[string]any{"iss": strings.TrimPrefix(p.op.URL, "http://")}},
		"of no issuer":                          {kind: "issuer", claims: map[string]any{"iss": nil}},
		"with another nonce":                    {kind: "nonce", claims: map[string]any{"nonce": "the-one-of-yesterday"}},
		"without a nonce":                       {kind: "nonce", claims: map[string]any{"nonce": nil}},
		"about nobody":                          {kind: "subject", claims: map[string]any{"sub": ""}},
		"about a subject without end":           {kind: "subject", claims: map[string]any{"sub": strings.Repeat("x", 256)}},
		"about a subject that no database has":  {kind: "subject", claims: map[string]any{"sub": "248289761001\x00"}},
		"about a subject that is no UTF-8":      {kind: "subject", claims: map[string]any{"sub": "248289761001\xff"}},
		"of a sign-in that is yet to come":      {kind: "clock", claims: map[string]any{"auth_time": now.Add(time.Hour).Unix()}},
		"with claims without end":               {kind: "id_token", claims: map[string]any{"x": nested(5000)}},
		"about two people":                      {kind: "id_token", sign: func(op *upstreamtest.OP, claims map[string]any) string { return twice(op, claims) }},
		"expired":                               {kind: "expired", claims: map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}},
		"without an end":                        {kind: "time", claims: map[string]any{"exp": nil}},
		"made tomorrow":                         {kind: "clock", claims: map[string]any{"iat": now.Add(time.Hour).Unix()}},
		"made long ago":                         {kind: "clock", claims: map[string]any{"iat": now.Add(-time.Hour).Unix()}},
		"not good yet":                          {kind: "clock", claims: map[string]any{"nbf": now.Add(time.Hour).Unix()}},
		"with the hash of another access token": {kind: "at_hash", claims: map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
		"whose claims are of other types":       {kind: "id_token", claims: map[string]any{"email": []int{1}}},
		"signed by an unpublished key":          {kind: "kid", sign: signed(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: rogue, KeyID: "rogue"}})},
		"signed by another key without a kid":   {kind: "signature", sign: signed(jose.SigningKey{Algorithm: jose.ES256, Key: rogue})},
		"signed with our secret":                {kind: "algorithm", sign: signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat(upstreamtest.ClientSecret, 2))})},
		"not signed":                            {kind: "algorithm", sign: func(op *upstreamtest.OP, claims map[string]any) string { return unsigned(op.Sign(claims)) }},
		"with another signature":                {kind: "signature", sign: func(op *upstreamtest.OP, claims map[string]any) string { return tampered(op, claims) }},
		"that is none":                          {kind: "id_token", sign: func(*upstreamtest.OP, map[string]any) string { return "an.id.to.ken" }},
		"that is missing":                       {kind: "no_id_token", sign: func(*upstreamtest.OP, map[string]any) string { return "" }},
	} {
		t.Run(name, func(t *testing.T) {
			who := alice
			who.Claims, who.Sign = c.claims, c.sign
			_, err := p.arrive(who)
			f := faulty(t, err, c.kind)
			if said := fmt.Sprintf("%v %+v", f, f.Details); strings.Contains(said, "the-one-of-yesterday") || strings.Contains(said, upstreamtest.ClientSecret) || strings.Contains(said, "eyJ") {
				t.Errorf("the fault tells a secret: %s", said)
			}
		})
	}
}

// unsigned is the token with alg none (RFC 7519 §6.1).
func unsigned(token string) string {
	_, payload, _ := strings.Cut(token, ".")
	payload, _, _ = strings.Cut(payload, ".")
	return "eyJhbGciOiJub25lIn0." + payload + "."
}

// twice is a token that names its subject two times, the victim last.
func twice(op *upstreamtest.OP, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // texts and numbers
	}
	return op.SignPayload(append(payload[:len(payload)-1], `,"sub":"the victim"}`...))
}

// tampered is a good token under the signature of another.
func tampered(op *upstreamtest.OP, claims map[string]any) string {
	good := op.Sign(claims)
	claims["sub"] = "the victim"
	other := op.Sign(claims)
	return other[:strings.LastIndex(other, ".")] + good[strings.LastIndex(good, "."):]
}

func TestAC176_AnAnswerOfAnotherProviderIsRefused(t *testing.T) {
	p := newParty(t)
	for name, c := range map[string]struct {
		answer func(url.Values)
		kind   string
	}{
		"another iss":                {func(q url.Values) { q.Set("iss", "https://other.example") }, "answer_issuer"},
		"an error of another iss":    {func(q url.Values) { q.Set("iss", "https://other.example"); q.Set("error", "access_denied") }, "answer_issuer"},
		"a code of another provider": {func(q url.Values) { q.Set("code", "of-another-provider"); q.Del("iss") }, "exchange"},
		"no code":                    {func(q url.Values) { q.Del("code") }, "no_code"},
		"declined":                   {func(q url.Values) { q.Set("error", "access_denied") }, "declined"},
		"an error":                   {func(q url.Values) { q.Set("error", "server_error") }, "answer_error"},
	} {
		t.Run(name, func(t *testing.T) {
			who := alice
			who.Answer = c.answer
			_, err := p.arrive(who)
			faulty(t, err, c.kind)
		})
	}
	t.Run("no iss where the provider always sends one", func(t *testing.T) {
		p := newParty(t)
		p.op.Document(func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true })
		who := alice
		who.Answer = func(q url.Values) { q.Del("iss") }
		_, err := p.arrive(who)
		faulty(t, err, "answer_issuer")
	})
}

func TestTheTokenEndpointSaysWhatIsWrongWithUs(t *testing.T) {
	for refusal, kind := range map[string]string{
		"invalid_client": "invalid_client", "unauthorized_client": "invalid_client", "redirect_uri_mismatch": "redirect_uri", "invalid_grant": "exchange",
	} {
		p := newParty(t)
		who := alice
		who.Refuse = refusal
		_, err := p.arrive(who)
		faulty(t, err, kind)
	}
	p := newParty(t, func(c *upstream.Config) { c.ClientSecret = "of-another-day" })
	_, err := p.arrive(alice)
	if f := faulty(t, err, "invalid_client"); strings.Contains(f.Error(), "of-another-day") {
		t.Errorf("the fault tells the secret: %v", f)
	}
}

func TestAnUpstreamThatIsDownIsNotMisunderstood(t *testing.T) {
	p := newParty(t)
	for _, endpoint := range []string{"/token", "/userinfo"} {
		who := alice
		who.Down = []string{endpoint}
		_, err := p.arrive(who)
		faulty(t, err, "unreachable")
	}
}

func TestUserinfoWithoutEndIsRefused(t *testing.T) {
	p := newParty(t)
	who := alice
	who.Userinfo = map[string]any{"x": nested(5000)}
	_, err := p.arrive(who)
	faulty(t, err, "userinfo")
}

func TestUserinfoAboutSomebodyElseIsRefused(t *testing.T) {
	p := newParty(t)
	for _, subject := range []any{"the victim", nil, ""} {
		who := alice
		who.Userinfo = map[string]any{"sub": subject, "email": "victim@partner.example"}
		_, err := p.arrive(who)
		faulty(t, err, "userinfo_subject")
	}
}

func TestAClaimInOtherLettersIsAnother(t *testing.T) {
	p := newParty(t)
	who := alice
	who.Claims = map[string]any{"Sub": "the victim", "Email_Verified": true, "NONCE": "x", "sUB": "the victim"}
	who.Userinfo = map[string]any{"name": "Alice", "email": "victim@partner.example", "EMAIL_VERIFIED": true, "Sub": "the victim"}
	a, err := p.arrive(who)
	if err != nil {
		t.Fatal(err)
	}
	if a.Subject != alice.Subject || a.Email != "" {
		t.Errorf("somebody chose the names of their claims, and arrived as %q with the address %q", a.Subject, a.Email)
	}
}

func TestVerifiedIsSaidOfTheAddressBesideIt(t *testing.T) {
	for name, c := range map[string]struct {
		claims, userinfo map[string]any
		address          string
	}{
		"another address at userinfo":       {map[string]any{"email": "alice@partner.example", "email_verified": true}, map[string]any{"email": "victim@partner.example"}, ""},
		"verified without an address":       {map[string]any{"email_verified": true}, map[string]any{"email": "victim@partner.example"}, ""},
		"only userinfo calls it verified":   {map[string]any{"email": "victim@partner.example"}, map[string]any{"email_verified": true}, ""},
		"the token alone has an address":    {map[string]any{"email": "alice@partner.example", "email_verified": true}, nil, "alice@partner.example"},
		"userinfo has another verified one": {map[string]any{"email": "alice@old.example", "email_verified": true}, map[string]any{"email": "alice@partner.example", "email_verified": true}, "alice@partner.example"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			who := alice
			who.Claims, who.Userinfo = c.claims, c.userinfo
			a, err := p.arrive(who)
			if err != nil {
				t.Fatal(err)
			}
			if a.Email != c.address {
				t.Errorf("the address is %q, not %q", a.Email, c.address)
			}
		})
	}
}

func TestAnUpstreamThatRepeatsWhatItRefusesIsNotQuoted(t *testing.T) {
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		p := newParty(t, func(c *upstream.Config) { c.AuthMethod = method })
		p.op.Repeat()
		var faults []*upstream.Fault
		for _, refusal := range []string{"invalid_grant", "invalid_client", "redirect_uri_mismatch"} {
			who := alice
			who.Refuse = refusal
			_, err := p.arrive(who)
			f, _ := errors.AsType[*upstream.Fault](err)
			faults = append(faults, f)
		}
		for _, f := range append(faults, p.probedWith("of-another-day!?").Faults...) {
			told := fmt.Sprintf("%v %+v", f, f.Details)
			if !strings.Contains(told, "you sent ") {
				t.Errorf("the provider's own words are missing: %s", told)
			}
			for _, secret := range []string{upstreamtest.ClientSecret, "of-another-day", "code=code-", p.op.Verifier(), "Basic Z2F0"} {
				if strings.Contains(told, secret) {
					t.Errorf("%s: %q is told: %s", method, secret, told)
				}
			}
		}
	}
}

// probedWith is what the doctor sees where the secret is another.
func (p *party) probedWith(secret upstream.Secret) *upstream.Probe {
	p.t.Helper()
	c := p.set.List()[0].Config
	c.ClientSecret = secret
	p.set.Replace([]upstream.Config{c})
	return p.set.List()[0].Probe(p.t.Context())
}

func TestAnAddressIsBelievedWhereItIsVerifiedAndTheUpstreamTrusted(t *testing.T) {
	for _, c := range []struct {
		trust    bool
		verified any
		believed bool
	}{
		{true, true, true}, {true, "true", true}, {true, false, false}, {true, "false", false}, {true, nil, false}, {true, 1, false}, {false, true, false},
	} {
		p := newParty(t, func(cfg *upstream.Config) { cfg.TrustEmail = c.trust })
		who := alice
		who.Userinfo = map[string]any{"name": "Alice", "email": "alice@partner.example", "email_verified": c.verified}
		a, err := p.arrive(who)
		if err != nil {
			t.Fatal(err)
		}
		if (a.Email != "") != c.believed {
			t.Errorf("trusted %v, verified %v: the address is %q", c.trust, c.verified, a.Email)
		}
	}
}

func TestOnlyTheDomainsThatAreLetInArrive(t *testing.T) {
	ours, theirs := []string{"partner.example"}, []string{"other.example"}
	for name, c := range map[string]struct {
		domains  [][]string
		hd       string
		trust    bool
		claimed  any // hd
		verified bool
		kind     string
	}{
		"of the domain":                      {domains: [][]string{ours, nil}, trust: true, verified: true},
		"of one list and not of the other":   {domains: [][]string{ours, theirs}, trust: true, verified: true, kind: "email_domain"},
		"of another domain":                  {domains: [][]string{theirs}, trust: true, verified: true, kind: "email_domain"},
		"by an address that is not verified": {domains: [][]string{ours}, trust: true, kind: "email_domain"},
		"by an upstream that is not trusted": {domains: [][]string{ours}, verified: true, kind: "email_domain"},
		"of the hosted domain":               {hd: "partner.example", claimed: "partner.example"},
		"of some hosted domain":              {hd: "*", claimed: "any.example"},
		"of no hosted domain":                {hd: "*", kind: "hosted_domain"},
		"of another hosted domain":           {hd: "partner.example", claimed: "evil.example", kind: "hosted_domain"},
		"by the address alone":               {hd: "partner.example", trust: true, verified: true, kind: "hosted_domain"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t, func(cfg *upstream.Config) { cfg.Domains, cfg.HostedDomain, cfg.TrustEmail = c.domains, c.hd, c.trust })
			who := alice
			who.Claims = map[string]any{"hd": c.claimed}
			who.Userinfo = map[string]any{"email": "alice@Partner.example", "email_verified": c.verified, "name": "Alice"}
			_, err := p.arrive(who)
			switch {
			case c.kind != "":
				faulty(t, err, c.kind)
			case err != nil:
				t.Error(err)
			}
		})
	}
}

func TestADiscoveryDocumentOfAnotherIssuerIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string]any)
		kind   string
	}{
		"another issuer":         {func(d map[string]any) { d["issuer"] = "https://evil.example" }, "discovery_issuer"},
		"the issuer and a slash": {func(d map[string]any) { d["issuer"] = d["issuer"].(string) + "/" }, "discovery_issuer"},
		"no token endpoint":      {func(d map[string]any) { delete(d, "token_endpoint") }, "discovery"},
		"a script":               {func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" }, "discovery"},
		"a fragment":             {func(d map[string]any) { d["authorization_endpoint"] = d["authorization_endpoint"].(string) + "#" }, "discovery"},
		"a document without end": {func(d map[string]any) { d["x"] = nested(5000) }, "discovery"},
		"a file about people":    {func(d map[string]any) { d["userinfo_endpoint"] = "file:///etc/passwd" }, "discovery"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newParty(t)
			p.op.Document(c.change)
			_, err := p.set.List()[0].Leave(t.Context(), upstream.Ask{})
			faulty(t, err, c.kind)
		})
	}
}

// nested is a list in a list, so many deep.
func nested(depth int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", depth) + strings.Repeat("]", depth))
}

func TestAnUpstreamThatIsAwayIsAskedAgainLater(t *testing.T) {
	p := newParty(t)
	p.op.Document(func(d map[string]any) { d["issuer"] = "" })
	for range 5 {
		_, err := p.set.List()[0].Leave(t.Context(), upstream.Ask{})
		faulty(t, err, "discovery_issuer")
	}
	if n := p.op.Asked("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("it was asked %d times within ten seconds", n)
	}
	p.op.Document(nil)
	p.skipped.Add(int64(11 * time.Second))
	p.leave(upstream.Ask{})
	// Once it is known, a bad answer changes nothing for those who sign in.
	p.op.Document(func(d map[string]any) { d["issuer"] = "" })
	p.skipped.Add(int64(2 * time.Hour))
	p.leave(upstream.Ask{})
}

func TestKeysAreFetchedAgainForAnUnknownKidAndNoMoreOftenThanBounded(t *testing.T) {
	p := newParty(t)
	p.op.Now = p.now
	arrive := func() error { _, err := p.arrive(alice); return err }
	if err := arrive(); err != nil {
		t.Fatal(err)
	}
	p.op.Rotate()
	faulty(t, arrive(), "kid") // fetched a moment ago
	faulty(t, arrive(), "kid")
	if n := p.op.Asked("/jwks"); n != 1 {
		t.Errorf("the keys were fetched %d times within ten seconds", n)
	}
	p.skipped.Add(int64(11 * time.Second))
	if err := arrive(); err != nil {
		t.Error(err)
	}
}

func TestGoogleIsKnownWithoutAsking(t *testing.T) {
	p := newParty(t)
	p.set.Replace([]upstream.Config{{ID: "google", Issuer: "https://accounts.google.com", ClientID: "x", RedirectURI: callback, Scopes: []string{"openid"}}})
	if l := p.leave(upstream.Ask{}); !strings.HasPrefix(l.Address, "https://accounts.google.com/o/oauth2/v2/auth?") {
		t.Errorf("it leads to %s", l.Address)
	}
	seconds := int64(0)
	u, err := url.Parse(p.leave(upstream.Ask{Prompt: "login select_account", MaxAge: &seconds}).Address)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("prompt") != "select_account" || !strings.Contains(q.Get("claims"), "auth_time") {
		t.Errorf("it is asked %v", q)
	}
}

// AC-189: the secret of an upstream goes with its issuer. Upstreams are declared
// in the file, so whoever changes the one writes the other; what we hold to is
// that nothing of the old provider is used for the new one.
func TestAC189_AnUpstreamOfAnotherIssuerIsAnother(t *testing.T) {
	p := newParty(t)
	p.leave(upstream.Ask{})
	other := upstreamtest.New(t)
	c := p.set.List()[0].Config
	c.Issuer, c.ClientSecret = other.URL, "the-secret-of-the-other-one"
	p.set.Replace([]upstream.Config{c})
	if l := p.leave(upstream.Ask{}); !strings.HasPrefix(l.Address, other.URL+"/authorize?") {
		t.Errorf("it leads to %s, where the old issuer was", l.Address)
	}
	if said := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(said, "the-secret") {
		t.Errorf("the secret is told: %s", said)
	}
}
