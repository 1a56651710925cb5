package provider

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/keys"
	"gatehouse/storage"
)

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"client_id=a&redirect_uri=https%3A%2F%2Frp.test", "a=b&a=c", "%zz=1", "a=%00", "resource=x&resource=y", ";=;", "&&&", "a=%ff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(raw))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form := readForm(r)
		for name, value := range form.values {
			if value == "" || !readable(value) || len(value) > maxLongValue || !plain(name) {
				t.Errorf("%q=%q came through", name, value)
			}
		}
		standard, err := url.ParseQuery(raw)
		if len(form.faults) > 0 {
			if !plain(form.firstFault().Error()) {
				t.Errorf("no description may be %q", form.firstFault())
			}
			return
		}
		if err != nil && !strings.Contains(raw, ";") {
			t.Errorf("%q came through: %v", raw, err)
		}
		for name, values := range standard {
			if len(values) > 1 && name != "resource" && strings.Join(values, "") != "" && form.values[name] != strings.Join(values, "") {
				t.Errorf("%s is repeated in %q", name, raw)
			}
		}
	})
}

func FuzzRedirectURI(f *testing.F) {
	for _, seed := range []string{"https://rp.test/cb", "http://127.0.0.1:80/cb", "http://[::1]/cb", "https://a@b/", "javascript:alert(1)", "https://rp.test\\@evil", "com.example.app:/cb", "https://[::1%25eth0]/"} {
		f.Add(seed)
	}
	native := &storage.Client{Metadata: storage.ClientMetadata{ApplicationType: "native", RedirectURIs: []string{"http://127.0.0.1/cb", "http://[::1]:9/x?y=z"}}}
	f.Fuzz(func(t *testing.T, uri string) {
		if redirectProblem(uri, true) == "" {
			u, err := url.Parse(uri)
			if err != nil || u.User != nil || strings.ContainsAny(uri, "#\\ \r\n") || u.Scheme == "javascript" || u.Scheme == "data" {
				t.Errorf("%q may be registered", uri)
			}
		}
		if redirectRegistered(native, uri) {
			u, err := url.Parse(uri)
			if err != nil || u.User != nil || u.Fragment != "" || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.Path != "/cb" && u.Path != "/x" {
				t.Errorf("%q matches", uri)
			}
		}
	})
}

func FuzzRefreshToken(f *testing.F) {
	master, err := keys.NewMaster(make([]byte, keys.MasterKeySize))
	if err != nil {
		f.Fatal(err)
	}
	k := newRefreshKeys(master)
	good := k.write(refreshSecret{generation: 1}, 0)
	f.Add(good)
	f.Add("ghr_")
	f.Add(good + "=")
	f.Fuzz(func(t *testing.T, token string) {
		s, ours := k.read(token)
		if ours && k.write(s, 0) != token {
			t.Errorf("%q is another spelling of %q", token, k.write(s, 0))
		}
		if ours && token != good {
			t.Errorf("%q has a MAC that we did not make", token)
		}
	})
}

func FuzzBasic(f *testing.F) {
	for _, seed := range []string{"Basic dzpz", "basic  dzpz", "Bearer x", "Basic " + strings.Repeat("A", 99), "Basic Og=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		shown, err := readBasic(header)
		if err == nil && (shown.id == "" || shown.secret == "" || !readable(shown.id) || !readable(shown.secret)) {
			t.Errorf("%q gave %q and %q", header, shown.id, shown.secret)
		}
	})
}

func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{}`, `{"userinfo":{"email":null}}`, `{"id_token":{"acr":{"essential":true,"value":1}}}`, `null`, `[]`, `{"userinfo":null}`, `{"id_token":{"sub":{"value":"a"}}}`} {
		f.Add(seed)
	}
	client := &storage.Client{Metadata: storage.ClientMetadata{Scope: "openid email profile"}}
	f.Fuzz(func(t *testing.T, raw string) {
		q := new(request)
		if err := q.readClaims(raw, client); err != nil {
			e, ok := errors.AsType[*oidc.Error](err)
			if !ok || !plain(e.Description) {
				t.Errorf("%q is refused with %v", raw, err)
			}
			return
		}
		for _, name := range append(q.Claims.Userinfo, q.Claims.IDToken...) {
			if scope := claimScopes[name]; scope != "email" && scope != "profile" {
				t.Errorf("%q asks for %s", raw, name)
			}
		}
		kept := claimsOf(&storage.Grant{Claims: q.Claims.encode()}, nil)
		if !slices.Equal(kept.Userinfo, q.Claims.Userinfo) || !slices.Equal(kept.IDToken, q.Claims.IDToken) {
			t.Errorf("%q is kept as %v", raw, kept)
		}
	})
}

func FuzzAssertion(f *testing.F) {
	for _, seed := range []string{"a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "..", strings.Repeat(".", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		jws, err := parseAssertion(token)
		if err != nil {
			return
		}
		if alg := jws.Signatures[0].Protected.Algorithm; !slices.Contains(keys.Algorithms, alg) || len(jws.Signatures) != 1 {
			t.Errorf("%q came through with %s", token, alg)
		}
	})
}
