package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	probeTimeout = 10 * time.Second
	maxDiscovery = 1 << 20
)

// probeIssuer follows the way of a relying party to the issuer, and names the
// first step that fails. roots is nil for those of the system.
func probeIssuer(ctx context.Context, issuer string, roots *x509.CertPool) finding {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return finding{
			Check: "issuer", What: "the address is none", Evidence: fmt.Sprintf("%q", issuer),
			Cause: "a missing https://", Fix: "give the issuer as it stands in the settings: https://id.example.com",
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	address := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return failed("issuer", err)
	}
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return unanswered("issuer", u.Host, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answeredBadly(address, response)
	}
	return sameIssuer(issuer, address, io.LimitReader(response.Body, maxDiscovery))
}

// unanswered tells name, port and TLS apart for a server at host.
func unanswered(check, host string, err error) finding {
	f := finding{Check: check, Evidence: err.Error()}
	if e, ok := errors.AsType[*url.Error](err); ok {
		f.Evidence = e.Err.Error()
	}
	_, unknown := errors.AsType[*net.DNSError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case unknown:
		f.What, f.Cause, f.Fix = "the name "+host+" is unknown here", "a name of another network, or no DNS record", "make the name resolve where this ran"
	case errors.Is(err, syscall.ECONNREFUSED):
		f.What, f.Cause, f.Fix = "nothing listens at "+host, "a server that is stopped, another port, or localhost inside a container", "start it, or correct the port"
	case isInvalid && invalid.Reason == x509.Expired:
		f.What, f.Cause, f.Fix = "the certificate of "+host+" has expired", "a renewal that failed or was not reloaded, or a wrong clock here", "renew it, and send serve a SIGHUP; or correct the clock"
	case authority:
		f.What, f.Cause, f.Fix = "the certificate of "+host+" is of an authority unknown here", "a private authority, or a missing intermediate certificate", "serve the whole chain, or add the authority to this machine's trust roots"
	case name:
		f.What, f.Cause, f.Fix = "the certificate is for another name than "+host, "the certificate of another site at the same address", "serve a certificate for this name"
	case plain || strings.Contains(f.Evidence, "HTTP response to HTTPS client"):
		f.What, f.Cause, f.Fix = host+" does not speak TLS", "https where the server has plain http, behind a proxy that ends TLS", "go through the proxy, or set tls.cert and tls.key"
	case isNet && timeout.Timeout():
		f.What, f.Cause, f.Fix = host+" does not answer in time", "a firewall that swallows packets", "let this machine through to the port"
	default:
		f.What, f.Cause, f.Fix = "the connection to "+host+" fails", "something between here and there", "follow the evidence"
	}
	return f
}

// answeredBadly says what another status than 200 means.
func answeredBadly(address string, r *http.Response) finding {
	f := finding{Check: "issuer", Evidence: "GET " + address + ": " + r.Status}
	switch {
	case r.StatusCode == http.StatusMisdirectedRequest:
		f.What, f.Cause, f.Fix = "the provider has another host name (421)", "a proxy that rewrites Host, or an inner name in the caller's settings", "pass Host on unchanged, and use the issuer exactly as configured"
	case r.StatusCode >= 300 && r.StatusCode < 400:
		f.Evidence += " to " + r.Header.Get("Location")
		f.What, f.Cause, f.Fix = "discovery is redirected", "another scheme or name than the issuer's", "use the issuer exactly as configured"
	case r.StatusCode == http.StatusNotFound:
		f.What, f.Cause, f.Fix = "there is no discovery document", "a path too much or too little, or another program at this address", "use the issuer exactly as configured, with its path"
	default:
		f.What, f.Cause, f.Fix = "discovery fails", "a proxy without a provider behind it", "see the logs of the proxy and of serve"
	}
	return f
}

// sameIssuer compares byte for byte (OpenID Connect Discovery §4.3).
func sameIssuer(issuer, address string, body io.Reader) finding {
	var d struct {
		Issuer string `json:"issuer"`
	}
	if err := json.NewDecoder(body).Decode(&d); err != nil || d.Issuer == "" {
		return finding{
			Check: "issuer", What: "something else than a provider answers", Evidence: address + " has no issuer",
			Cause: "another program, or the sign-in page of a proxy", Fix: "correct the address, or the proxy's route",
		}
	}
	if d.Issuer == issuer {
		return well("issuer", "%s answers under its own name", issuer)
	}
	at := 0
	for at < min(len(issuer), len(d.Issuer)) && issuer[at] == d.Issuer[at] {
		at++
	}
	return finding{
		Check: "issuer", What: "the issuer is another",
		Evidence: fmt.Sprintf("asked for %q, answered %q; they differ from character %d", issuer, d.Issuer, at+1),
		Cause:    "a trailing slash, http for https, a port, or localhost for 127.0.0.1", Fix: fmt.Sprintf("use %s in both", d.Issuer),
	}
}
