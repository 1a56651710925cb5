package verify

import (
	"fmt"
	"time"
)

// A Check names one thing that a token has to pass. Each is an error as well,
// so that errors.Is(err, ErrExpired) asks which one it was.
type Check string

// The checks, in the order in which they are made.
const (
	ErrPrefix      Check = "bearer_prefix" // "Bearer " was left in front of the token
	ErrFormat      Check = "format"        // not a JWT of RFC 9068: its parts, header or claims
	ErrAlgorithm   Check = "algorithm"     // not an accepted algorithm, or not that of the key
	ErrType        Check = "type"          // not an access token; an ID token, for one
	ErrUnknownKey  Check = "unknown_key"   // the provider publishes no such key
	ErrUnavailable Check = "unavailable"   // no keys have been read yet and the provider does not answer; says nothing of the token
	ErrSignature   Check = "signature"
	ErrIssuer      Check = "issuer"
	ErrAudience    Check = "audience"
	ErrExpired     Check = "expired" // Error.Ago says how long ago
	ErrNotYetValid Check = "not_yet_valid"
	ErrBound       Check = "bound" // the sender must prove a key (DPoP, mTLS), which a bearer does not
	ErrScope       Check = "scope"
)

// descriptions are what a caller may read: about the token, never about us.
var descriptions = map[Check]string{
	ErrPrefix:      `the token itself begins with "Bearer "`,
	ErrFormat:      "the access token is malformed",
	ErrAlgorithm:   "the access token is signed with an algorithm that is not accepted",
	ErrType:        "this is not an access token",
	ErrUnknownKey:  "the access token is signed with an unknown key",
	ErrUnavailable: "access tokens cannot be verified at the moment",
	ErrSignature:   "the signature of the access token is wrong",
	ErrIssuer:      "the access token is from another issuer",
	ErrAudience:    "the access token is for another audience",
	ErrExpired:     "the access token has expired",
	ErrNotYetValid: "the access token is not valid yet",
	ErrBound:       "the access token is bound to a key and cannot be used as a bearer token",
	ErrScope:       "the access token lacks a scope that is needed here",
}

// Error says what failing the check means, fit to be shown to the caller.
func (c Check) Error() string { return descriptions[c] }

// An Error says why a token was refused. Its text may quote the token's claims,
// so it belongs in a log; what a caller may read is Check.Error.
type Error struct {
	Check  Check
	Detail string        // what was found and what was wanted
	Ago    time.Duration // of ErrExpired: since when, in whole seconds
	Err    error         // the cause, where there is one
}

// Error joins the check, the detail and the cause.
func (e *Error) Error() string {
	s := "verify: " + string(e.Check)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap lets errors.Is and errors.As find the check and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Check}
	}
	return []error{e.Check, e.Err}
}

func refuse(c Check, format string, args ...any) *Error {
	return &Error{Check: c, Detail: fmt.Sprintf(format, args...)}
}

// quote keeps what a stranger wrote short and free of control characters.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
