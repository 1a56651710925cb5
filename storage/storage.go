// Package storage is the contract between gatehouse and the database: the
// records, one small interface for each drawer of them, and the errors. It
// knows what must be whole and what must happen once. It knows no driver, no
// SQL, no HTTP and no clock: whoever calls passes the time.
package storage

import "errors"

// A Store is a cabinet of drawers. A part that needs one drawer takes that
// interface; a test that needs a failing drawer embeds the interface,
// overrides one method and puts it back.
type Store struct {
	Clients      Clients
	Users        Users
	Credentials  Credentials
	Guesses      Guesses
	Identities   Identities
	Sessions     Sessions
	Flows        Flows
	Consents     Consents
	Grants       Grants
	Deliveries   Deliveries
	Devices      Devices
	AccessTokens AccessTokens
	Revocations  Revocations
	Used         Used
	Keys         Keys
	Events       Events
	Traces       Traces
	Failures     Failures
	Changes      Changes
	Setup        Setup
}

// The errors of every drawer, told apart with errors.Is. Any other error is
// the database's own and means that nothing was decided.
var (
	// ErrNotFound: there is no such record, or none that is still alive.
	ErrNotFound = errors.New("not found")
	// ErrExists: a record with this name or number is there already.
	ErrExists = errors.New("exists already")
	// ErrExpired: the record was there and its time is over.
	ErrExpired = errors.New("expired")
	// ErrReused: something that may be spent once was presented again.
	ErrReused = errors.New("used already")
	// ErrMismatch: the record is alive, and not for whoever presented it.
	ErrMismatch = errors.New("does not match")
	// ErrConflict: the record changed since it was read.
	ErrConflict = errors.New("changed meanwhile")
	// ErrLastAdmin: the act would leave no enabled administrator.
	ErrLastAdmin = errors.New("the last administrator")
	// ErrLastWay: the act would leave a user no way to sign in.
	ErrLastWay = errors.New("the last way to sign in")
)
