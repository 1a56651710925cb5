// Package outbound is the one HTTP client for everything that is fetched from
// elsewhere, or told to others: the addresses come from clients and from other
// providers, so each is treated as chosen by an attacker. It knows which
// addresses are nobody's business, and bounds time, size and hops. It knows
// nothing of what is fetched, and imports nothing of ours.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// The bounds of every exchange, whoever is on the other side.
const (
	// Timeout is for all of it: name, connection, TLS, headers and body.
	Timeout = 3 * time.Second
	// MaxBody is the longest answer that is read, in bytes.
	MaxBody = 64 << 10
	// maxHeader is the longest header that is read, in bytes.
	maxHeader = 16 << 10
	userAgent = "gatehouse"
)

// Config is what a Client is made from. The zero Config reaches https on
// public addresses and nothing else.
type Config struct {
	// Allow lists the special-use addresses that may be reached all the same.
	Allow []netip.Prefix
	// CAFile names a PEM file of certificates to trust beside the system's.
	CAFile string
	// AllowHTTP lets plain http through to a loopback host, for development;
	// its address must still be listed in Allow.
	AllowHTTP bool
	// Lookup finds the addresses of a name; default is the system's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

// A Client makes bounded requests. It is safe for use by many at once, keeps no
// cookies and no connections, follows no redirects and knows no proxy: a proxy
// would look names up itself, behind the back of the check.
type Client struct {
	allow     []netip.Prefix
	allowHTTP bool
	lookup    func(ctx context.Context, name string) ([]netip.Addr, error)
	http      *http.Client
}

// New returns a client, or says what is wrong with the certificate file.
func New(c Config) (*Client, error) {
	roots, err := trust(c.CAFile)
	if err != nil {
		return nil, err
	}
	o := &Client{allowHTTP: c.AllowHTTP, lookup: c.Lookup}
	for _, p := range c.Allow {
		o.allow = append(o.allow, unmappedPrefix(p))
	}
	if o.lookup == nil {
		o.lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	o.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            o.dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // each request looks its name up anew
			DisableCompression:     true, // the bound is on what is sent, and nothing unpacks to more
			MaxResponseHeaderBytes: maxHeader,
		},
	}
	return o, nil
}

// trust returns the system's roots and those of file; nil, which means the
// system's, where no file is named.
func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the trust roots: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a machine without any: ours are then the only ones
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// Get fetches address, and returns the body of a 200 and how long its server
// lets it be kept (zero: not at all, or it did not say). Errors are *Error.
func (o *Client) Get(ctx context.Context, address, accept string) (body []byte, fresh time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := o.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Accept", accept)
	answer, err := o.do(r)
	if err != nil {
		return nil, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, 0, &Error{Host: r.URL.Hostname(), Reason: Status, Status: answer.StatusCode, err: errors.New("it answered " + answer.Status)}
	}
	body, err = readBody(r.URL.Hostname(), answer.Body)
	if err != nil {
		return nil, 0, err
	}
	return body, freshness(answer.Header), nil
}

// PostForm posts the form to address and returns the status that was answered;
// nothing is read of the body, so that it may be as long as it likes. Errors
// are *Error: there was no answer, or it was a redirect.
func (o *Client) PostForm(ctx context.Context, address string, form url.Values) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := o.request(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := o.do(r)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			status = e.Status
		}
		return status, err
	}
	answer.Body.Close()
	return answer.StatusCode, nil
}

// request refuses early what an address alone shows to be unreachable.
func (o *Client) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, &Error{Reason: Name, err: errors.New("the address is malformed")}
	}
	if err := o.mayReach(r.URL); err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", userAgent)
	return r, nil
}

// mayReach refuses an address that shows by itself that nobody may go there.
func (o *Client) mayReach(u *url.URL) error {
	host := u.Hostname()
	switch {
	case host == "":
		return &Error{Reason: Name, err: errors.New("the address has no host")}
	case u.User != nil:
		return &Error{Host: host, Reason: Name, err: errors.New("the address holds a user name")}
	case u.Scheme == "https", u.Scheme == "http" && o.allowHTTP && loopbackName(host):
		return nil
	}
	return &Error{Host: host, Reason: Scheme, err: fmt.Errorf("%s is not https", u.Scheme)}
}

// do sends r; a redirect is an error, as nothing may lead us on.
func (o *Client) do(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	answer, err := o.http.Do(r)
	if err != nil {
		return nil, explain(host, err)
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		answer.Body.Close()
		return nil, &Error{Host: host, Reason: Redirect, Status: answer.StatusCode, err: errors.New("it redirects, and redirects are not followed")}
	}
	return answer, nil
}

// dial looks the host up, judges every address that it has, and connects to
// one of those very addresses: a second look-up could answer otherwise.
func (o *Client) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, &Error{Host: hostport, Reason: Name, err: err}
	}
	addresses, err := o.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		if !o.reachable(a) {
			return nil, &Error{Host: host, Reason: Address, err: fmt.Errorf("%s is no public address (outbound.allow lists what may be reached all the same)", a)}
		}
	}
	return dialOne(ctx, network, addresses, host, port)
}

func (o *Client) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	all, err := o.lookup(ctx, host)
	switch {
	case ctx.Err() != nil:
		return nil, &Error{Host: host, Reason: Time, err: errors.New("its name was not resolved in time")}
	case err != nil:
		return nil, &Error{Host: host, Reason: Name, err: err}
	case len(all) == 0:
		return nil, &Error{Host: host, Reason: Name, err: errors.New("the name has no address")}
	}
	return all, nil
}

// dialOne tries the addresses in order; none may use up the time of the others.
func dialOne(ctx context.Context, network string, addresses []netip.Addr, host, port string) (net.Conn, error) {
	var errs []error
	for i, a := range addresses {
		d := net.Dialer{}
		if end, ok := ctx.Deadline(); ok {
			d.Timeout = time.Until(end) / time.Duration(len(addresses)-i)
		}
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, explain(host, errors.Join(errs...))
}
