package provider

import (
	"testing"
	"time"

	"gatehouse/storage"
)

func TestNext(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	session := func(user string, signedIn time.Time) *storage.Session {
		return &storage.Session{ID: "s", UserID: user, AuthTime: signedIn}
	}
	seconds := func(n int64) *int64 { return &n }
	hour := session("alice", ago(time.Hour))
	unsaid := session("alice", ago(time.Second))
	unsaid.AuthTimeUnknown = true
	came := &storage.AuthRequest{CreatedAt: ago(time.Minute)}
	for _, c := range []struct {
		sentence string
		request  request
		flow     *storage.AuthRequest
		session  *storage.Session
		allowed  []string
		step     Step
		refusal  string
	}{
		{"nobody is signed in", request{}, came, nil, nil, SignIn, ""},
		{"nobody is signed in, and nobody may be asked", request{Prompt: []string{"none"}}, came, nil, nil, "", "login_required"},
		{"somebody is, and has allowed it", request{Scopes: []string{"a"}}, came, hour, []string{"a", "b"}, Respond, ""},
		{"somebody is, and has allowed less", request{Scopes: []string{"a", "c"}}, came, hour, []string{"a"}, Consent, ""},
		{"somebody is, has allowed less, and may not be asked", request{Scopes: []string{"c"}, Prompt: []string{"none"}}, came, hour, nil, "", "consent_required"},
		{"the hint names them", request{HintedUser: "alice"}, came, hour, nil, Respond, ""},
		{"the hint names somebody else", request{HintedUser: "bob"}, came, hour, nil, SignIn, ""},
		{"the hint names somebody else than who signed in for it", request{HintedUser: "bob"},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(time.Second)), nil, "", "login_required"},
		{"prompt=login, signed in before it came", request{Prompt: []string{"login"}}, came, hour, nil, SignIn, ""},
		{"prompt=login, signed in since", request{Prompt: []string{"login"}}, came, session("alice", ago(time.Second)), nil, Respond, ""},
		{"prompt=login, and another signed in for it, in another tab", request{Prompt: []string{"login"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "bob"}, hour, nil, SignIn, ""},
		{"max_age is over", request{MaxAge: seconds(60)}, came, hour, nil, SignIn, ""},
		{"max_age is over, and nobody may be asked", request{MaxAge: seconds(60), Prompt: []string{"none"}}, came, hour, nil, "", "login_required"},
		{"max_age is not over", request{MaxAge: seconds(3601)}, came, hour, nil, Respond, ""},
		{"max_age=0 is over even in the same second", request{MaxAge: seconds(0)}, &storage.AuthRequest{CreatedAt: now}, session("alice", now), nil, SignIn, ""},
		{"max_age=0, signed in since", request{MaxAge: seconds(0)}, came, session("alice", ago(time.Second)), nil, Respond, ""},
		{"max_age ran out while they read the question", request{MaxAge: seconds(1), Scopes: []string{"a"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(50 * time.Second), UserID: "alice"}, session("alice", ago(50*time.Second)), nil, Consent, ""},
		{"AC-191 prompt=login, signed in for it at an upstream, where they had been signed in before", request{Prompt: []string{"login"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(2*time.Minute)), nil, "", "login_required"},
		{"AC-191 max_age, signed in for it at an upstream, where it was longer ago", request{MaxAge: seconds(60)},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(2*time.Minute)), nil, "", "login_required"},
		{"AC-191 max_age=0, signed in for it at an upstream, where it was before it came", request{MaxAge: seconds(0)},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(2*time.Minute)), nil, "", "login_required"},
		{"max_age, signed in for it at an upstream, where it was recent enough", request{MaxAge: seconds(300)},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(2*time.Minute)), nil, Respond, ""},
		{"prompt=login, signed in for it at an upstream whose clock is a little behind", request{Prompt: []string{"login"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, session("alice", ago(time.Minute+5*time.Second)), nil, Respond, ""},
		{"AC-191 max_age, signed in at an upstream that does not say when", request{MaxAge: seconds(3600)}, came, unsaid, nil, SignIn, ""},
		{"AC-191 prompt=login, signed in since at an upstream that does not say when", request{Prompt: []string{"login"}}, came, unsaid, nil, SignIn, ""},
		{"AC-191 max_age, nobody may be asked, and the upstream does not say when", request{MaxAge: seconds(3600), Prompt: []string{"none"}}, came, unsaid, nil, "", "login_required"},
		{"AC-191 max_age, signed in for it at an upstream that does not say when", request{MaxAge: seconds(3600)},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, unsaid, nil, "", "login_required"},
		{"no recency asked, and the upstream does not say when", request{}, came, unsaid, nil, Respond, ""},
		{"no recency asked, signed in for it at an upstream long ago", request{},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), SignedInAt: ago(time.Second), UserID: "alice"}, hour, nil, Respond, ""},
		{"prompt=consent, allowed long ago", request{Scopes: []string{"a"}, Prompt: []string{"consent"}}, came, hour, []string{"a"}, Consent, ""},
		{"prompt=consent, answered", request{Scopes: []string{"a"}, Prompt: []string{"consent"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), Answer: storage.Allowed, AnsweredBy: "alice"}, hour, []string{"a"}, Respond, ""},
		{"somebody else answered", request{Scopes: []string{"a"}},
			&storage.AuthRequest{CreatedAt: ago(time.Minute), Answer: storage.Allowed, AnsweredBy: "bob"}, hour, nil, "", "login_required"},
		{"they said no", request{Scopes: []string{"a"}}, &storage.AuthRequest{CreatedAt: ago(time.Minute), Answer: storage.Denied, AnsweredBy: "alice"}, hour, nil, "", "access_denied"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			step, refusal := next(&c.request, c.flow, c.session, &storage.Consent{Scopes: c.allowed}, now)
			got := ""
			if refusal != nil {
				got = string(refusal.ErrorType)
			}
			if step != c.step || got != c.refusal {
				t.Errorf("next says %q, refusal %q; want %q, %q", step, got, c.step, c.refusal)
			}
		})
	}
}
