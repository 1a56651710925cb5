package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// waitFor waits until a condition of the page holds.
func waitFor(b *tab, condition string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for {
			ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`Boolean(`+condition+`)`))
			if err == nil && ok {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for %s: %w", condition, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// The places where a way may end well.
const (
	atTheApp = "the app, signed in"
	atHome   = "the start page, signed in"
)

// follow goes on from wherever the tab is, as a person would who only presses
// the main button of each page and signs in when asked, and says where that ends.
func (b *tab) follow(a *app, who account) string {
	b.t.Helper()
	for range 8 {
		switch at := b.address(); {
		case strings.HasPrefix(at, a.http.URL) && b.heading() == "Signed in":
			return atTheApp
		case strings.HasPrefix(at, a.http.URL):
			b.press("#signin")
		case b.has(`[name="password"]`):
			b.signIn(who)
		case b.has(allowButton):
			b.press(allowButton)
		case b.has("main a.main"):
			b.press("main a.main")
		case b.has(`main form[action$="/logout/confirm"]`):
			return atHome
		default:
			b.t.Fatalf("a dead end at %s:\n%s", at, b.text())
		}
	}
	b.t.Fatalf("still on the way at %s:\n%s", b.address(), b.text())
	return ""
}

func TestDeadEnds_EveryStepOutOfLineLeadsSomewhereUseful(t *testing.T) {
	t.Parallel()
	s := serve(t, "GATEHOUSE_SESSION_REQUEST_LIFETIME=1m")
	who := s.addUser("dora")
	a := newApp(t, s, "planner")
	// begins opens a tab on the sign-in page, by way of the app.
	begins := func(t *testing.T) *tab {
		b := openTab(t)
		b.open(a.http.URL + "/signin")
		if !b.has(`[name="password"]`) {
			t.Fatalf("no sign-in page but %s:\n%s", b.address(), b.text())
		}
		return b
	}
	for _, c := range []struct {
		name string
		ends string
		walk func(t *testing.T) *tab
	}{
		{"the back button after signing in", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			b.follow(a, who)
			b.back()
			return b
		}},
		{"the back button on the consent page, and the password again", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			b.signIn(s.addUser("nora"))
			b.back()
			return b
		}},
		{"a second tab, used after the first has signed in", atTheApp, func(t *testing.T) *tab {
			first := begins(t)
			second := first.another()
			second.open(a.http.URL + "/signin")
			if end := first.follow(a, who); end != atTheApp {
				t.Errorf("the first tab ends at %s", end)
			}
			return second
		}},
		{"cookies that were lost between the page and its form", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			b.forget()
			b.signIn(who)
			return b
		}},
		{"a double click on the button", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			b.fill("username", who.username)
			b.fill("password", who.password)
			click := b.click(submitButton)
			b.leave(chromedp.Steps(click, click))
			return b
		}},
		{"a sign-in page opened again from a bookmark", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			bookmark := b.address()
			b.follow(a, who)
			b.open(bookmark)
			return b
		}},
		{"a sign-in page that was sent to another browser", atTheApp, func(t *testing.T) *tab {
			sent := begins(t).address()
			b := openTab(t)
			b.open(sent)
			return b
		}},
		{"a person who comes back after the request has expired", atTheApp, func(t *testing.T) *tab {
			b := begins(t)
			time.Sleep(61 * time.Second)
			b.signIn(who)
			return b
		}},
		{"a request that nobody knows", atHome, func(t *testing.T) *tab {
			b := openTab(t)
			b.open(s.issuer + "/login?request=NEVERHEARDOF")
			return b
		}},
		{"an address that does not exist", atHome, func(t *testing.T) *tab {
			b := openTab(t)
			b.open(s.issuer + "/nowhere")
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := c.walk(t)
			if end := b.follow(a, who); end != c.ends {
				t.Errorf("this ends at %s, not at %s", end, c.ends)
			}
			b.mustBeContent()
		})
	}
}
