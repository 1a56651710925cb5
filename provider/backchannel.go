package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// A Poster tells others something, with all the care that needs.
type Poster interface {
	// PostForm posts a form and returns the status that was answered. An error
	// says that there was no answer, or none that counts.
	PostForm(ctx context.Context, address string, form url.Values) (status int, err error)
}

const (
	// deliverEvery is how often a worker looks for what is due.
	deliverEvery = time.Second
	// deliverAtOnce bounds what one worker sends at a time.
	deliverAtOnce = 32
	// deliverLease is how long a claimed delivery is nobody else's: well above
	// the time that one exchange may take. A worker that dies leaves it to
	// another one then.
	deliverLease = 30 * time.Second
	// logoutTokenLife is what §2.4 recommends at most: it is made when it is sent.
	logoutTokenLife = 2 * time.Minute
	// logoutEvent is the member of events that says what the token is (§2.4).
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
	// longestReason bounds what a receipt says of an error, in bytes.
	longestReason = 500
)

// deliverPauses are the pauses after each try but the last.
var deliverPauses = []time.Duration{
	10 * time.Second, 30 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
}

// logoutClaims are the claims of a logout token (OpenID Connect Back-Channel
// Logout §2.4). There is no nonce, so that it cannot be taken for an ID token.
type logoutClaims struct {
	Issuer    string                         `json:"iss"`
	Subject   string                         `json:"sub"`
	Audience  string                         `json:"aud"`
	IssuedAt  int64                          `json:"iat"`
	ExpiresAt int64                          `json:"exp"`
	ID        string                         `json:"jti"`
	Events    map[string]map[string]struct{} `json:"events"`
	SessionID string                         `json:"sid"`
}

// Deliver tells clients of the sessions that ended, until ctx ends; any number
// of nodes may run it. What is under way then is finished first.
func (p *Provider) Deliver(ctx context.Context) error {
	if p.tell == nil {
		return nil
	}
	tick := time.NewTicker(deliverEvery)
	defer tick.Stop()
	for {
		n, err := p.deliverDue(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "claim deliveries", "error", err)
		}
		if n == deliverAtOnce && ctx.Err() == nil {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// deliverDue sends what is due, and returns how many that was.
func (p *Provider) deliverDue(ctx context.Context) (int, error) {
	claiming, cancel := context.WithTimeout(ctx, deliverLease)
	defer cancel()
	due, err := p.store.Deliveries.Claim(claiming, p.now(), deliverLease, deliverAtOnce)
	if err != nil {
		return 0, err
	}
	// A worker that stops still says what came of what it sent, until its claims
	// are another's.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), deliverLease)
	defer cancel()
	var sending sync.WaitGroup
	for _, d := range due {
		sending.Go(func() { p.settle(ctx, d, p.send(ctx, d)) })
	}
	sending.Wait()
	return len(due), nil
}

// An outcome is what came of sending a delivery.
type outcome struct {
	sid    string
	status int
	err    error
	// final: trying again would end in the same way.
	final bool
}

// send makes the logout token, now, and posts it to the client (§2.5).
func (p *Provider) send(ctx context.Context, d *storage.Delivery) outcome {
	o := outcome{sid: sid(d.SessionID, d.ClientID)}
	// A disabled client is told too: its users are signed out of it. Memory may
	// hold an older address.
	client, err := p.store.Clients.Get(ctx, d.ClientID)
	if err != nil {
		o.err = fmt.Errorf("read the client: %w", err)
		o.final = errors.Is(err, storage.ErrNotFound)
		return o
	}
	if client.Metadata.BackchannelLogoutURI == "" {
		o.err, o.final = errors.New("the client has no backchannel_logout_uri any more"), true
		return o
	}
	token, err := p.logoutToken(client, d.UserID, o.sid)
	if err != nil {
		o.err = err
		return o
	}
	o.status, o.err = p.tell.PostForm(ctx, client.Metadata.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	if o.err != nil {
		return o
	}
	switch o.status {
	case http.StatusOK, http.StatusNoContent: // §2.8: frameworks answer an empty body so
	case http.StatusBadRequest:
		// §2.8: the client read the token, and refuses it or could not sign out.
		o.err, o.final = errors.New("the client refused it"), true
	default:
		o.err = fmt.Errorf("the client answered %d", o.status)
	}
	return o
}

// logoutToken says to the client that this session of this user is over.
func (p *Provider) logoutToken(c *storage.Client, subject, sid string) (string, error) {
	algorithm := c.Metadata.IDTokenSignedAlg // §2.4: signed as its ID tokens are
	if algorithm == "" {
		algorithm = keys.RS256
	}
	signer, err := p.keys.Signer(algorithm)
	if err != nil {
		return "", fmt.Errorf("sign a logout token with %s: %w", algorithm, err)
	}
	now := p.now()
	return signer.Sign(keys.TypeLogoutToken, &logoutClaims{
		Issuer: p.issuer, Subject: subject, Audience: c.ID, SessionID: sid, ID: newID(),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(logoutTokenLife).Unix(),
		Events: map[string]map[string]struct{}{logoutEvent: {}},
	})
}

// settle writes what came of it: a receipt, or when to try again.
func (p *Provider) settle(ctx context.Context, d *storage.Delivery, o outcome) {
	now := p.now()
	a := storage.Attempt{ID: d.ID, Tries: d.Tries, State: storage.Delivered, Status: o.status, At: now}
	name := "logout.delivered"
	if o.err != nil {
		a.Error = shortened(o.err.Error())
		a.State, name = storage.Undelivered, "logout.undelivered"
		if tried := int(d.Tries); !o.final && tried <= len(deliverPauses) {
			a.State, a.DueAt, name = storage.Waiting, now.Add(deliverPauses[tried-1]), ""
		}
		p.log.WarnContext(ctx, "tell a client of a sign-out", "client", d.ClientID, "try", d.Tries, "state", a.State, "error", o.err)
	}
	var e *storage.Event
	if name != "" {
		e = storage.NewEvent(ctx, now, name, d.UserID)
		e.ClientID = d.ClientID
		e.Details = map[string]string{"sid": o.sid, "tries": strconv.FormatInt(d.Tries, 10), "status": strconv.Itoa(o.status)}
		if a.Error != "" {
			e.Details["reason"] = a.Error
		}
	}
	err := p.store.Deliveries.Settle(ctx, a, e)
	if err != nil && !errors.Is(err, storage.ErrConflict) { // a conflict: another worker has it now
		p.log.ErrorContext(ctx, "settle a delivery", "error", err)
	}
}

// shortened is an error's text as a receipt keeps it.
func shortened(text string) string {
	if len(text) > longestReason {
		text = text[:longestReason]
	}
	return strings.ToValidUTF8(text, "")
}
