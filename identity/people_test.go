package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"gatehouse/storage"
	"gatehouse/storage/storagetest"
)

const right = "Correct horse 7!"

// people are accounts in a fresh database, with hashes that cost little and a
// clock that tests move on.
type people struct {
	*People
	t    testing.TB
	skip time.Duration
}

func open(t testing.TB, change ...func(*Config)) *people {
	t.Helper()
	p := &people{t: t}
	c := Config{
		Store: storagetest.SQLite(t).Store(), Policy: DefaultPolicy(), Hash: HashCost{MemoryKiB: 64, Iterations: 1},
		Issuer: "https://id.test", Now: func() time.Time { return time.Now().Add(p.skip) },
	}
	for _, f := range change {
		f(&c)
	}
	made, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	p.People = made
	return p
}

func (p *people) create(n NewAccount) *storage.User {
	p.t.Helper()
	if n.Password == "" {
		n.Password = right
	}
	u, err := p.Create(p.t.Context(), n)
	if err != nil {
		p.t.Fatal(err)
	}
	return u
}

// try signs in from a browser that nobody knows.
func (p *people) try(login, password string) (*storage.User, error) {
	return p.SignIn(p.t.Context(), Proof{Login: login, Password: password, Browser: storage.NewDigest(storage.BrowserSecret, "x"), IP: netip.MustParseAddr("192.0.2.1")})
}

func TestAnAccountIsFoundByNameAndAddressHoweverTyped(t *testing.T) {
	p := open(t)
	u := p.create(NewAccount{Username: "Álice", Email: "Alice@Example.com"})
	for _, login := range []string{"Álice", "álice", "A\u0301LICE", "alice@example.com", "ALICE@EXAMPLE.COM", "ａlice@example.com"} {
		if got, err := p.try(login, right); err != nil || got.ID != u.ID {
			t.Errorf("%q: %v", login, err)
		}
	}
	for _, login := range []string{"alice", "*)(uid=*", "Álice' OR 1=1 --", "", "Álice\x00", "%", "alice@example.com "} {
		if _, err := p.try(login, right); !errors.Is(err, ErrWrong) {
			t.Errorf("AC-284 %q: %v", login, err)
		}
	}
}

// A counting drawer counts the statements of a sign-in.
type counted struct {
	storage.Credentials
	storage.Guesses
	n *atomic.Int64
}

func (c counted) Password(ctx context.Context, key string) (*storage.User, *storage.Password, error) {
	c.n.Add(1)
	return c.Credentials.Password(ctx, key)
}

func (c counted) Try(ctx context.Context, key string, p storage.GuessPolicy, now time.Time) (storage.Guess, error) {
	c.n.Add(1)
	return c.Guesses.Try(ctx, key, p, now)
}

func (c counted) Known(ctx context.Context, id string, b storage.Digest) (bool, error) {
	c.n.Add(1)
	return c.Guesses.Known(ctx, id, b)
}

func TestAC149_NobodyCostsWhatSomebodyCosts(t *testing.T) {
	var statements atomic.Int64
	p := open(t, func(c *Config) {
		drawers := counted{c.Store.Credentials, c.Store.Guesses, &statements}
		c.Store.Credentials, c.Store.Guesses = drawers, drawers
	})
	p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	disabled := p.create(NewAccount{Username: "disabled", Email: "disabled@example.com"})
	if err := p.Disable(t.Context(), disabled); err != nil {
		t.Fatal(err)
	}
	bare := p.create(NewAccount{Username: "bare", Email: "bare@example.com"})
	if err := p.Store.Credentials.Rehash(t.Context(), bare.ID, "", ""); err != nil {
		t.Fatal(err)
	}
	type work struct {
		statements, hashes int64
		answer             string
	}
	measure := func(login, password string) work {
		s, h := statements.Load(), p.hash.count.Load()
		_, err := p.try(login, password)
		return work{statements.Load() - s, p.hash.count.Load() - h, fmt.Sprint(err)}
	}
	want := measure("alice", "Wrong horse 7!")
	if want.hashes != 1 || want.answer != ErrWrong.Error() {
		t.Fatalf("a wrong password costs %+v", want)
	}
	for name, login := range map[string]string{"an unknown name": "bob", "a disabled account": "disabled", "no name": "", "a hostile name": "*)(uid=*"} {
		if got := measure(login, right); got != want {
			t.Errorf("%s costs %+v, a wrong password %+v", name, got, want)
		}
	}
	if got := measure("alice", strings.Repeat("x", 129)); got.hashes != 0 || got.answer != want.answer {
		t.Errorf("AC-171 129 characters cost %+v", got)
	}
}

