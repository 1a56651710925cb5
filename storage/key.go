package storage

import (
	"context"
	"time"
)

// A SigningKey is one generation of one algorithm's key.
type SigningKey struct {
	ID         string // kid
	Algorithm  string // RS256, PS256, ES256, EdDSA
	Generation int64
	Public     []byte // JWK, JSON
	Sealed     []byte // private key under the master key, bound to ID
	CreatedAt  time.Time
	SignAt     time.Time
	RetiredAt  time.Time // zero: the timetable alone decides
}

// Keys keeps the signing keys. Every change adds one to the counter "keys".
type Keys interface {
	// Add stores the next generation of an algorithm: ErrExists where another
	// node was first.
	Add(ctx context.Context, k *SigningKey, e *Event) error
	List(ctx context.Context) ([]*SigningKey, error)
	// Retire stops the key from signing and being published, from now.
	Retire(ctx context.Context, id string, now time.Time, e *Event) error
	// Delete removes a key whose last token has expired.
	Delete(ctx context.Context, id string, e *Event) error
}

// The counters of Changes.
const (
	ClientsChanged = "clients"
	KeysChanged    = "keys"
)

// Changes counts the changes of what nodes keep in memory.
type Changes interface {
	// Read returns every counter, in one statement.
	Read(ctx context.Context) (map[string]int64, error)
}
