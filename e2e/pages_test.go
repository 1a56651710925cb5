package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// look holds one page to what every page promises: nothing for axe-core to
// find, no sideways scrolling, and pictures of it in both widths and themes.
func (b *tab) look(name string) {
	b.t.Helper()
	for _, view := range []struct {
		width int64
		dark  bool
	}{{360, false}, {360, true}, {1280, false}, {1280, true}} {
		b.view(view.width, view.dark)
		theme := map[bool]string{false: "light", true: "dark"}[view.dark]
		if wider := evaluate[int64](b, `document.documentElement.scrollWidth - innerWidth`); wider > 0 {
			b.t.Errorf("%s is %d pixels too wide for %d", name, wider, view.width)
		}
		b.in(waitFor(b, `document.getAnimations().length === 0`)) // colours may fade into one another
		b.mustBeAccessible(fmt.Sprintf("%s, %s at %d", name, theme, view.width))
		b.shoot(fmt.Sprintf("%s-%d-%s", name, view.width, theme))
	}
}

func TestAC136_EveryPageIsAccessibleInBothLanguagesAndBreaksNoPolicy(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "vi"} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a := newApp(t, s, "garden", "--name", "Garden planner", "--set", "policy_uri=https://garden.example/privacy", "--set", "tos_uri=https://garden.example/terms")
			b := openTab(t)
			b.speak(language)
			shown := func(page string) { t.Helper(); b.look(language + "-" + page) }

			b.open(s.setupLink())
			shown("setup")
			mia := account{username: "mia@people.example", password: "Lantern-mia-4711"}
			s.hide("the administrator's password", mia.password)
			b.fill("email", mia.username)
			b.fill("name", "Mia Nguyễn")
			b.fill("password", "password")
			b.press(submitButton)
			shown("setup-refused")
			b.fill("password", mia.password)
			b.press(submitButton)
			shown("setup-done")

			b.forget()
			b.open(s.issuer + "/")
			shown("home-signed-out")
			b.open(a.http.URL + "/signin")
			shown("login")
			b.fill("username", mia.username)
			b.fill("password", "Wrong-Lantern-4711")
			b.press(submitButton)
			shown("login-refused")
			b.signIn(mia)
			shown("consent")
			b.press(allowButton)
			if b.heading() != "Signed in" {
				t.Fatalf("the app says %q", b.text())
			}
			b.open(s.issuer + "/")
			shown("home-signed-in")
			b.open(s.issuer + "/logout")
			shown("logout-confirm")
			b.press(submitButton)
			shown("signed-out")

			b.open(s.issuer + "/authorize?client_id=nobody&redirect_uri=https%3A%2F%2Fapp.example%2F&response_type=code&scope=openid")
			shown("error-client")
			b.open(s.issuer + "/login?request=UNKNOWN")
			shown("error-request")
			b.open(s.issuer + "/nowhere")
			shown("error-not-found")
			b.open(s.issuer + "/setup?token=gho_spent")
			shown("setup-gone")
			b.mustBeContent()

			if lang := evaluate[string](b, `document.documentElement.lang`); lang != language {
				t.Errorf("a browser that asks for %s gets %s", language, lang)
			}
		})
	}
}

func TestAC136_TheBrowserWouldComplainOfAViolation(t *testing.T) {
	t.Parallel()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><title>Bad</title><h1>Bad</h1><script>document.title = "worse"</script>`)
	}))
	defer bad.Close()
	b := openTab(t)
	b.open(bad.URL)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b.mu.Lock()
		heard := len(b.complaints)
		b.mu.Unlock()
		if heard > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("an inline script under default-src 'none' goes unnoticed")
		}
	}
}

func TestChromium_FormPostReachesAnAppWhoseCallbackGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	s := serve(t)
	who := s.addUser("fay")
	third := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!DOCTYPE html><title>Third</title><h1>Third party</h1>")
	}))
	defer third.Close()
	posted := make(chan url.Values, 1)
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.ParseForm() == nil {
			posted <- r.PostForm
		}
		http.Redirect(w, r, strings.Replace(third.URL, "127.0.0.1", "localhost", 1), http.StatusSeeOther)
	}))
	defer callback.Close()
	a := newApp(t, s, "poster", "--redirect-uri", callback.URL)
	a.oauth.RedirectURL = callback.URL
	b := openTab(t)
	address, state := a.begin()
	b.open(address + "&response_mode=form_post")
	b.signIn(who)
	b.in(waitFor(b, `document.querySelector('button[name="decision"]')`))
	b.press(allowButton)
	b.in(waitFor(b, `document.querySelector('h1')?.innerText === 'Third party'`))
	select {
	case got := <-posted:
		if got.Get("state") != state || got.Get("code") == "" || got.Get("iss") != s.issuer {
			t.Errorf("the form brought %v", keysOf(got))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no form came")
	}
	b.mustBeContent()
}

func keysOf(v url.Values) (names []string) {
	for name := range v {
		names = append(names, name)
	}
	return names
}
