package storage

import (
	"context"
	"crypto/rand"
	"time"
)

// An Event is a line of the audit log. It never holds a password, code, token
// or secret.
type Event struct {
	ID        string
	At        time.Time
	Name      string // session.created, grant.revoked, client.created, …
	Actor     string // user id, "command line", "configuration file", or empty
	Subject   string // whom or what it is about: user, key, grant id
	ClientID  string
	IP        string
	UserAgent string
	Method    string
	Path      string
	RequestID string
	Details   map[string]string
}

// Events keeps the audit log. Acts that change who may do what take their
// event and store it in their own transaction; a nil event stores none.
type Events interface {
	Append(ctx context.Context, e *Event) error
	// List returns at most limit events older than before (zero: the newest), newest first.
	List(ctx context.Context, before time.Time, limit int) ([]*Event, error)
}

// An Origin is where an act came from.
type Origin struct {
	Actor     string
	IP        string
	Network   string // as counters take IP: many addresses may be one person's
	UserAgent string
	Method    string
	Path      string
	RequestID string
}

type originKey struct{}

// WithOrigin returns a context whose events name o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns what WithOrigin put there, or the zero Origin.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// NewEvent returns an event that happens now, from the origin in ctx.
func NewEvent(ctx context.Context, now time.Time, name, subject string) *Event {
	o := OriginOf(ctx)
	return &Event{
		ID: rand.Text(), At: now, Name: name, Subject: subject,
		Actor: o.Actor, IP: o.IP, UserAgent: o.UserAgent,
		Method: o.Method, Path: o.Path, RequestID: o.RequestID,
	}
}
