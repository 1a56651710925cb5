package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// authlibPython is where scripts/deps puts Authlib and a Python for it alone.
const authlibPython = ".venv/bin/python"

func startAuthlib(t testing.TB, settings map[string]string) *program {
	t.Helper()
	if _, err := os.Stat(authlibPython); err != nil {
		t.Fatal("there is no Python with Authlib: run scripts/deps")
	}
	return startProgram(t, exec.Command(authlibPython, "rp/authlib_client.py"), settings)
}

func TestRelyingParty_AuthlibSignsInRefreshesIntrospectsAndRevokes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ada := s.addUser("ada")
	const callback = "http://127.0.0.1:9/callback"
	for _, method := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt"} {
		t.Run(method, func(t *testing.T) {
			settings := map[string]string{"issuer": s.issuer, "client_id": "py-" + method, "auth_method": method, "redirect_uri": callback}
			args := []string{
				"--name", "Python", "--redirect-uri", callback, "--auth-method", method,
				"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email",
			}
			var python *program
			if method == "private_key_jwt" {
				python = startAuthlib(t, settings)
				s.addClient("py-"+method, append(args, "--set", "jwks="+python.next("jwks"))...)
				python.say("{}")
			} else {
				settings["client_secret"] = s.addClient("py-"+method, args...).secret
				python = startAuthlib(t, settings)
			}
			p := newPerson(t, ada)
			p.stopAt = callback
			at := p.signIn(python.next("authorize"))
			if !hasCode(at) {
				t.Fatalf("signing in ended at %s:\n%s", at.address, at.body)
			}
			python.say(at.address.String())
			for _, want := range []struct{ name, value string }{
				{"id_token_sub", ada.sub}, {"userinfo_email", ada.email}, {"refreshed_sub", ada.sub},
				{"introspected_sub", ada.sub}, {"revoked", "200"}, {"active_after", "False"},
			} {
				if got := python.next(want.name); got != want.value {
					t.Errorf("%s is %s, want %s", want.name, got, want.value)
				}
			}
		})
	}
}
