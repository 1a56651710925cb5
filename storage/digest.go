package storage

import (
	"crypto/sha256"
	"database/sql/driver"
	"fmt"
)

// A Kind names what a secret is for. It enters the digest, so that a secret of
// one kind is never found where another kind is looked up.
type Kind string

// The kinds of secrets whose digests are stored.
const (
	CodeSecret    Kind = "code"
	RefreshSecret Kind = "refresh token"
	AccessSecret  Kind = "access token"
	DeviceSecret  Kind = "device code"
	SessionSecret Kind = "session cookie"
	BrowserSecret Kind = "browser cookie"
	ClientSecret  Kind = "client secret"
	SetupSecret   Kind = "set-up link"
	StateSecret   Kind = "upstream state"
)

// A Digest is SHA-256 over a secret and its kind, the only form in which a
// secret enters storage. The secrets are random, 128 bits or more, so a fast
// hash keeps them.
type Digest [sha256.Size]byte

// NewDigest returns the digest of a secret of this kind.
func NewDigest(kind Kind, secret string) Digest {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(secret))
	var d Digest
	h.Sum(d[:0])
	return d
}

// IsZero reports whether d is no digest at all.
func (d Digest) IsZero() bool { return d == Digest{} }

// Value stores a digest as bytes, and the zero digest as NULL.
func (d Digest) Value() (driver.Value, error) {
	if d.IsZero() {
		return nil, nil
	}
	return d[:], nil
}

// Scan reads what Value wrote.
func (d *Digest) Scan(src any) error {
	switch b := src.(type) {
	case nil:
		*d = Digest{}
		return nil
	case []byte:
		if len(b) == len(d) {
			copy(d[:], b)
			return nil
		}
	}
	return fmt.Errorf("scan digest: %T is not %d bytes", src, len(d))
}
