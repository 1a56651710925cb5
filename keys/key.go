package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/storage"
)

// The algorithms a client may choose.
const (
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// Algorithms lists them in the order that documents show.
var Algorithms = []string{RS256, PS256, ES256, EdDSA}

const rsaBits = 2048

// generate makes a key pair of this algorithm.
func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("unknown algorithm %q", algorithm)
}

// aad binds a sealed private key to its row.
func aad(kid string) string { return "signing_keys.sealed:" + kid }

// newKey makes the next generation of an algorithm.
func newKey(m *Master, algorithm string, generation int64, now, signAt time.Time) (*storage.SigningKey, error) {
	private, err := generate(algorithm)
	if err != nil {
		return nil, fmt.Errorf("make %s key: %w", algorithm, err)
	}
	kid := rand.Text()[:16]
	public, err := json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: kid, Algorithm: algorithm, Use: "sig"})
	if err != nil {
		return nil, fmt.Errorf("encode %s key: %w", algorithm, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode %s key: %w", algorithm, err)
	}
	return &storage.SigningKey{
		ID: kid, Algorithm: algorithm, Generation: generation, Public: public,
		Sealed: m.Seal(aad(kid), der), CreatedAt: now, SignAt: signAt,
	}, nil
}

// A loaded key is a row made ready: its public half, and its signer.
type loaded struct {
	public jose.JSONWebKey
	signer *Signer
}

// load opens a row and lets it sign and verify a probe, so that a damaged key
// is found here and not by a relying party.
func load(m *Master, row *storage.SigningKey) (*loaded, error) {
	l := new(loaded)
	if err := json.Unmarshal(row.Public, &l.public); err != nil {
		return nil, fmt.Errorf("signing key %s: its public key is damaged: %w", row.ID, err)
	}
	if !l.public.IsPublic() || l.public.KeyID != row.ID || l.public.Algorithm != row.Algorithm {
		return nil, fmt.Errorf("signing key %s: its public key is another key's", row.ID)
	}
	der, err := m.Open(aad(row.ID), row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key %s %w: the master key is not the one it was sealed with, or the row is damaged", row.ID, err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	if l.signer, err = newSigner(row.ID, row.Algorithm, private); err != nil {
		return nil, fmt.Errorf("signing key %s: %w", row.ID, err)
	}
	if err := l.probe(); err != nil {
		return nil, fmt.Errorf("signing key %s does not verify its own signature: %w", row.ID, err)
	}
	return l, nil
}

func (l *loaded) probe() error {
	token, err := l.signer.Sign("probe", map[string]string{"probe": rand.Text()})
	if err != nil {
		return err
	}
	_, err = verify(token, func(string) (*loaded, error) { return l, nil }, "probe")
	return err
}

// A Signer signs with one key. It is ready for use by many goroutines.
type Signer struct {
	KeyID     string
	Algorithm string
	private   any
	// byType keeps go-jose's signers, which are made for one typ.
	byType map[string]jose.Signer
}

// The typ headers that have a signer ready.
const (
	TypeJWT         = "JWT"
	TypeAccessToken = "at+jwt"     // RFC 9068 §2.1
	TypeLogoutToken = "logout+jwt" // OpenID Connect Back-Channel Logout §2.4
)

func newSigner(kid, algorithm string, private any) (*Signer, error) {
	s := &Signer{KeyID: kid, Algorithm: algorithm, private: private, byType: make(map[string]jose.Signer)}
	for _, typ := range []string{TypeJWT, TypeAccessToken, TypeLogoutToken, "probe"} {
		js, err := jose.NewSigner(
			jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: private, KeyID: kid}},
			(&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
		if err != nil {
			return nil, err
		}
		s.byType[typ] = js
	}
	return s, nil
}

// Sign returns the compact JWS of claims, which are marshalled to JSON, with
// this typ in its header.
func (s *Signer) Sign(typ string, claims any) (string, error) {
	signer, ok := s.byType[typ]
	if !ok {
		return "", fmt.Errorf("no signer for typ %q", typ)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return jws.CompactSerialize()
}

// What Verify refuses.
var (
	// ErrUnknownKey: no published key has this kid.
	ErrUnknownKey = errors.New("no published key has this kid")
	// ErrMalformed: not a compact JWS as we make them.
	ErrMalformed = errors.New("not a compact JWS")
	// ErrType: a token of another kind.
	ErrType = errors.New("a token of another type")
	// ErrSignature: the signature is not this key's.
	ErrSignature = errors.New("signature does not verify")
)
