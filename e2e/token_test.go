package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// An answer is what the token endpoint said.
type answer struct {
	status  int
	body    string
	header  http.Header
	closes  bool   // the connection ends with it
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

// ask posts a form to the token endpoint at address, as this client.
func (c client) ask(ctx context.Context, address string, form url.Values) (answer, error) {
	return c.askBy(ctx, http.DefaultClient, address, form)
}

// askBy is ask by way of this HTTP client, which may reach one node alone.
func (c client) askBy(ctx context.Context, by *http.Client, address string, form url.Values) (answer, error) {
	if c.secret == "" {
		form.Set("client_id", c.id)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
	}
	return tell(by, req)
}

// tell sends a request and reads the answer whole.
func tell(by *http.Client, req *http.Request) (answer, error) {
	resp, err := by.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, body: string(body), header: resp.Header, closes: resp.Close}
	if err := json.Unmarshal(body, &a); err != nil {
		return a, fmt.Errorf("%d %s: %w", a.status, a.body, err)
	}
	return a, nil
}

// redemption is the form that redeems a code.
func (a *app) redemption(response url.Values) url.Values {
	begun, _ := a.attempt(response.Get("state"))
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {response.Get("code")},
		"redirect_uri": {a.callbackURL()}, "code_verifier": {begun.verifier},
	}
}

func refreshing(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// basic is the credentials of a client as HTTP has them.
func basic(c client) string {
	return base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id) + ":" + url.QueryEscape(c.secret)))
}
