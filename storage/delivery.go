package storage

import (
	"context"
	"time"
)

// A DeliveryState says what became of a delivery.
type DeliveryState string

// The states. A delivery that is not waiting is a receipt.
const (
	Waiting     DeliveryState = "waiting"
	Delivered   DeliveryState = "delivered"
	Undelivered DeliveryState = "undelivered" // given up
)

// A Delivery is a sign-out that a client is to be told of (OpenID Connect
// Back-Channel Logout). Every act that ends a session, or a grant for its
// user's or client's sake, queues one in its own transaction for each client
// with a back-channel logout URI that has a grant of that session.
type Delivery struct {
	ID         string
	ClientID   string
	UserID     string // there may be no such user any more
	SessionID  string
	State      DeliveryState
	CreatedAt  time.Time
	DueAt      time.Time // of a claimed one: when the lease ends
	Tries      int64     // claims so far
	LastStatus int       // that was answered; 0: there was no answer
	LastError  string
	FinishedAt time.Time // zero while it waits
}

// An Attempt is what came of a claimed delivery.
type Attempt struct {
	ID     string
	Tries  int64 // of the claim, so that a worker whose lease was lost decides nothing
	State  DeliveryState
	Status int
	Error  string
	At     time.Time
	DueAt  time.Time // where it waits: when to try again
}

// Deliveries keeps what clients are to be told.
type Deliveries interface {
	// Claim leases up to limit deliveries that are due, least tried and then
	// longest due first: no other claim gets them before lease is over. It counts
	// as a try.
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]*Delivery, error)
	// Settle writes what came of a claim: ErrConflict where the delivery is
	// finished, or was claimed again since.
	Settle(ctx context.Context, a Attempt, e *Event) error
	// ListBySession returns the deliveries of a session, receipts too, oldest first.
	ListBySession(ctx context.Context, sessionID string) ([]*Delivery, error)
}
