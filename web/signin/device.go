package signin

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// Where a person learns that their answer was noted, below the issuer's path.
const (
	deviceAllowedPath = provider.DevicePath + "/allowed"
	deviceDeniedPath  = provider.DevicePath + "/denied"
)

// sessionCodes is how many codes of one session may be wrong. There are more
// than 2^34, and each lives ten minutes (RFC 8628 §5.1).
var sessionCodes = storage.Rate{Burst: 10, Every: time.Minute}

// deviceHere is the address of the question about the device with this code.
func deviceHere(userCode string) string {
	return provider.DevicePath + "?user_code=" + url.QueryEscape(provider.ShowUserCode(userCode))
}

// showDevice asks for the code of a device or, where the address has one, for
// the answer. A scanned code does no more than a typed one: only the button
// answers (RFC 8628 §5.4).
func (p *Pages) showDevice(w http.ResponseWriter, r *http.Request) {
	typed := web.Query(r, "user_code")
	if typed == "" {
		p.askCode(w, r, "", "")
		return
	}
	if d, ok := p.waiting(w, r, typed); ok {
		p.showWaiting(w, r, d, 0, nil)
	}
}

// askCode shows the page for typing a code; problem is what is wrong with the
// one typed, or empty.
func (p *Pages) askCode(w http.ResponseWriter, r *http.Request, typed, problem string) {
	view, page := templates.DeviceCodeView{Code: typed}, web.Page{Here: provider.DevicePath}
	if problem != "" {
		page.Status = http.StatusUnprocessableEntity
		view.Problems = templates.Problems{{Field: "user_code", Text: p.browser.Text(w, r).Say(problem)}}
	}
	page.Body = templates.DeviceCode(view)
	p.browser.Show(w, r, page)
}

// waiting returns the device that waits under the code that somebody typed.
// Else the browser is sent to sign in, or shown what is wrong, and ok is false.
func (p *Pages) waiting(w http.ResponseWriter, r *http.Request, typed string) (d *provider.PendingDevice, ok bool) {
	code := provider.ReadUserCode(typed)
	if code == "" {
		p.askCode(w, r, typed, "device.malformed")
		return nil, false
	}
	session, _, err := p.browser.Session(r)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		web.SeeOther(w, p.signInForDevice(code))
		return nil, false
	case err != nil:
		p.browser.Broken(w, r, "read the session", err)
		return nil, false
	}
	counted, ok := p.countCode(w, r, session)
	if !ok {
		return nil, false
	}
	d, err = p.provider.Device(r, code)
	switch {
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrExpired):
		p.askCode(w, r, typed, "device.unknown")
		return nil, false
	case errors.Is(err, storage.ErrReused):
		p.askCode(w, r, "", "device.answered")
		return nil, false
	}
	for _, c := range counted {
		c.Refund(r)
	}
	switch {
	case err != nil:
		p.browser.Broken(w, r, "look for a device", err)
	case d.Step == provider.SignIn:
		web.SeeOther(w, p.signInForDevice(code))
	default:
		return d, true
	}
	return nil, false
}

// signInForDevice is the sign-in page, which leads back to the device. What it
// carries is the code and no address: there is nowhere else to be led.
func (p *Pages) signInForDevice(code string) string {
	return p.browser.At(web.LoginPath + "?user_code=" + url.QueryEscape(provider.ShowUserCode(code)))
}

// countCode counts a code as wrong before it is looked for, against the session
// and against the network.
func (p *Pages) countCode(w http.ResponseWriter, r *http.Request, s *storage.Session) (counted []web.Count, ok bool) {
	bySession, ok := p.countAs(w, r, "session_code", s.ID, sessionCodes)
	if !ok {
		return nil, false
	}
	byNetwork, ok := p.countAs(w, r, "device_code", web.Network(web.Address(r)), p.rates.Codes)
	if !ok {
		bySession.Refund(r)
		return nil, false
	}
	return []web.Count{bySession, byNetwork}, true
}

// showWaiting asks whether a device may go on: which application, from where
// and since when.
func (p *Pages) showWaiting(w http.ResponseWriter, r *http.Request, d *provider.PendingDevice, status int, problems templates.Problems) {
	view := templates.DeviceConfirmView{
		Code: provider.ShowUserCode(d.UserCode), App: application(d.Client, ""), Person: person(d.User), User: d.User.ID,
		Asked: d.CreatedAt, Ago: d.Age, Address: d.IP, OtherNetwork: otherNetwork(r, d.IP), Agent: d.UserAgent,
		Scopes: d.NewScopes, Problems: problems,
	}
	if len(view.Scopes) == 0 {
		view.Scopes = d.Scopes // a device is asked about each time
	} else {
		view.Known = slices.DeleteFunc(slices.Clone(d.Scopes), func(s string) bool { return slices.Contains(view.Scopes, s) })
	}
	p.browser.Show(w, r, web.Page{Status: status, Body: templates.DeviceConfirm(view), Here: deviceHere(d.UserCode)})
}

// otherNetwork reports whether the person is elsewhere than the device: usual
// for a telephone beside a television, and worth a look for anybody else.
func otherNetwork(r *http.Request, device string) bool {
	address, err := netip.ParseAddr(device)
	return err != nil || web.Network(address) != web.Network(web.Address(r))
}

// answerDevice takes a code, or the answer of whom the page asked. Another tab
// may have signed somebody else in since: they are asked themselves.
func (p *Pages) answerDevice(w http.ResponseWriter, r *http.Request) {
	f, ok := p.browser.Form(w, r)
	if !ok {
		return
	}
	if _, answering := f["user"]; !answering {
		p.takeCode(w, r, f["user_code"])
		return
	}
	d, ok := p.waiting(w, r, f["user_code"])
	if !ok {
		return
	}
	if f["user"] != d.User.ID {
		web.SeeOther(w, p.browser.At(deviceHere(d.UserCode)))
		return
	}
	switch f["decision"] {
	case "allow":
		p.answered(w, r, p.provider.ApproveDevice(r, d.UserCode), deviceAllowedPath)
	case "deny":
		p.answered(w, r, p.provider.DenyDevice(r, d.UserCode), deviceDeniedPath)
	default:
		text := p.browser.Text(w, r).Say("consent.choose")
		p.showWaiting(w, r, d, http.StatusUnprocessableEntity, templates.Problems{{Text: text}})
	}
}

// takeCode leads from a typed code to the question about its device.
func (p *Pages) takeCode(w http.ResponseWriter, r *http.Request, typed string) {
	switch code := provider.ReadUserCode(typed); {
	case typed == "":
		p.askCode(w, r, "", "device.missing")
	case code == "":
		p.askCode(w, r, typed, "device.malformed")
	default:
		web.SeeOther(w, p.browser.At(deviceHere(code)))
	}
}

// answered leads on once the answer was noted, or says why it was not.
func (p *Pages) answered(w http.ResponseWriter, r *http.Request, err error, path string) {
	switch {
	case err == nil:
		web.SeeOther(w, p.browser.At(path))
	case errors.Is(err, storage.ErrReused):
		p.askCode(w, r, "", "device.answered")
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrExpired):
		p.askCode(w, r, "", "device.unknown")
	default:
		p.browser.Broken(w, r, "answer a device", err)
	}
}

func (p *Pages) showDeviceAnswered(allowed bool) http.HandlerFunc {
	path := deviceDeniedPath
	if allowed {
		path = deviceAllowedPath
	}
	return func(w http.ResponseWriter, r *http.Request) {
		p.browser.Show(w, r, web.Page{Body: templates.DeviceAnswered(allowed), Here: path})
	}
}
