// Package keys makes, keeps and rotates the keys that sign tokens, and seals
// them at rest. It knows the clock's timetable and the Keys drawer; it knows
// no HTTP, no client and no claim.
package keys

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
)

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = 32

// ErrSealed: nothing listed opens this, or it was changed, or it is another's.
var ErrSealed = errors.New("does not open under any master key")

// A Master is the list of master keys: the first seals, every listed one
// opens. From each, purposes derive keys of their own (HKDF-SHA-256).
type Master struct{ keys []masterKey }

type masterKey struct {
	secret []byte
	id     []byte // in front of what it sealed
	aead   cipher.AEAD
}

// LogValue keeps the keys out of logs.
func (m *Master) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// NewMaster takes master keys of 32 bytes, the sealing one first.
func NewMaster(keys ...[]byte) (*Master, error) {
	if len(keys) == 0 {
		return nil, errors.New("no master key")
	}
	m := new(Master)
	for i, secret := range keys {
		if len(secret) != MasterKeySize {
			return nil, fmt.Errorf("master key %d has %d bytes, not %d", i+1, len(secret), MasterKeySize)
		}
		block, err := aes.NewCipher(derive(secret, "seal"))
		if err != nil {
			return nil, fmt.Errorf("master key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("master key %d: %w", i+1, err)
		}
		m.keys = append(m.keys, masterKey{secret: bytes.Clone(secret), id: derive(secret, "id")[:4], aead: aead})
	}
	return m, nil
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "gatehouse "+purpose, sha256.Size)
	if err != nil {
		panic(fmt.Sprintf("keys: derive: %v", err)) // only for lengths that are not ours
	}
	return key
}

// Seal encrypts plaintext with AES-256-GCM, bound to what it is (aad).
func (m *Master) Seal(aad string, plaintext []byte) []byte {
	k := m.keys[0]
	return k.aead.Seal(bytes.Clone(k.id), nil, plaintext, []byte(aad))
}

// Open decrypts what Seal made under any listed key: ErrSealed otherwise.
func (m *Master) Open(aad string, sealed []byte) ([]byte, error) {
	for _, k := range m.keys {
		blob, ours := bytes.CutPrefix(sealed, k.id)
		if !ours {
			continue
		}
		if plaintext, err := k.aead.Open(nil, nil, blob, []byte(aad)); err == nil {
			return plaintext, nil
		}
	}
	return nil, ErrSealed
}

// Derive returns one 32-byte key for purpose from each listed master key, in order.
func (m *Master) Derive(purpose string) [][]byte {
	all := make([][]byte, len(m.keys))
	for i, k := range m.keys {
		all[i] = derive(k.secret, purpose)
	}
	return all
}
