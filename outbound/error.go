package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// A Reason is what an exchange ended for.
type Reason string

// The reasons. Their words are for operators: clients are told nothing of what
// we can reach.
const (
	Scheme   Reason = "scheme"   // neither https nor a loopback exception
	Name     Reason = "name"     // no such name, or no usable address
	Address  Reason = "address"  // a special-use address that is not listed
	Connect  Reason = "connect"  // nobody answers there, or the answer breaks off
	TLS      Reason = "tls"      // the certificate, or the handshake
	Time     Reason = "time"     // longer than Timeout
	Redirect Reason = "redirect" // it wants us elsewhere
	Size     Reason = "size"     // longer than MaxBody
	Status   Reason = "status"   // another status than was needed
)

// An Error says why an exchange was refused or broke off. Its text names
// addresses, and is for logs alone.
type Error struct {
	Host   string
	Reason Reason
	Status int // where there was an answer
	err    error
}

func (e *Error) Error() string {
	if e.Host == "" {
		return fmt.Sprintf("outbound: %v", e.err)
	}
	return fmt.Sprintf("outbound: %s: %v", e.Host, e.err)
}

// Unwrap returns what lies below.
func (e *Error) Unwrap() error { return e.err }

// explain names the reason of what net/http and net return.
func explain(host string, err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Host: host, Reason: reason(err), err: err}
}

func reason(err error) Reason {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return Time
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return TLS
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return TLS // an alert, theirs or ours
	}
	if errors.Is(err, http.ErrSchemeMismatch) { // plain http behind the port
		return TLS
	}
	return Connect
}
