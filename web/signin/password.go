package signin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"gatehouse/identity"
	"gatehouse/storage"
	"gatehouse/templates"
	"gatehouse/web"
)

// password is the sign-in with a name and a password.
type password struct{ desk *Pages }

// Routes implements Method.
func (m *password) Routes(mux *http.ServeMux, base string) {
	mux.HandleFunc("POST "+base+web.LoginPath, m.check)
}

// Offer implements Method.
func (m *password) Offer(a *arrival, refused refusal) templ.Component {
	if !a.password {
		return nil
	}
	v := templates.PasswordView{Errand: a.hidden(), Username: refused.username, Problems: refused.problems}
	switch again := a.again(); {
	case again != nil:
		v.Again, v.Username = true, again.Username
	case v.Username == "" && a.linking != nil:
		v.Username = a.linking.Label
	case v.Username == "" && a.pending != nil && a.Account != otherAccount:
		v.Username = a.pending.LoginHint
	}
	return templates.PasswordForm(v)
}

// check is the form's answer. A wrong name and a wrong password are one
// answer, after the same work (SECURITY-RULES R20).
func (m *password) check(w http.ResponseWriter, r *http.Request) {
	f, ok := m.desk.browser.Form(w, r)
	if !ok {
		return
	}
	a, ok := m.desk.arrive(w, r, errandOf(fieldOf(f)))
	if !ok {
		return
	}
	t := m.desk.text(w, r, a)
	if missing := missingFields(t, f); len(missing) > 0 {
		m.desk.refuse(w, r, a, refusal{status: http.StatusUnprocessableEntity, username: f["username"], problems: missing})
		return
	}
	counted, ok := m.desk.count(w, r)
	if !ok {
		return
	}
	u, err := m.prove(w, r, f)
	if err == nil {
		err = m.desk.done(w, r, a, u, web.Proof{AMR: []string{"pwd"}})
	}
	if err == nil {
		counted.Refund(r)
		return
	}
	m.refused(w, r, a, counted, t, f["username"], err)
}

func missingFields(t *templates.Text, f web.Form) (missing templates.Problems) {
	for _, name := range []string{"username", "password"} {
		if f[name] == "" {
			missing = append(missing, templates.Problem{Field: name, Text: t.Say("login.missing_" + name)})
		}
	}
	return missing
}

// prove asks whether the password is that of the name.
func (m *password) prove(w http.ResponseWriter, r *http.Request, f web.Form) (*storage.User, error) {
	browser, err := m.desk.browser.Browser(w, r)
	if err != nil {
		return nil, err
	}
	return m.desk.people.SignIn(r.Context(), identity.Proof{
		Login: f["username"], Password: f["password"], Browser: browser, IP: web.Address(r),
	})
}

// refused shows why not. An account that was switched off between the check
// and the session is the same wrong as any other.
func (m *password) refused(w http.ResponseWriter, r *http.Request, a *arrival, counted web.Count, t *templates.Text, username string, err error) {
	why := refusal{status: http.StatusUnprocessableEntity, username: username}
	say := func(text string) { why.problems = templates.Problems{{Text: text}} }
	slow, waits := errors.AsType[*identity.SlowDown](err)
	switch {
	case errors.Is(err, identity.ErrWrong), errors.Is(err, storage.ErrNotFound):
		say(t.Say("login.wrong"))
	case waits && slow.Busy:
		counted.Refund(r) // our queue was full: nobody's failure
		why.status = http.StatusServiceUnavailable
		retryAfter(w, slow.RetryAfter)
		say(t.Say("login.busy"))
	case waits && slow.Locked:
		why.status = http.StatusTooManyRequests
		retryAfter(w, slow.RetryAfter)
		say(t.Say("login.locked"))
	case waits:
		why.status = http.StatusTooManyRequests
		retryAfter(w, slow.RetryAfter)
		say(t.SlowDown(slow.RetryAfter))
	default:
		counted.Refund(r)
		m.desk.browser.Broken(w, r, "sign in", err)
		return
	}
	m.desk.refuse(w, r, a, why)
}

// retryAfter asks to wait d, rounded up to whole seconds.
func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10))
}
