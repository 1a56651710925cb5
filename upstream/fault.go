package upstream

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/outbound"
)

// A Fault is why nobody was signed in at an upstream, as an administrator is
// told. It holds no secret, code, token, state or nonce.
type Fault struct {
	Upstream string
	// Kind names what was wrong: nonce, issuer, audience, unreachable, …
	Kind     string
	Sent     string // what came
	Expected string // what would have been good
	Details  map[string]string
	err      error
}

// Error is for the log.
func (f *Fault) Error() string {
	text := "upstream " + f.Upstream + ": " + f.Kind
	if f.Sent != "" || f.Expected != "" {
		text += fmt.Sprintf(": got %.200q, expected %.200q", f.Sent, f.Expected)
	}
	if f.err != nil {
		text += ": " + f.err.Error()
	}
	return text
}

// Unwrap returns what lies below.
func (f *Fault) Unwrap() error { return f.err }

// differs is a fault of a value that is not the expected one.
func (p *Provider) differs(kind, sent, expected string, details ...string) *Fault {
	f := &Fault{Upstream: p.ID, Kind: kind, Sent: sent, Expected: expected, Details: map[string]string{}}
	for i := 0; i+1 < len(details); i += 2 {
		f.Details[details[i]] = details[i+1]
	}
	return f
}

// fault is a fault that an error explains.
func (p *Provider) fault(kind string, err error, details ...string) *Fault {
	f := p.differs(kind, "", "", details...)
	f.err = err
	f.Details["reason"] = err.Error()
	if o, ok := errors.AsType[*outbound.Error](err); ok {
		f.Details["outbound"] = string(o.Reason)
	}
	return f
}

// unanswered is a fault of an exchange that ended in no answer; where there was
// one that could not be read, its kind is other.
func (p *Provider) unanswered(other string, err error, address string) *Fault {
	if _, ok := errors.AsType[*outbound.Error](err); ok {
		other = "unreachable"
	}
	return p.fault(other, err, "address", address)
}

// down is a fault of an answer that says that nobody is at work there.
func (p *Provider) down(answer *http.Response, address string) *Fault {
	return p.differs("unreachable", "status "+strconv.Itoa(answer.StatusCode), "an answer", "address", address)
}

// without returns what takes our secret and these others out of the words of
// the upstream: some say what they refuse.
func (p *Provider) without(secrets ...string) func(string) string {
	var pairs []string
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.ClientID) + ":" + url.QueryEscape(string(p.ClientSecret)))) // RFC 6749 §2.3.1
	for _, secret := range append(secrets, string(p.ClientSecret), basic) {
		if secret != "" {
			pairs = append(pairs, secret, "…", url.QueryEscape(secret), "…")
		}
	}
	return strings.NewReplacer(pairs...).Replace
}
