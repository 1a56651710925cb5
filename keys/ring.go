package keys

import (
	"context"
	"errors"
	"log/slog"
	"time"

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

var (
	// ErrNotActive: no key of this algorithm signs now.
	ErrNotActive = errors.New("no active key of this algorithm")
	// ErrUnknownKey: no published key has this kid.
	ErrUnknownKey = errors.New("unknown key")
)

// A Timetable says when keys of each generation are made, sign and go.
type Timetable struct {
	RotateEvery time.Duration // how long one generation signs
	PublishLead time.Duration // from publishing a key to signing with it: more than JWKS cache time + reread + clock skew
	KeepAfter   time.Duration // published after its last signature: the longest token lifetime + skew
}

// Config is what a Ring is made from.
type Config struct {
	Store      storage.Keys
	Changes    storage.Changes
	Master     *Master
	Timetable  Timetable
	JWKSMaxAge time.Duration    // of the Cache-Control of the JWKS
	Reread     time.Duration    // how often the change counter is read; default 1 s
	Now        func() time.Time // default time.Now
	Log        *slog.Logger
}

// A Ring is the signing keys of all algorithms as this node knows them.
type Ring struct{}

// NewRing returns a ring that knows nothing yet; Start loads it.
func NewRing(c Config) *Ring { panic("stub") }

// Start loads the keys and makes the first RS256 and ES256 ones where there
// are none. It refuses keys that do not open under the master key, or do not
// sign and verify a probe.
func (r *Ring) Start(ctx context.Context) error { panic("stub") }

// Run makes the other algorithms' keys, rereads and rotates until ctx ends.
func (r *Ring) Run(ctx context.Context) error { panic("stub") }

// A Signer signs with one key.
type Signer struct {
	KeyID     string
	Algorithm string
}

// Signer returns the key of this algorithm that signs now, or ErrNotActive.
func (r *Ring) Signer(algorithm string) (*Signer, error) { panic("stub") }

// Sign returns the compact JWS of claims, which are marshalled to JSON, with
// this typ in its header.
func (s *Signer) Sign(typ string, claims any) (string, error) { panic("stub") }

// Verify checks a compact JWS of ours: one of our published keys, its
// algorithm, and typ (compared without case and "application/"; one of types).
// It returns the payload.
func (r *Ring) Verify(token string, types ...string) (payload []byte, err error) { panic("stub") }

// JWKS returns the published key set as finished bytes, and its cache time.
func (r *Ring) JWKS() (body []byte, maxAge time.Duration) { panic("stub") }

// Active lists the algorithms that can sign now.
func (r *Ring) Active() []string { panic("stub") }

// A State is where a key stands in its life.
type State string

// The states: published but not signing, signing, published after signing, gone.
const (
	Next     State = "next"
	Active   State = "active"
	Retiring State = "retiring"
	Gone     State = "gone"
)

// Status is a key as an administrator sees it.
type Status struct {
	Key       *storage.SigningKey
	State     State
	SignsFrom time.Time
	SignsTo   time.Time // zero while no successor is planned
	GoneAt    time.Time // zero while no successor is planned
}

// Status lists every key with its state, newest generation first within its algorithm.
func (r *Ring) Status(ctx context.Context) ([]Status, error) { panic("stub") }

// Rotate makes the next generation of the algorithm now; it signs after the
// publish lead. It needs no Run.
func (r *Ring) Rotate(ctx context.Context, algorithm string) (*storage.SigningKey, error) {
	panic("stub")
}

// Retire stops a key at once. It refuses one without an active successor.
func (r *Ring) Retire(ctx context.Context, kid string) error { panic("stub") }
