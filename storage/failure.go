package storage

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Failure is why a sign-in, or another journey of a browser, ended badly: what
// an administrator is told for the code on the error page. It never holds a
// password, code, token, secret, state or nonce.
type Failure struct {
	// Code stands on the page. It is the id of the request, so the log line and
	// the events of the same request are found by it too.
	Code string
	At   time.Time
	// Kind is what was wrong: the request parameter ("redirect_uri"), a step of a
	// federated sign-in ("upstream.nonce"), or the state of a request ("request.expired").
	Kind     string
	ClientID string
	Upstream string // the id of the upstream; empty: none has a part in it
	// Sent and Expected are the value that was refused, and what would not have been.
	Sent     string
	Expected string
	Details  map[string]string
	// Answered: the client was sent the error, as the standard has it. No page
	// was shown, and the code stands in the log alone.
	Answered bool
}

// NewFailure returns a failure of the request that ctx belongs to.
func NewFailure(ctx context.Context, now time.Time, kind string) *Failure {
	return &Failure{Code: OriginOf(ctx).RequestID, At: now, Kind: kind}
}

// The bounds of what is kept of one failure, in bytes.
const (
	maxFailureName    = 256 // kinds, ids and the names of details
	maxFailureValue   = 2048
	maxFailureDetails = 16
)

// Bounded is f as it is kept: strangers choose what stands in it, so it is cut,
// without what looks like a secret, and text that every database stores.
func (f *Failure) Bounded() *Failure {
	b := *f
	for _, name := range []*string{&b.Code, &b.Kind, &b.ClientID, &b.Upstream} {
		*name = bounded(*name, maxFailureName)
	}
	b.Sent, b.Expected = bounded(f.Sent, maxFailureValue), bounded(f.Expected, maxFailureValue)
	b.Details = make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(f.Details)) {
		if len(b.Details) == maxFailureDetails {
			break
		}
		b.Details[bounded(name, maxFailureName)] = bounded(f.Details[name], maxFailureValue)
	}
	return &b
}

func bounded(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	return secretShape.ReplaceAllString(s, "${1}…")
}

// secretShape are our own secrets by their prefixes, JWTs, and the client
// secrets of Google, pasted where they do not belong.
var secretShape = regexp.MustCompile(`\b(gh[a-z]_|eyJ|GOCSPX-)[0-9A-Za-z._-]{8,}`)

// FailuresKept is how long a failure can be explained.
const FailuresKept = 7 * 24 * time.Hour

// Failures keeps failures for FailuresKept. Whoever can open a page can make
// one, so what is kept is bounded: so many of one network, so many of one node
// and so many in all, of which the oldest leave first.
type Failures interface {
	// Note keeps f, unless there were too many, which is no error, or its code has
	// one already: the first is what went wrong. It is brief where the database does not answer.
	Note(ctx context.Context, f *Failure) error
	// Get returns the failure with this code: ErrNotFound where none is kept.
	Get(ctx context.Context, code string) (*Failure, error)
	// ListByUpstream returns at most limit failures at an upstream since then, newest first.
	ListByUpstream(ctx context.Context, upstream string, since time.Time, limit int) ([]*Failure, error)
}
