package storage

import (
	"context"
	"errors"
	"time"
)

// A DeviceRequest is a device without a browser that waits until a person
// allows it, elsewhere, what it asks for (RFC 8628).
type DeviceRequest struct {
	UserCode  string // what the person types: letters alone
	ClientID  string
	Scopes    []string
	Resources []string // RFC 8707, as asked for
	Offline   bool     // what it gives outlives the session of whoever allows it
	CreatedAt time.Time
	ExpiresAt time.Time
	Interval  time.Duration // between two polls; grows where the device polls faster
	// IP and UserAgent are of the device, for the person to recognise it by.
	IP        string
	UserAgent string
}

// A DevicePoll presents a device code, with what the grant takes that begins
// where a person has allowed it.
type DevicePoll struct {
	Code     Digest
	ClientID string

	GrantID       string
	TokenLifetime time.Duration
	// RefreshIdle zero: no refresh token. Handle and Refresh are the one that begins.
	RefreshIdle      time.Duration
	RefreshExpiresAt time.Time
	Handle           string
	Refresh          Digest
	Now              time.Time
}

// SlowDownBy is how much longer a device must wait between two polls each time
// it did not wait long enough (RFC 8628 §3.5).
const SlowDownBy = 5 * time.Second

// The errors of Devices.Poll, beside those of every drawer.
var (
	// ErrPending: nobody has answered yet.
	ErrPending = errors.New("not answered yet")
	// ErrTooSoon: nobody has answered yet, and the device did not wait its interval.
	ErrTooSoon = errors.New("polled too soon")
	// ErrDenied: the person declined, or what they allowed ended meanwhile.
	ErrDenied = errors.New("denied")
)

// Devices keeps the devices that wait. Each is answered once, and an answer of
// yes is collected once.
type Devices interface {
	// Create stores d with the digest of its device code: ErrExists where another
	// device that still waits has this user code.
	Create(ctx context.Context, d *DeviceRequest, code Digest) error
	// Find returns the device that waits under this user code: ErrNotFound where
	// there is none, ErrExpired, or ErrReused where it was answered.
	Find(ctx context.Context, userCode string, now time.Time) (*DeviceRequest, error)
	// Approve notes the yes of the session's user, and adds the consent, where
	// there is one, to what they allowed the client. The errors of Find;
	// ErrNotFound also where user or session are not alive.
	Approve(ctx context.Context, userCode string, by *Session, remember *Consent, now time.Time, e *Event) error
	// Deny notes the no of this user, with the errors of Find.
	Deny(ctx context.Context, userCode, userID string, now time.Time, e *Event) error
	// Poll spends an approved device code and returns the grant that begins with
	// it: alive in the sense of Grants, or ErrDenied. ErrPending and ErrTooSoon
	// note the poll. A code spent before revokes its grant: ErrReused. Another
	// client's, ErrMismatch, changes nothing, nor do ErrExpired and ErrNotFound.
	Poll(ctx context.Context, p DevicePoll) (*Grant, error)
}
