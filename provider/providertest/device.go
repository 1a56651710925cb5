package providertest

import (
	"net/http"
	"net/url"

	"gatehouse/provider"
	"gatehouse/storage"
)

// DeviceGrant is the grant type of RFC 8628.
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Device makes a client one for devices, without redirect URIs.
func Device(m *storage.ClientMetadata) {
	m.GrantTypes = []string{DeviceGrant, "refresh_token"}
	m.RedirectURIs, m.PostLogoutRedirectURIs = nil, nil
}

// PublicDevice makes a client one for devices, without a secret.
func PublicDevice(m *storage.ClientMetadata) {
	Device(m)
	m.TokenEndpointAuthMethod = "none"
}

// AskDevice asks for a device code; pairs change the request.
func (p *Party) AskDevice(pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Send("/device_authorization", url.Values{"scope": {"openid profile"}}, pairs...)
}

// Waiting is what a device knows while it waits.
type Waiting struct{ Code, UserCode string }

// Waiting returns the codes of a new device.
func (p *Party) Waiting(pairs ...string) Waiting {
	p.h.T.Helper()
	a := p.AskDevice(pairs...)
	object := a.JSON()
	code, _ := object["device_code"].(string)
	userCode, _ := object["user_code"].(string)
	if a.Status != http.StatusOK || code == "" {
		p.h.T.Fatalf("ask for a device code: %d %s", a.Status, a.Body)
	}
	return Waiting{code, userCode}
}

// Poll presents a device code.
func (p *Party) Poll(d Waiting, pairs ...string) *Answer {
	p.h.T.Helper()
	return p.Token(url.Values{"grant_type": {DeviceGrant}, "device_code": {d.Code}}, pairs...)
}

// AnswerDevice is what whoever is signed in here says to a device: allow or
// deny. The answer's status is 200 where it was noted.
func (b *Browser) AnswerDevice(d Waiting, decision string) *Answer {
	b.h.T.Helper()
	return b.Post("/device", url.Values{"user_code": {d.UserCode}, "decision": {decision}})
}

func (h *House) device(w http.ResponseWriter, r *http.Request) {
	code, answer := provider.ReadUserCode(r.FormValue("user_code")), h.Provider.DenyDevice
	if r.FormValue("decision") == "allow" {
		answer = h.Provider.ApproveDevice
	}
	if err := answer(r, code); err != nil {
		h.failed(w, err)
	}
}
