// Package keys makes, keeps and rotates the keys that sign tokens, and seals
// them at rest. It knows the clock's timetable and the Keys drawer; it knows
// no HTTP, no client and no claim.
package keys

// A Master is the list of master keys: the first seals, every listed one
// opens. From each, purposes derive keys of their own (HKDF-SHA-256).
type Master struct{ keys [][]byte }

// NewMaster takes master keys of 32 bytes, the sealing one first.
func NewMaster(keys ...[]byte) (*Master, error) { panic("stub") }

// Seal encrypts plaintext with AES-256-GCM, bound to what it is (aad).
func (m *Master) Seal(aad string, plaintext []byte) []byte { panic("stub") }

// Open decrypts what Seal made under any listed key.
func (m *Master) Open(aad string, sealed []byte) ([]byte, error) { panic("stub") }

// Derive returns one 32-byte key for purpose from each listed master key, in order.
func (m *Master) Derive(purpose string) [][]byte { panic("stub") }
