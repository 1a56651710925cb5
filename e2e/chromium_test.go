package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// closeChromium ends the browser, where one was started.
var closeChromium = func() {}

// chromium is the one browser of all tests; each tab that they open has
// cookies of its own.
var chromium = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	closeChromium = func() { cancel(); stop() }
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start Chromium: %w: run scripts/deps", err)
	}
	return ctx, nil
})

// A tab is one page of a browser that remembers nothing from before the test.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string // what the browser said about our pages
}

// openTab opens a tab with new cookies.
func openTab(t testing.TB) *tab {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	return newTab(t, browser, chromedp.WithNewBrowserContext())
}

// another opens a second tab with the cookies of the first.
func (b *tab) another() *tab {
	b.t.Helper()
	return newTab(b.t, b.ctx)
}

func newTab(t testing.TB, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	b := &tab{t: t}
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	b.ctx = ctx
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.call(func() error { _, err := chromedp.Call(ctx, audits.Enable, struct{}{}); return err })
	b.call(func() error { _, err := chromedp.Call(ctx, log.Enable, struct{}{}); return err })
	b.view(1280, false)
	return b
}

// hear collects what the browser finds wrong with a page: violations of its
// Content-Security-Policy, and scripts that failed.
func (b *tab) hear(event any) {
	complaint := ""
	switch e := event.(type) {
	case *audits.EventIssueAdded:
		if d := e.Issue.Details; d != nil && d.ContentSecurityPolicyIssueDetails != nil {
			csp := d.ContentSecurityPolicyIssueDetails
			complaint = fmt.Sprintf("content security policy: %s blocks %s", csp.ViolatedDirective, csp.BlockedURL)
		}
	case *log.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			complaint = e.Entry.Text
		}
	case *runtime.EventExceptionThrown:
		complaint = "script: " + e.ExceptionDetails.Text
	}
	if complaint != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.complaints = append(b.complaints, complaint)
	}
}

// mustBeContent fails the test where the browser complained.
func (b *tab) mustBeContent() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the browser complains: %s", c)
	}
}

func (b *tab) call(f func() error) {
	b.t.Helper()
	if err := f(); err != nil {
		b.t.Fatal(err)
	}
}

// in runs f with a limit that is too generous for anything but a dead end.
func (b *tab) in(f func(ctx context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		b.t.Fatalf("%v\nat %s:\n%s", err, b.address(), b.text())
	}
}

// view sets the width of the window and the theme.
func (b *tab) view(width int64, dark bool) {
	b.t.Helper()
	theme := "light"
	if dark {
		theme = "dark"
	}
	b.call(func() error { return chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800)) })
	b.call(func() error {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: theme},
				{Name: "prefers-reduced-motion", Value: "reduce"},
			},
		})
		return err
	})
}

// speak sets the language that the browser asks for.
func (b *tab) speak(language string) {
	b.t.Helper()
	b.call(func() error {
		_, err := chromedp.Call(b.ctx, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
			UserAgent: evaluate[string](b, `navigator.userAgent`), AcceptLanguage: language,
		})
		return err
	})
}

// open goes to an address, as if it had been typed, and returns the status.
func (b *tab) open(address string) (status int64) {
	b.t.Helper()
	b.in(func(ctx context.Context) error {
		resp, err := chromedp.RunResponse(ctx, chromedp.Navigate(address))
		if resp != nil {
			status = resp.Status
		}
		return err
	})
	return status
}

// fill types into the field with this name. Like press it finds its way by
// script: chromedp's own queries wait for ever in a page that the back button
// brought from the browser's memory.
func (b *tab) fill(name, value string) {
	b.t.Helper()
	evaluate[bool](b, fmt.Sprintf(`(f => { f.value = ''; f.focus(); return true })(document.querySelector('[name=%q]'))`, name))
	b.in(func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.KeyEvent(value)) })
}

// press clicks on something and waits for the page that this leads to.
func (b *tab) press(selector string) {
	b.t.Helper()
	b.leave(b.click(selector))
}

// click is a click of the mouse in the middle of an element.
func (b *tab) click(selector string) chromedp.Action[chromedp.Void] {
	b.t.Helper()
	at := evaluate[[]float64](b, fmt.Sprintf(`(e => {
		e.scrollIntoView({block: 'center', behavior: 'instant'})
		const r = e.getBoundingClientRect()
		return [r.x + r.width / 2, r.y + r.height / 2]
	})(document.querySelector(%q))`, selector))
	return chromedp.MouseClickXY(at[0], at[1])
}

// back presses the back button.
func (b *tab) back() {
	b.t.Helper()
	b.leave(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, runtime.Evaluate, runtime.EvaluateParams{Expression: `history.back()`, UserGesture: new(true)})
		return err
	}))
}

// leave does something that leads to another page and waits until that is
// there. The page that is left is marked, since the next one may have the same
// address, and may come from the browser's memory instead of the network.
func (b *tab) leave(by chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	mark := rand.Text()
	evaluate[string](b, fmt.Sprintf(`window.leaving = %q`, mark))
	b.in(func(ctx context.Context) error { return chromedp.Do(ctx, by) })
	b.in(waitFor(b, fmt.Sprintf(`window.leaving !== %q && document.readyState === 'complete'`, mark)))
}

// forget clears the cookies of this browser.
func (b *tab) forget() {
	b.t.Helper()
	b.call(func() error { _, err := chromedp.Call(b.ctx, network.ClearBrowserCookies, struct{}{}); return err })
}

// signIn fills in the sign-in page.
func (b *tab) signIn(who account) {
	b.t.Helper()
	b.fill("username", who.username)
	b.fill("password", who.password)
	b.press(submitButton)
}

const (
	submitButton = `main form button[type="submit"]`
	allowButton  = `button[name="decision"][value="allow"]`
)

func (b *tab) heading() string {
	b.t.Helper()
	return evaluate[string](b, `document.querySelector('h1')?.innerText ?? ''`)
}

func (b *tab) text() string { return evaluate[string](b, `document.body?.innerText ?? ''`) }

func (b *tab) address() string { return evaluate[string](b, `location.href`) }

func (b *tab) has(selector string) bool {
	b.t.Helper()
	return evaluate[bool](b, fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
}

func evaluate[T any](b *tab, expression string, options ...chromedp.EvaluateOption) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// shoot writes a picture of the whole page to build/screenshots.
func (b *tab) shoot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join("..", "build", "screenshots", name+".png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// axe is the accessibility engine.
var axe = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		return "", fmt.Errorf("%w: run scripts/deps", err)
	}
	return string(source), nil
})

// mustBeAccessible fails the test for everything that axe-core finds.
func (b *tab) mustBeAccessible(name string) {
	b.t.Helper()
	source, err := axe()
	if err != nil {
		b.t.Fatal(err)
	}
	evaluate[bool](b, source+";true")
	found := evaluate[[]string](b, `axe.run(document, {rules: {'target-size': {enabled: true}}})
		.then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html + ': ' + n.failureSummary)))`,
		chromedp.EvalAwaitPromise)
	for _, f := range found {
		b.t.Errorf("%s: axe-core finds %s", name, f)
	}
}
