package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
)

// Rates are how often a network may do what costs us something. The zero Rate
// is no limit.
type Rates struct {
	Authorize storage.Rate // authorization requests, and ways to upstreams and back
	Device    storage.Rate // device authorization requests of clients that prove nothing
}

// Per returns the rate of n acts in each window, all of them at once if need
// be. No act at all is no limit.
func Per(window time.Duration, n int) storage.Rate {
	if n <= 0 {
		return storage.Rate{}
	}
	return storage.Rate{Burst: n, Every: window / time.Duration(n)}
}

// limited counts the requests that strangers may send without end, each against
// its network, before anything is looked at. Where nothing counts, nothing is
// let through.
func (d *door) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, rate, err := d.counted(r)
		if err != nil {
			d.unread(w, r, err)
			return
		}
		if rate.Every > 0 && !d.within(w, r, name, rate) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

// counted says under which name and by which rate a request counts.
func (d *door) counted(r *http.Request) (name string, rate storage.Rate, err error) {
	switch path := strings.TrimPrefix(r.URL.Path, d.origin.path); {
	case d.limits == nil:
	case path == provider.AuthorizePath, strings.HasPrefix(path, UpstreamPath), slices.Contains(d.callbacks, r.URL.Path):
		return "authorize", d.rates.Authorize, nil
	case path == provider.DeviceAuthPath && r.Method == http.MethodPost && d.rates.Device.Every > 0:
		if stranger, err := provesNothing(r); !stranger || err != nil {
			return "", storage.Rate{}, err
		}
		return "device", d.rates.Device, nil
	}
	return "", storage.Rate{}, nil
}

// within counts a request; where there were too many, that is said.
func (d *door) within(w http.ResponseWriter, r *http.Request, name string, rate storage.Rate) bool {
	decision, err := d.limits.Allow(r.Context(), name+":"+Network(Address(r)), rate)
	switch {
	case err != nil:
		if !errors.Is(err, context.Canceled) {
			d.log.ErrorContext(r.Context(), "count a request", "error", err, "request_id", visitOf(r).id)
		}
		w.Header().Set("Retry-After", "2")
		d.browser.fail(w, r, unavailable)
		return false
	case !decision.Allowed:
		d.browser.SlowDown(w, r, name, rate, decision)
		return false
	}
	return true
}

// provesNothing reports whether a client shows no credentials. Wrong ones gain
// nothing: the provider refuses them. The body stays to be read.
func provesNothing(r *http.Request) (bool, error) {
	if r.Header.Get("Authorization") != "" {
		return false, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, _ := url.ParseQuery(string(body)) // what it cannot read is the provider's to refuse
	return form.Get("client_secret") == "" && form.Get("client_assertion") == "", nil
}

// unread answers a body that is too long or ends too early.
func (d *door) unread(w http.ResponseWriter, r *http.Request, err error) {
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		d.browser.fail(w, r, tooLarge)
		return
	}
	d.browser.fail(w, r, cutOff)
}

// A Count is one act that was counted as wrong before it was looked at, so that
// acts in parallel cannot outrun the count. What turns out right is given back.
type Count struct {
	browser *Browser
	limits  storage.Limits
	key     string
	rate    storage.Rate
}

// Count counts an act against whoever does it, under the name of a limit. Where
// there were too many, the page that says so is shown, and ok is false.
func (b *Browser) Count(w http.ResponseWriter, r *http.Request, limits storage.Limits, name, who string, rate storage.Rate) (c Count, ok bool) {
	c = Count{browser: b, limits: limits, key: name + ":" + who, rate: rate}
	d, err := limits.Allow(r.Context(), c.key, rate)
	switch {
	case err != nil:
		b.Broken(w, r, "count a form", err)
		return c, false
	case !d.Allowed:
		b.SlowDown(w, r, name, rate, d)
		return c, false
	}
	return c, true
}

// refundWithin is how long an answer that is ready waits for the act to be given back.
const refundWithin = 2 * time.Second

// Refund gives the act back. It does so even where the browser has gone: the
// work is done.
func (c Count) Refund(r *http.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), refundWithin)
	defer cancel()
	if err := c.limits.Refund(ctx, c.key, c.rate); err != nil {
		c.browser.log.WarnContext(r.Context(), "give a counted form back", "error", err, "request_id", storage.OriginOf(r.Context()).RequestID)
	}
}

// UserForms is the limit of forms that somebody signed in gets wrong. Nothing
// can be guessed in them, so they are counted where they fail.
const UserForms = "user_form"

// SlowDown answers that this network, or whoever is signed in, may try again
// after d.RetryAfter and no sooner. The headers are those of draft-ietf-httpapi-ratelimit-headers; name
// is the policy's in them.
func (b *Browser) SlowDown(w http.ResponseWriter, r *http.Request, name string, rate storage.Rate, d storage.Decision) {
	h := w.Header()
	wait := strconv.FormatInt(seconds(d.RetryAfter), 10)
	window := time.Duration(max(rate.Burst, 1)) * rate.Every
	h.Set("Retry-After", wait)
	h.Set("RateLimit-Policy", `"`+name+`";q=`+strconv.Itoa(max(rate.Burst, 1))+`;w=`+strconv.FormatInt(seconds(window), 10))
	h.Set("RateLimit", `"`+name+`";r=`+strconv.Itoa(d.Remaining)+`;t=`+wait)
	h.Set("Cache-Control", "no-store")
	if b.forProgram(r) {
		writeProblem(w, http.StatusTooManyRequests, map[string]any{
			"error": "slow_down", "error_description": "too many tries", "retry_after": seconds(d.RetryAfter),
		})
		return
	}
	message := slowDown
	if name == UserForms {
		message = slowDownUser
	}
	b.note(r, message, &storage.Failure{
		Sent: Network(Address(r)), Expected: fmt.Sprintf("at most %d in %s", max(rate.Burst, 1), window),
		Details: map[string]string{"limit": name, "retry_after": wait + " s"},
	})
	b.showError(w, r, http.StatusTooManyRequests, templates.ErrorView{Message: message, Wait: d.RetryAfter})
}

// seconds rounds up, so that who waits so long is not told to wait again.
func seconds(d time.Duration) int64 { return int64(max(d+time.Second-1, time.Second) / time.Second) }
