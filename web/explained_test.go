package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"gatehouse/provider"
	"gatehouse/storage"
)

var codeOnPage = regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}-[B-Z]{4}`)

func TestTheCodeOnAnErrorPageOfTheDoorIsExplained(t *testing.T) {
	const site = "https://id.example.com"
	for name, c := range map[string]struct {
		method, host, target, kind, sent, expected string
		header                                     []string
	}{
		"another host":         {"GET", "other.example.com", "/hello", "misdirected", "other.example.com", "id.example.com", nil},
		"another site's form":  {"POST", "id.example.com", "/form", "cross_site", "https://evil.test", site, []string{"Origin", "https://evil.test"}},
		"a form in plain http": {"POST", "id.example.com", "/form", "insecure", "http", "https", []string{"X-Forwarded-Proto", "http"}},
		"a panic":              {"GET", "id.example.com", "/panic", "internal", "", "", nil},
	} {
		door, hall := behind(t, site, io.Discard, "192.0.2.0/24")
		w := ask(door, c.method, c.host, c.target, append(c.header, "Accept", "text/html")...)
		code := codeOnPage.FindString(w.Body.String())
		if code == "" || code != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: the page has the code %q, the request the id %q", name, code, w.Header().Get("X-Request-Id"))
			continue
		}
		if typed := ReadRequestID(" " + strings.ToLower(strings.ReplaceAll(code, "-", " "))); typed != code {
			t.Errorf("%s: typed from the telephone it is %q", name, typed)
		}
		f, err := hall.browser.failures.Get(t.Context(), code)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Kind != c.kind || f.Sent != c.sent || f.Expected != c.expected {
			t.Errorf("%s: %s, sent %q, expected %q", name, f.Kind, f.Sent, f.Expected)
		}
		e, err := (&provider.Explainer{}).Explain(t.Context(), f)
		if err != nil || len(e.Findings) != 1 || e.Findings[0].Code != c.kind {
			t.Errorf("%s: it is explained as %+v, %v", name, e, err)
		}
	}
}

// Lost cookies and another browser look alike, and want different answers.
func TestLostCookiesAreToldFromAnotherBrowser(t *testing.T) {
	door, hall := behind(t, local, io.Discard)
	for cookie, want := range map[string]string{"": "cookies_lost", "browser=" + newSecret(browserPrefix): "other_browser"} {
		w := ask(door, "GET", "localhost:8000", "/other", "Accept", "text/html", "Cookie", strings.Replace(cookie, "browser", hall.browser.cookies.browser, 1))
		f, err := hall.browser.failures.Get(t.Context(), w.Header().Get("X-Request-Id"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := (&provider.Explainer{}).Explain(t.Context(), f)
		if err != nil || len(e.Findings) != 1 || e.Findings[0].Code != want {
			t.Errorf("with the cookie %q it is explained as %+v, %v", cookie, e, err)
		}
	}
}

// Scanners find a thousand things missing in a minute.
func TestWhatIsNotThereIsNotWorthKeeping(t *testing.T) {
	door, hall := behind(t, local, io.Discard)
	w := ask(door, "GET", "localhost:8000", "/wp-login.php")
	if _, err := hall.browser.failures.Get(t.Context(), w.Header().Get("X-Request-Id")); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("got %v, want it not kept", err)
	}
}

func TestAnErrorPageComesWhereItsReasonCannotBeKept(t *testing.T) {
	door, hall := behind(t, local, io.Discard)
	hall.browser.failures = brokenFailures{hall.browser.failures}
	w := ask(door, "GET", "localhost:8000", "/panic", "Accept", "text/html")
	if w.Code != http.StatusInternalServerError || codeOnPage.FindString(w.Body.String()) == "" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

type brokenFailures struct{ storage.Failures }

func (brokenFailures) Note(context.Context, *storage.Failure) error { return errors.New("disk full") }
