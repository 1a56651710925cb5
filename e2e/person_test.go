package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// A person walks through pages as somebody with a browser without JavaScript
// does: follows redirects, keeps cookies, fills in the forms.
type person struct {
	t      testing.TB
	who    account
	http   *http.Client
	stopAt string // addresses that begin so are not asked for
}

// A page is what a person sees at the end of the redirects; body is empty where
// the person stopped short of address.
type page struct {
	address *url.URL
	status  int
	header  http.Header
	body    string
}

func newPerson(t testing.TB, who account) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, who: who}
	p.http = &http.Client{
		Jar:     jar,
		Timeout: 30 * time.Second,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if p.stops(req.URL) {
				return http.ErrUseLastResponse
			}
			if len(via) > 15 {
				return errors.New("redirected in circles")
			}
			return nil
		},
	}
	return p
}

func (p *person) stops(u *url.URL) bool {
	return p.stopAt != "" && strings.HasPrefix(u.String(), p.stopAt)
}

// visit opens an address.
func (p *person) visit(address string) page {
	p.t.Helper()
	at, err := p.tryVisit(p.t.Context(), address)
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

// submit sends the form of a page, with these values beside its own.
func (p *person) submit(from page, values map[string]string) page {
	p.t.Helper()
	at, err := p.trySubmit(p.t.Context(), from, values)
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

// tryVisit is visit where the server may be gone.
func (p *person) tryVisit(ctx context.Context, address string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return page{}, err
	}
	return p.send(req)
}

// trySubmit is submit where the server may be gone.
func (p *person) trySubmit(ctx context.Context, from page, values map[string]string) (page, error) {
	f, err := from.form()
	if err != nil {
		return page{}, err
	}
	for name, value := range values {
		f.fields.Set(name, value)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.action, strings.NewReader(f.fields.Encode()))
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", from.address.Scheme+"://"+from.address.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.send(req)
}

func (p *person) send(req *http.Request) (page, error) {
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := p.http.Do(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return page{}, err
	}
	if location, err := resp.Location(); err == nil {
		return page{address: location, status: resp.StatusCode, header: resp.Header}, nil
	}
	return page{resp.Request.URL, resp.StatusCode, resp.Header, string(body)}, nil
}

// signIn opens an address of an application and goes through whatever pages
// come: signs in, allows what is asked. It returns where that ends.
func (p *person) signIn(address string) page {
	p.t.Helper()
	at := p.visit(address)
	for range 5 {
		switch {
		case at.body == "":
			return at
		case at.asks("password"):
			at = p.submit(at, map[string]string{"username": p.who.username, "password": p.who.password})
		case at.asks("decision"):
			at = p.submit(at, map[string]string{"decision": "allow"})
		default:
			return at
		}
	}
	p.t.Fatalf("the pages do not end; now at %s:\n%s", at.address, at.body)
	return page{}
}

// asks reports whether the page has a form with this field or button.
func (g page) asks(name string) bool {
	return strings.Contains(g.body, "<form") && strings.Contains(g.body, `name="`+name+`"`)
}

// A form is the first of a page: where it goes, and what it sends unchanged.
type form struct {
	action string
	fields url.Values
}

func (g page) form() (form, error) {
	doc, err := html.Parse(strings.NewReader(g.body))
	if err != nil {
		return form{}, err
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		action, err := g.address.Parse(attribute(n, "action"))
		if err != nil {
			return form{}, err
		}
		f := form{action.String(), url.Values{}}
		for input := range n.Descendants() {
			if input.Data == "input" && attribute(input, "type") == "hidden" {
				f.fields.Add(attribute(input, "name"), attribute(input, "value"))
			}
		}
		return f, nil
	}
	return form{}, fmt.Errorf("no form at %s (%d):\n%s", g.address, g.status, g.body)
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
