package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// DevicePath is where a person types the code of a device, below the issuer's path.
const DevicePath = "/device"

const (
	deviceLifetime = 10 * time.Minute // how long a device waits for its person
	deviceInterval = 5 * time.Second  // between two polls, to begin with
)

// A deviceResponse is RFC 8628 §3.2's.
type deviceResponse struct {
	DeviceCode              string `json:"device_code"`
	UserCode                string `json:"user_code"`
	VerificationURI         string `json:"verification_uri"`
	VerificationURIComplete string `json:"verification_uri_complete"`
	ExpiresIn               int64  `json:"expires_in"` // seconds
	Interval                int64  `json:"interval"`   // seconds
}

// serveDevice is the device authorization endpoint (RFC 8628 §3.1). The client
// is authenticated as at the token endpoint, and what it asks for is judged
// before anybody is bothered with it.
func (p *Provider) serveDevice(w http.ResponseWriter, r *http.Request) {
	f, client := p.authenticated(w, r)
	if f == nil {
		return
	}
	d, err := p.askedDevice(r.Context(), f, client)
	if err != nil {
		p.writeError(w, r, err)
		return
	}
	code := newSecret("ghd_")
	if err := p.createDevice(r.Context(), d, storage.NewDigest(storage.DeviceSecret, code)); err != nil {
		p.writeError(w, r, p.lost(r.Context(), "store a device", err))
		return
	}
	p.log.InfoContext(r.Context(), "device waits", "client", client.ID)
	shown := ShowUserCode(d.UserCode)
	writeJSON(w, http.StatusOK, deviceResponse{
		DeviceCode: code, UserCode: shown,
		VerificationURI:         p.issuer + DevicePath,
		VerificationURIComplete: p.issuer + DevicePath + "?user_code=" + url.QueryEscape(shown),
		ExpiresIn:               int64(deviceLifetime / time.Second), Interval: int64(deviceInterval / time.Second),
	})
}

// askedDevice judges what a device asks for, as an authorization request.
func (p *Provider) askedDevice(ctx context.Context, f *form, c *storage.Client) (*storage.DeviceRequest, error) {
	if !allowsGrant(c, deviceGrant) {
		return nil, unauthorizedClient("the client did not register the grant type " + deviceGrant)
	}
	scopes, err := askedScopes(f.get("scope"), c)
	if err != nil {
		return nil, err
	}
	resources, err := askedResources(f.resources, c)
	if err != nil {
		return nil, err
	}
	now, from := p.now(), storage.OriginOf(ctx)
	return &storage.DeviceRequest{
		ClientID: c.ID, Scopes: scopes, Resources: resources, Offline: slices.Contains(scopes, oidc.ScopeOfflineAccess),
		CreatedAt: now, ExpiresAt: now.Add(deviceLifetime), Interval: deviceInterval, IP: from.IP, UserAgent: from.UserAgent,
	}, nil
}

// createDevice stores d under a user code that no waiting device has.
func (p *Provider) createDevice(ctx context.Context, d *storage.DeviceRequest, code storage.Digest) (err error) {
	for range 5 {
		d.UserCode = newUserCode()
		if err = p.store.Devices.Create(ctx, d, code); !errors.Is(err, storage.ErrExists) {
			return err
		}
	}
	return err
}

// A PendingDevice is a device that waits, as a page shows it to the person who
// typed its code.
type PendingDevice struct {
	Step     Step   // SignIn: nobody is signed in, and nothing more is told; else Consent
	UserCode string // as ReadUserCode returns it
	Client   *storage.Client
	// Scopes are asked for; NewScopes, of these, not yet allowed by this user.
	Scopes    []string
	NewScopes []string
	// CreatedAt and Age say when the device asked, IP and UserAgent from where.
	// What a device says of itself proves nothing.
	CreatedAt time.Time
	Age       time.Duration
	IP        string
	UserAgent string
	Session   *storage.Session
	User      *storage.User
}

// Device returns the device that waits under this user code. It is asked for
// by somebody who is signed in: whoever guesses codes needs a session, in which
// wrong ones are counted. The errors are those of storage.Devices.Find.
func (p *Provider) Device(r *http.Request, userCode string) (*PendingDevice, error) {
	session, user, err := p.pages.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return &PendingDevice{Step: SignIn, UserCode: userCode}, nil
	case err != nil:
		return nil, err
	}
	now := p.now()
	d, err := p.store.Devices.Find(r.Context(), userCode, now)
	if err != nil {
		return nil, err
	}
	client, err := p.knownClient(r.Context(), d.ClientID)
	if err != nil {
		return nil, err
	}
	allowed, err := p.store.Consents.Get(r.Context(), user.ID, client.ID)
	if err != nil {
		return nil, err
	}
	return &PendingDevice{
		Step: Consent, UserCode: d.UserCode, Client: client, Scopes: d.Scopes,
		NewScopes: beyond(allowed.Scopes, d.Scopes),
		CreatedAt: d.CreatedAt, Age: now.Sub(d.CreatedAt), IP: d.IP, UserAgent: d.UserAgent, Session: session, User: user,
	}, nil
}

// ApproveDevice notes the yes of whoever is signed in to the device with this
// user code; its grant will be this session's. It answers with the errors of
// Device, and storage.ErrNotFound where nobody is signed in.
func (p *Provider) ApproveDevice(r *http.Request, userCode string) error {
	d, err := p.answering(r, userCode)
	if err != nil {
		return err
	}
	now := p.now()
	var remember *storage.Consent
	if !d.Client.Metadata.SkipConsent {
		remember = &storage.Consent{UserID: d.User.ID, ClientID: d.Client.ID, Scopes: d.Scopes, GrantedAt: now}
	}
	return p.store.Devices.Approve(r.Context(), userCode, d.Session, remember, now, deviceEvent(r, now, "device.approved", d))
}

// DenyDevice notes the no, as ApproveDevice notes the yes.
func (p *Provider) DenyDevice(r *http.Request, userCode string) error {
	d, err := p.answering(r, userCode)
	if err != nil {
		return err
	}
	now := p.now()
	return p.store.Devices.Deny(r.Context(), userCode, d.User.ID, now, deviceEvent(r, now, "device.denied", d))
}

func (p *Provider) answering(r *http.Request, userCode string) (*PendingDevice, error) {
	d, err := p.Device(r, userCode)
	if err == nil && d.Step != Consent {
		return nil, storage.ErrNotFound
	}
	return d, err
}

// deviceEvent says who answered which device, and where that is.
func deviceEvent(r *http.Request, now time.Time, name string, d *PendingDevice) *storage.Event {
	e := storage.NewEvent(r.Context(), now, name, d.User.ID)
	e.Actor, e.ClientID = d.User.ID, d.Client.ID
	e.Details = map[string]string{"device_address": d.IP, "device_user_agent": d.UserAgent}
	return e
}
