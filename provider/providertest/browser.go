package providertest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// A Browser keeps cookies and follows nothing by itself.
type Browser struct {
	h      *House
	client *http.Client
}

// Browser opens a browser that has never been here.
func (h *House) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.T.Fatal(err)
	}
	return &Browser{h, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// An Answer is a response, read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Location is where a redirect leads; nil where it is none.
func (a *Answer) Location() *url.URL {
	l, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.Header.Get("Location") == "" {
		return nil
	}
	return l
}

// JSON reads the body as an object.
func (a *Answer) JSON() map[string]any {
	var object map[string]any
	if err := json.Unmarshal([]byte(a.Body), &object); err != nil {
		return map[string]any{"unreadable": a.Body}
	}
	return object
}

// Send sends a request and reads its answer.
func (h *House) Send(client *http.Client, r *http.Request) *Answer {
	h.T.Helper()
	response, err := client.Do(r)
	if err != nil {
		h.T.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.T.Fatal(err)
	}
	return &Answer{response.StatusCode, response.Header, string(body)}
}

// Get asks for an address; one that begins with / is the house's.
func (b *Browser) Get(address string) *Answer {
	b.h.T.Helper()
	return b.h.Send(b.client, b.h.request(http.MethodGet, address, nil))
}

// Post sends a form.
func (b *Browser) Post(address string, form url.Values) *Answer {
	b.h.T.Helper()
	return b.h.Send(b.client, b.h.request(http.MethodPost, address, form))
}

func (h *House) request(method, address string, form url.Values) *http.Request {
	h.T.Helper()
	if strings.HasPrefix(address, "/") {
		address = h.Address + address
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(h.T.Context(), method, address, body)
	if err != nil {
		h.T.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// SignIn signs the user in without any application.
func (b *Browser) SignIn(username string) {
	b.h.T.Helper()
	if a := b.Post("/login", url.Values{"username": {username}}); a.Status != http.StatusOK {
		b.h.T.Fatalf("sign in as %s: %d %s", username, a.Status, a.Body)
	}
}

// Cookie is the value of a cookie of the house, or empty.
func (b *Browser) Cookie(name string) string {
	u, _ := url.Parse(b.h.Issuer)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Walk answers every page of the house, as username and with this decision,
// until the browser is sent elsewhere or is shown something that is no form.
func (b *Browser) Walk(a *Answer, username, decision string) *Answer {
	b.h.T.Helper()
	for range 10 {
		to := a.Location()
		if to == nil || !strings.HasPrefix(to.String(), b.h.Issuer) {
			return a
		}
		form := url.Values{"request": {to.Query().Get("request")}}
		switch to.Path {
		case "/login":
			form.Set("username", username)
			a = b.Post("/login", form)
		case "/consent":
			form.Set("decision", decision)
			a = b.Post("/consent", form)
		default:
			a = b.Get(to.String())
		}
	}
	b.h.T.Fatal("the way never ends")
	return nil
}
