// Package jwks is the published keys of others: clients that sign assertions,
// upstream providers that sign ID tokens. It knows which keys may verify what,
// and for how long fetched ones are kept. It knows no client, no provider and
// no claim.
package jwks

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// MaxKeys is how many keys a set may have.
const MaxKeys = 16

// Parse reads a set and leaves out the keys that verify nothing here.
func Parse(raw []byte) (*jose.JSONWebKeySet, error) {
	set := new(jose.JSONWebKeySet)
	if err := json.Unmarshal(raw, set); err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	if len(set.Keys) > MaxKeys {
		return nil, fmt.Errorf("there are %d keys, more than %d", len(set.Keys), MaxKeys)
	}
	set.Keys = slices.DeleteFunc(set.Keys, func(k jose.JSONWebKey) bool { return Problem(k) != "" })
	return set, nil
}

// Fitting are the keys that may verify a signature of this algorithm by the
// key with this id; without an id, any.
func Fitting(set *jose.JSONWebKeySet, kid, algorithm string) []jose.JSONWebKey {
	var fit []jose.JSONWebKey
	for _, k := range set.Keys {
		if kid != "" && k.KeyID != kid || k.Use == "enc" || k.Algorithm != "" && k.Algorithm != algorithm {
			continue
		}
		if Problem(k) == "" {
			fit = append(fit, k)
		}
	}
	return fit
}

// Problem says why nobody may sign with a key, or is empty.
func Problem(k jose.JSONWebKey) string {
	if !k.Valid() || !k.IsPublic() {
		return "must be public keys"
	}
	if r, ok := k.Key.(*rsa.PublicKey); ok && r.N.BitLen() < 2048 {
		return "has an RSA key shorter than 2048 bits"
	}
	return ""
}
