package provider

import (
	"context"
	"errors"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// pollDevice is the device_code grant (RFC 8628 §3.4). A poll that finds the
// person's yes spends the code and makes its grant in one transaction.
func (p *Provider) pollDevice(ctx context.Context, t *tokenRequest) (*tokenResponse, error) {
	if t.get("device_code") == "" {
		return nil, invalidRequest("device_code is missing")
	}
	access, id, err := p.signers(ctx, t.client)
	if err != nil {
		return nil, err
	}
	first := p.refresh.first()
	poll := storage.DevicePoll{
		Code: storage.NewDigest(storage.DeviceSecret, t.get("device_code")), ClientID: t.client.ID,
		GrantID: newID(), TokenLifetime: t.lifetimes.AccessToken, Now: t.now,
	}
	if allowsGrant(t.client, refreshGrant) {
		poll.RefreshIdle, poll.RefreshExpiresAt = t.lifetimes.RefreshIdle, t.now.Add(t.lifetimes.RefreshMax)
		poll.Handle, poll.Refresh = first.storedHandle(), first.digest()
	}
	g, err := p.store.Devices.Poll(ctx, poll)
	if err != nil {
		return nil, p.refusePoll(ctx, err)
	}
	p.log.InfoContext(ctx, "device answered", "client", t.client.ID, "user", g.UserID, "grant", g.ID)
	resources, err := narrowed(t, g.Resources)
	if err != nil {
		return nil, err
	}
	response, err := p.issue(ctx, t, g, access, id, g.Scopes, resources, "")
	if err == nil && g.Refreshable() {
		response.RefreshToken = p.refresh.write(first, 0)
	}
	return response, err
}

// refusePoll says what a poll without tokens means (RFC 8628 §3.5). Who holds a
// code that is not theirs learns nothing of it.
func (p *Provider) refusePoll(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, storage.ErrPending):
		return &oidc.Error{ErrorType: oidc.AuthorizationPending, Description: "the person has not answered yet"}
	case errors.Is(err, storage.ErrTooSoon):
		return &oidc.Error{ErrorType: oidc.SlowDown, Description: "the device polls too fast: wait 5 seconds longer from now on"}
	case errors.Is(err, storage.ErrDenied):
		return accessDenied("the person declined, or their account or session ended meanwhile")
	case errors.Is(err, storage.ErrExpired):
		return &oidc.Error{ErrorType: oidc.ExpiredToken, Description: "the device code has expired: ask for a new one"}
	case errors.Is(err, storage.ErrReused):
		return invalidGrant("the device code was used already: what it gave is revoked")
	case errors.Is(err, storage.ErrMismatch), errors.Is(err, storage.ErrNotFound):
		return invalidGrant("the device code is unknown, or another client's")
	}
	return p.lost(ctx, "poll a device code", err)
}