func TestAC151_AC281_GuessesAreSlowedFromTheSixthAndEndAtAHundred(t *testing.T) {
	p := open(t)
	p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	for _, login := range []string{"alice", "nobody"} {
		t.Run(login, func(t *testing.T) {
			tried, longest := 0, time.Duration(0)
			for range 400 {
				_, err := p.try(login, "Wrong horse 7!")
				slow, ok := errors.AsType[*SlowDown](err)
				switch {
				case !ok:
					tried++
				case slow.Locked:
					if tried != 100 {
						t.Errorf("locked after %d tries", tried)
					}
					return
				case tried < 5:
					t.Fatalf("slowed after %d tries", tried)
				default:
					longest = max(longest, slow.RetryAfter)
					p.skip += slow.RetryAfter + time.Second
				}
			}
			t.Errorf("%d tries, and no end", tried)
		})
	}
	t.Run("then the right password does not help a stranger", func(t *testing.T) {
		p.skip += time.Hour
		if _, err := p.try("alice", right); err == nil {
			t.Error("it does")
		}
	})
	t.Run("but a new one does", func(t *testing.T) {
		u, err := p.Find(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.SetPassword(t.Context(), u, "Another horse 8!"); err != nil {
			t.Fatal(err)
		}
		if _, err := p.try("alice", "Another horse 8!"); err != nil {
			t.Errorf("it does not: %v", err)
		}
	})
}

func TestR20_StrangersDoNotLockTheOwnersBrowserOut(t *testing.T) {
	p := open(t)
	u := p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	own := storage.NewDigest(storage.BrowserSecret, "hers")
	now := p.Now()
	err := p.Store.Sessions.Begin(t.Context(), &storage.Session{ID: "s", UserID: u.ID, Epoch: u.Epoch, AuthTime: now, CreatedAt: now, SeenAt: now,
		IdleLifetime: time.Hour, IdleExpiresAt: now.Add(time.Hour), ExpiresAt: now.Add(time.Hour)},
		storage.NewDigest(storage.SessionSecret, "c"), storage.Digest{}, own, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		p.try("alice", "Wrong horse 7!")
	}
	if _, err := p.try("alice", right); err == nil {
		t.Error("the stranger is not slowed")
	}
	if _, err := p.SignIn(t.Context(), Proof{Login: "alice", Password: right, Browser: own}); err != nil {
		t.Errorf("the owner is: %v", err)
	}
}

func TestGuessesInParallelCannotOutrunTheCount(t *testing.T) {
	p := open(t, func(c *Config) { c.Hash.Queue = 100 })
	p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	var looked atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := p.try("alice", "Wrong horse 7!"); errors.Is(err, ErrWrong) {
				looked.Add(1)
			}
		})
	}
	all.Wait()
	if looked.Load() > 6 {
		t.Errorf("%d guesses were looked at", looked.Load())
	}
}

// mails is an SMTP server that keeps what it is sent.
type mails struct {
	mu  sync.Mutex
	got []string
}

func (m *mails) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mails) Mail(string, *smtp.MailOptions) error        { return nil }
func (m *mails) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (m *mails) Reset()                                      {}
func (m *mails) Logout() error                               { return nil }
func (m *mails) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, string(b))
	return err
}

func (m *mails) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

func TestAC151_TheOwnerIsTold(t *testing.T) {
	inbox := new(mails)
	server := smtp.NewServer(inbox)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	mailer, err := NewMailer("smtp://"+listener.Addr().String(), "id@id.test")
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, func(c *Config) { c.Mailer = mailer })
	u := p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	for range 40 {
		p.try("alice", "Wrong horse 7!")
		p.skip += 20 * time.Second
	}
	for range 200 {
		if len(inbox.all()) > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := inbox.all(); len(got) != 1 || !strings.Contains(got[0], "To: <alice@example.com>") || !strings.Contains(got[0], "https://id.test") || strings.Contains(got[0], "Wrong horse") {
		t.Errorf("the mails are %q", got)
	}
	events, err := p.Store.Events.List(t.Context(), time.Time{}, 200)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range events {
		if e.Name == "user.guessed" && e.Subject == u.ID {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d lines in the audit log", told)
	}
}

func TestHashingBeyondTheQueueIsBusyAtOnce(t *testing.T) {
	h, err := newHasher(HashCost{MemoryKiB: 64, Iterations: 1, AtOnce: 1, Queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	leave, err := h.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, give := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() {
		_, err := h.enter(ctx)
		waited <- err
	}()
	for h.inside.Load() != 2 {
		time.Sleep(time.Millisecond)
	}
	busy, ok := errors.AsType[*SlowDown](func() error { _, err := h.enter(t.Context()); return err }())
	if !ok || !busy.Busy || busy.RetryAfter <= 0 {
		t.Errorf("beyond the queue: %v", busy)
	}
	give()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever gave up got %v", err)
	}
	leave()
	if h.inside.Load() != 0 {
		t.Errorf("%d are still inside", h.inside.Load())
	}
}

func TestAHashThatAsksForTooMuchIsNotRun(t *testing.T) {
	h, err := newHasher(HashCost{MemoryKiB: 64, Iterations: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{
		"$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo",
		"$argon2id$v=19$m=64,t=1000,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNo",
		"$2y$10$notargon",
	} {
		if ok, _, err := h.matches(right, hash); ok || err == nil {
			t.Errorf("%s: %v, %v", hash, ok, err)
		}
	}
}

func TestAHashOfOtherParametersIsRenewedAtTheNextSignIn(t *testing.T) {
	p := open(t)
	u := p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	stronger, err := New(Config{Store: p.Store, Policy: DefaultPolicy(), Hash: HashCost{MemoryKiB: 128, Iterations: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stronger.SignIn(t.Context(), Proof{Login: "alice", Password: right}); err != nil {
		t.Fatal(err)
	}
	_, stored, err := p.Store.Credentials.Password(t.Context(), "alice")
	if err != nil || !strings.Contains(stored.Hash, "m=128,") {
		t.Errorf("the hash is %s, %v", stored.Hash, err)
	}
	if again, err := p.Store.Users.Get(t.Context(), u.ID); err != nil || again.Epoch != u.Epoch {
		t.Errorf("it ended something: %v", err)
	}
}

func TestTheFirstAdministratorIsMadeOnce(t *testing.T) {
	p := open(t)
	old, _, err := p.NewSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	link, _, err := p.NewSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin := NewAccount{Email: "admin@example.com", Password: right}
	for name, c := range map[string]struct {
		link string
		n    NewAccount
	}{
		"a link that a newer one replaced": {old, admin},
		"a link that nobody made":          {"gho_x", admin},
		"no address":                       {link, NewAccount{Password: right}},
		"a weak password":                  {link, NewAccount{Email: "admin@example.com", Password: "password"}},
		"no password":                      {link, NewAccount{Email: "admin@example.com"}},
	} {
		if u, err := p.SetUp(t.Context(), c.link, c.n); err == nil {
			t.Errorf("%s made %v", name, u)
		}
	}
	var made atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if u, err := p.SetUp(t.Context(), link, admin); err == nil && u.Admin {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d administrators were made", made.Load())
	}
	if _, _, err := p.NewSetupLink(t.Context()); !errors.Is(err, ErrSetUp) {
		t.Errorf("another link: %v", err)
	}
	late := open(t)
	if link, _, err = late.NewSetupLink(t.Context()); err != nil {
		t.Fatal(err)
	}
	late.skip = time.Hour
	if _, err := late.SetUp(t.Context(), link, admin); !errors.Is(err, ErrLinkUsed) {
		t.Errorf("an hour later: %v", err)
	}
}

func TestNamesAndAddressesBelongToOneAccount(t *testing.T) {
	p := open(t)
	p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	for name, c := range map[string]struct {
		n       NewAccount
		message string
	}{
		"the name, otherwise typed":       {NewAccount{Username: "ALICE"}, "username.taken"},
		"the address":                     {NewAccount{Username: "bob", Email: "Alice@example.com"}, "email.taken"},
		"the address as a name":           {NewAccount{Username: "alice@example.com"}, "username.invalid"},
		"a name with a space":             {NewAccount{Username: "a b"}, "username.invalid"},
		"no name at all":                  {NewAccount{}, "username.invalid"},
		"an address with a display name":  {NewAccount{Email: "Bob <bob@example.com>"}, "email.invalid"},
		"an address without a domain":     {NewAccount{Email: "bob@"}, "email.invalid"},
		"an address with a line break":    {NewAccount{Email: "bob@example.com\r\nBcc: x@example.com"}, "email.invalid"},
		"a name of a person with a break": {NewAccount{Username: "bob", Profile: storage.Profile{Name: "a\nb"}}, "name.invalid"},
	} {
		_, err := p.Create(t.Context(), c.n)
		if refusal, ok := errors.AsType[*FieldError](err); !ok || refusal.Message != c.message {
			t.Errorf("%s: %v, want %s", name, err, c.message)
		}
	}
}

func BenchmarkSignIn(b *testing.B) {
	p := open(b, func(c *Config) { c.Hash = HashCost{} })
	p.create(NewAccount{Username: "alice", Email: "alice@example.com"})
	for name, login := range map[string]string{"known": "alice", "unknown": "bob"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := p.SignIn(b.Context(), Proof{Login: login, Password: "Wrong horse 7!"}); err == nil {
					b.Fatal("signed in")
				}
				p.skip += time.Hour
				p.Store.Guesses.Forgive(b.Context(), "user:", "name:")
			}
		})
	}
}

// crowdedCredentials watches how many look passwords up at once, which each
// does in the slot of its hash.
type crowdedCredentials struct {
	storage.Credentials
	now, most *atomic.Int64
}

func (c crowdedCredentials) Password(ctx context.Context, key string) (*storage.User, *storage.Password, error) {
	n := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	time.Sleep(time.Millisecond) // so that others come meanwhile
	return c.Credentials.Password(ctx, key)
}

func TestAC223_NoMoreHashesRunAtOnceThanThereAreCores(t *testing.T) {
	const cores, queue, comers = 2, 32, 200
	var now, most, heard, sentAway atomic.Int64
	p := open(t, func(c *Config) {
		c.Hash.AtOnce, c.Hash.Queue = cores, queue
		c.Store.Credentials = crowdedCredentials{c.Store.Credentials, &now, &most}
	})
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range comers {
		all.Go(func() {
			<-start
			_, err := p.SignIn(t.Context(), Proof{Login: fmt.Sprintf("nobody-%d", i), Password: "Wrong horse 7!"})
			slow, waits := errors.AsType[*SlowDown](err)
			switch {
			case errors.Is(err, ErrWrong):
				heard.Add(1)
			case waits && slow.Busy && slow.RetryAfter > 0:
				sentAway.Add(1)
			default:
				t.Errorf("a guess ended with %v", err)
			}
		})
	}
	close(start)
	all.Wait()
	if most.Load() > cores {
		t.Errorf("%d hashes ran at once, want %d at most", most.Load(), cores)
	}
	if heard.Load() < cores+queue || sentAway.Load() == 0 {
		t.Errorf("%d were heard and %d sent away, of %d", heard.Load(), sentAway.Load(), comers)
	}
}
