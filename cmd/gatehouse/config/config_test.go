package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/storage"
)

const goodKey = "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs="

// load reads settings of this environment in an empty directory.
func load(t *testing.T, env ...string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return Load(Sources{Env: env})
}

func mustLoad(t *testing.T, env ...string) *Config {
	t.Helper()
	c, err := load(t, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// problems are the lines of what Load says is wrong.
func problems(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("no *Error: %v", err)
	}
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return lines
}

func TestNothingConfiguredWorks(t *testing.T) {
	c := mustLoad(t)
	got := []any{c.Issuer, c.Listen, c.DataDir, c.DatabaseURL.Reveal(), c.Migrate, c.Token.Access, c.Session.Idle, c.Token.Refresh, c.Password.MinLength, c.Registration}
	want := []any{"http://localhost:8000", "127.0.0.1:8000", "./data", "sqlite://data/gatehouse.db", "auto", 10 * time.Minute, 8 * time.Hour, 90 * 24 * time.Hour, 8, "closed"}
	if !slices.Equal(got, want) {
		t.Errorf("defaults\n%v, not\n%v", got, want)
	}
}

func TestEveryDefaultIsAllowedAndEverySettingExplained(t *testing.T) {
	for _, s := range Settings() {
		if s.Default != "" {
			if _, err := s.parse(s.Default); err != nil {
				t.Errorf("%s: its default %q is refused: %v", s.Name, s.Default, err)
			}
		}
		if len(s.Doc()) < 20 {
			t.Errorf("%s is not explained", s.Name)
		}
	}
}

func TestTheAddressFollowsIssuerAndPort(t *testing.T) {
	for name, c := range map[string]struct {
		env            []string
		issuer, listen string
	}{
		"only the port moves both": {
			[]string{"PORT=9000"}, "http://localhost:9000", "127.0.0.1:9000"},
		"only the address to listen on moves the issuer's port": {
			[]string{"GATEHOUSE_LISTEN=127.0.0.1:9001"}, "http://localhost:9001", "127.0.0.1:9001"},
		"a public issuer listens everywhere": {
			[]string{"GATEHOUSE_ISSUER=https://id.example.com"}, "https://id.example.com", ":8000"},
		"a public issuer with a platform's port": {
			[]string{"GATEHOUSE_ISSUER=https://id.example.com", "PORT=8080"}, "https://id.example.com", ":8080"},
		"our own setting says more than the well-known name": {
			[]string{"GATEHOUSE_LISTEN=:9002", "PORT=8080"}, "http://localhost:9002", ":9002"},
		"a loopback issuer of another port stays on 8000: something is in front of it": {
			[]string{"GATEHOUSE_ISSUER=http://localhost:3000"}, "http://localhost:3000", "127.0.0.1:8000"},
		"an IPv6 loopback issuer listens there": {
			[]string{"GATEHOUSE_ISSUER=http://[::1]:8000"}, "http://[::1]:8000", "[::1]:8000"},
		"an issuer may have a path": {
			[]string{"GATEHOUSE_ISSUER=https://example.com/id"}, "https://example.com/id", ":8000"},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustLoad(t, c.env...)
			if got.Issuer != c.issuer || got.Listen != c.listen {
				t.Errorf("issuer %s, listen %s", got.Issuer, got.Listen)
			}
		})
	}
}

func TestAC258_WhatIsUnsafeIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		env  []string
		says string
	}{
		"http to anywhere":                  {[]string{"GATEHOUSE_ISSUER=http://id.example.com"}, "http is only for localhost"},
		"a host that begins like loopback":  {[]string{"GATEHOUSE_ISSUER=http://localhost.evil.example"}, "http is only for localhost"},
		"an issuer with a query":            {[]string{"GATEHOUSE_ISSUER=https://id.example.com?x=1"}, "without user, query and fragment"},
		"an issuer with a fragment":         {[]string{"GATEHOUSE_ISSUER=https://id.example.com#"}, "without user, query and fragment"},
		"an issuer with a user":             {[]string{"GATEHOUSE_ISSUER=https://me@id.example.com"}, "without user, query and fragment"},
		"an issuer with a slash at its end": {[]string{"GATEHOUSE_ISSUER=https://id.example.com/"}, "must not end with a slash"},
		"an issuer in upper case":           {[]string{"GATEHOUSE_ISSUER=https://ID.example.com"}, "in lower case"},
		"an issuer of another scheme":       {[]string{"GATEHOUSE_ISSUER=ftp://id.example.com"}, "allowed: an address such as"},
		"everybody is a proxy":              {[]string{"GATEHOUSE_TRUSTED_PROXIES=10.0.0.0/8,0.0.0.0/0"}, "every address there is"},
		"everybody is a proxy over IPv6":    {[]string{"GATEHOUSE_TRUSTED_PROXIES=::/0"}, "every address there is"},
		"a fetch from anywhere at all":      {[]string{"GATEHOUSE_OUTBOUND_ALLOW=0.0.0.0/0"}, "every address there is"},
		"a master key that is too short":    {[]string{"GATEHOUSE_MASTER_KEY=c2hvcnQ="}, "has 5 bytes, not 32"},
		"a master key of zeros":             {[]string{"GATEHOUSE_MASTER_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "is not random"},
		"a master key that is no base64":    {[]string{"GATEHOUSE_MASTER_KEY=change!me"}, "is not base64"},
		"an empty master key":               {[]string{"GATEHOUSE_MASTER_KEY="}, "it is empty"},
		"PostgreSQL without a master key":   {[]string{"DATABASE_URL=postgres://db.example/x"}, "master_key must be set with PostgreSQL"},
		"no address of a Redis":             {[]string{"REDIS_URL=memcached://cache.example"}, "REDIS_URL is not understood"},
		"a limit below none":                {[]string{"GATEHOUSE_RATE_LIMIT_AUTHORIZE_PER_MINUTE=-1"}, "a whole number from 0"},
		"another database":                  {[]string{"DATABASE_URL=mysql://db.example/x"}, "sqlite://PATH or postgres://"},
		"half of a database address":        {[]string{"DB_HOST=db.example"}, "DB_HOST and DB_NAME go together"},
		"a cheap hash":                      {[]string{"GATEHOUSE_PASSWORD_HASH_MEMORY=8192"}, "must be at least 35840"},
		"a long-lived code":                 {[]string{"GATEHOUSE_TOKEN_CODE_LIFETIME=5m"}, "a time from 1s to 60s"},
		"an idle time beyond the session":   {[]string{"GATEHOUSE_SESSION_IDLE_LIFETIME=48h"}, "must be at most session.lifetime"},
		"a key published too late":          {[]string{"GATEHOUSE_KEYS_PUBLISH_LEAD=5m"}, "must be at least 10m1s"},
		"a key gone too early":              {[]string{"GATEHOUSE_KEYS_KEEP_AFTER=10m"}, "must be at least 11m"},
		"a certificate without a key":       {[]string{"GATEHOUSE_TLS_CERT=/dev/null"}, "given without tls.key"},
		"TLS 1.1":                           {[]string{"GATEHOUSE_TLS_MIN_VERSION=1.1"}, "allowed: 1.2, 1.3"},
		"mail without a sender":             {[]string{"GATEHOUSE_MAIL_URL=smtp://mail.example"}, "mail.from must be set"},
		"a port that is none":               {[]string{"PORT=http"}, `PORT is "http"; allowed: host:port`},
		"a port beyond the last":            {[]string{"GATEHOUSE_LISTEN=:70000"}, "allowed: host:port"},
		"a boolean that is none":            {[]string{"GATEHOUSE_PASSWORD_UPPER=yes"}, "allowed: true, false"},
		"registration of another kind":      {[]string{"GATEHOUSE_REGISTRATION=anybody"}, "allowed: open, invite, closed"},
		"a domain that is an address":       {[]string{"GATEHOUSE_EMAIL_DOMAINS=example.com,@example.org"}, `has "@example.org"; allowed: domains such as example.com`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.env...)
			lines := problems(t, err)
			if len(lines) != 1 || !strings.Contains(lines[0], c.says) {
				t.Errorf("said %q, not one line with %q", lines, c.says)
			}
		})
	}
}

func TestAnUnknownSettingNamesTheNearest(t *testing.T) {
	for env, says := range map[string]string{
		"GATEHOUSE_LOG_LEVLE=x":        "GATEHOUSE_LOG_LEVLE is not a setting; did you mean GATEHOUSE_LOG_LEVEL?",
		"GATEHOUSE_ISSURE=x":           "GATEHOUSE_ISSURE is not a setting; did you mean GATEHOUSE_ISSUER?",
		"GATEHOUSE_MASTERKEY=x":        "GATEHOUSE_MASTERKEY is not a setting; did you mean GATEHOUSE_MASTER_KEY?",
		"GATEHOUSE_ISSUER_FILE=x":      "GATEHOUSE_ISSUER_FILE is not a setting; did you mean GATEHOUSE_ISSUER?",
		"GATEHOUSE_QQQQQQQQQQQQQQQQ=x": "GATEHOUSE_QQQQQQQQQQQQQQQQ is not a setting",
	} {
		_, err := load(t, env)
		if lines := problems(t, err); len(lines) != 1 || !strings.HasPrefix(lines[0], says) {
			t.Errorf("%s: said %q", env, lines)
		}
	}
}

func TestWhatKubernetesInjectsIsIgnored(t *testing.T) {
	c := mustLoad(t,
		"GATEHOUSE_SERVICE_HOST=10.0.0.1", "GATEHOUSE_SERVICE_PORT=8000", "GATEHOUSE_SERVICE_PORT_HTTP=8000",
		"GATEHOUSE_PORT=tcp://10.0.0.1:8000", "GATEHOUSE_PORT_8000_TCP=tcp://10.0.0.1:8000", "GATEHOUSE_PORT_8000_TCP_PROTO=tcp",
		"GATEHOUSE_PORT_8000_TCP_PORT=8000", "GATEHOUSE_PORT_8000_TCP_ADDR=10.0.0.1", "GATEHOUSE_TEST_POSTGRES_URL=x", "DB_PORT=tcp://10.0.0.2:5432")
	if c.Listen != "127.0.0.1:8000" {
		t.Errorf("listen %s", c.Listen)
	}
	if _, err := load(t, "GATEHOUSE_PORT=9000"); err == nil {
		t.Error("GATEHOUSE_PORT=9000 is what a person wrote, and nothing said that it means nothing")
	}
}

func TestTheDatabaseComesFromItsWellKnownNames(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("p@ss/word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := "GATEHOUSE_MASTER_KEY=" + goodKey
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"DATABASE_URL": {[]string{key, "DATABASE_URL=postgres://db.example/x"}, "postgres://db.example/x"},
		"its parts": {[]string{key, "DB_HOST=db.example", "DB_PORT=5433", "DB_NAME=x", "DB_USER=u", "DB_PASSWORD=p@ss/word"},
			"postgres://u:p%40ss%2Fword@db.example:5433/x"},
		"its parts, the password in a file": {[]string{key, "DB_HOST=db.example", "DB_NAME=x", "DB_USER=u", "DB_PASSWORD_FILE=" + secret},
			"postgres://u:p%40ss%2Fword@db.example/x"},
		"ours says more": {[]string{"GATEHOUSE_DATABASE_URL=sqlite://here.db", "DATABASE_URL=postgres://db.example/x"}, "sqlite://here.db"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustLoad(t, c.env...).DatabaseURL.Reveal(); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
	if c := mustLoad(t, key, "DATABASE_URL=postgres://db.example/x"); c.Migrate != "manual" {
		t.Errorf("migrate is %s on PostgreSQL", c.Migrate)
	}
}

func TestOnlyWhereOtherNodesTakeOverDoesAServerWaitBeforeItStops(t *testing.T) {
	postgres := []string{"GATEHOUSE_MASTER_KEY=" + goodKey, "DATABASE_URL=postgres://db.example/x"}
	for _, c := range []struct {
		env  []string
		want time.Duration
	}{
		{nil, 0},
		{[]string{"GATEHOUSE_DRAIN_DELAY=3s"}, 3 * time.Second},
		{postgres, 5 * time.Second},
		{append(postgres, "GATEHOUSE_DRAIN_DELAY=0s"), 0},
	} {
		if got := mustLoad(t, c.env...).DrainDelay; got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

func TestASecretFileMustBeClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if c := mustLoad(t, "GATEHOUSE_MASTER_KEY_FILE="+write("good", goodKey+"\r\n", 0o640)); c.MasterKey.Reveal() != goodKey {
		t.Error("the key is not what the file has")
	}
	for says, env := range map[string][]string{
		"is open to every user":   {"GATEHOUSE_MASTER_KEY_FILE=" + write("open", goodKey, 0o644)},
		"does not exist":          {"GATEHOUSE_MASTER_KEY_FILE=" + filepath.Join(dir, "nothing")},
		"is empty":                {"GATEHOUSE_MASTER_KEY_FILE=" + write("empty", "\n", 0o600)},
		"is a directory":          {"GATEHOUSE_MASTER_KEY_FILE=" + dir},
		"are both given":          {"GATEHOUSE_MASTER_KEY_FILE=" + filepath.Join(dir, "good"), "GATEHOUSE_MASTER_KEY=" + goodKey},
		"is larger than":          {"GATEHOUSE_MASTER_KEY_FILE=" + write("large", strings.Repeat("x", maxSecretFile+1), 0o600)},
		"DB_PASSWORD_FILE: /none": {"DB_HOST=h", "DB_NAME=n", "DB_PASSWORD_FILE=/none", "GATEHOUSE_MASTER_KEY=" + goodKey},
	} {
		_, err := load(t, env...)
		if lines := problems(t, err); len(lines) != 1 || !strings.Contains(lines[0], says) {
			t.Errorf("said %q, not one line with %q", lines, says)
		}
	}
}

func TestTheFileIsReadWithTheLinesOfItsErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	content := `log:
  level: loud
  formt: json
token: 5m
trusted_proxies:
  - 10.0.0.0/8
  - [nested]
master_key_file: nowhere.key
clients:
  - client_id: web
    redirect_uri: https://app.example/cb
    default_max_age: soon
    client_secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  - just text
`
	if err := os.WriteFile(defaultFile, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(Sources{})
	said := problems(t, err)
	for _, want := range []string{
		`gatehouse.yaml:2: log.level is "loud"; allowed: debug, info, warn, error`,
		"gatehouse.yaml:3: log.formt is not a setting; did you mean log.format?",
		"gatehouse.yaml:4: token is not a setting",
		"gatehouse.yaml:5: trusted_proxies must be one value, or a list of them",
		"gatehouse.yaml:8: master_key_file: nowhere.key does not exist",
		"gatehouse.yaml:11: clients[0].redirect_uri is no client metadata; did you mean redirect_uris?",
		"gatehouse.yaml:12: clients[0].default_max_age must be a whole number",
		"gatehouse.yaml:10: clients[0]: the client's secret is not random",
		"gatehouse.yaml:14: clients[1] must be a mapping",
	} {
		if !slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("nothing said %q", want)
		}
	}
	if len(said) != 9 {
		t.Errorf("%d problems:\n%s", len(said), strings.Join(said, "\n"))
	}
}

func TestTheFileCanBeNamedAndMustThenBeThere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("other.yaml", []byte("issuer: https://id.example.com\nscopes: [a, b]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Sources{
		"by the flag":        {File: "other.yaml", Env: []string{"GATEHOUSE_CONFIG=nowhere.yaml"}},
		"by the environment": {Env: []string{"GATEHOUSE_CONFIG=other.yaml"}},
	} {
		c, err := Load(s)
		if err != nil || c.Issuer != "https://id.example.com" || !slices.Equal(c.Scopes, []string{"a", "b"}) {
			t.Errorf("%s: %v, %v, %v", name, c.Issuer, c.Scopes, err)
		}
	}
	if _, err := Load(Sources{File: "nowhere.yaml"}); err == nil {
		t.Error("a file that is not there was passed over")
	}
	if err := os.WriteFile("twice.yaml", []byte("issuer: a\nissuer: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{File: "twice.yaml"}); err == nil || !strings.Contains(err.Error(), "twice.yaml is not YAML: ") {
		t.Errorf("a setting that is there twice: %v", err)
	}
}

func TestTheLaterLayerWins(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile(defaultFile, []byte("log: {level: warn, format: text}\nsetup: {link_lifetime: 2h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{
		Env:   []string{"GATEHOUSE_LOG_LEVEL=error", "GATEHOUSE_LOG_FORMAT=json"},
		Flags: map[string]string{"log.level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{
		"log.level":           {"debug", "flag --log-level"},
		"log.format":          {"json", "environment GATEHOUSE_LOG_FORMAT"},
		"setup.link_lifetime": {"2h", "file gatehouse.yaml:2: setup.link_lifetime"},
		"log.file":            {"", "default"},
	} {
		if got := [2]string{c.Value(find(name)), c.Origin(name).String()}; got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
}

func TestOneWrongSettingDoesNotHideAnother(t *testing.T) {
	c, err := load(t, "GATEHOUSE_LOG_LEVEL=loud", "GATEHOUSE_ISSUER=http://id.example.com", "GATEHOUSE_SESSION_LIFETIME=x")
	if lines := problems(t, err); len(lines) != 3 {
		t.Errorf("said %q", lines)
	}
	if !c.Wrong("issuer") || !c.Wrong("listen", "log.level") || c.Wrong("listen") {
		t.Error("Wrong does not tell the wrong ones from the others")
	}
	if c.Session.Lifetime != 24*time.Hour {
		t.Errorf("a refused setting has %s instead of its default", c.Session.Lifetime)
	}
}

func TestADeclaredClientIsReadByItsRegisteredNames(t *testing.T) {
	t.Chdir(t.TempDir())
	err := errors.Join(
		os.WriteFile("secret", []byte("correct-horse-battery-staple-0123\n"), 0o600),
		os.WriteFile(defaultFile, []byte(`clients:
  - client_id: web
    client_secret_file: secret
    redirect_uris: [https://app.example/cb]
    default_max_age: 60
    skip_consent: true
`), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	w := c.Clients[0]
	if w.ID != "web" || w.Secret.Reveal() != "correct-horse-battery-staple-0123" || !w.Metadata.SkipConsent ||
		*w.Metadata.DefaultMaxAge != 60 || w.Metadata.RedirectURIs[0] != "https://app.example/cb" {
		t.Errorf("%+v", w)
	}
}

func TestWhatIsProbablyNotMeantIsWarnedOf(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(content string, mode os.FileMode) {
		if err := errors.Join(os.WriteFile(defaultFile, []byte(content), 0o600), os.Chmod(defaultFile, mode)); err != nil {
			t.Fatal(err)
		}
	}
	secret := "clients:\n  - client_id: web\n    client_secret: correct-horse-battery-staple-0123\n"
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		says    string // empty: nothing
	}{
		"a readable file without secrets":          {"log: {level: warn}\n", 0o644, ""},
		"a closed file with secrets":               {secret, 0o600, ""},
		"a readable file with a client's secret":   {secret, 0o644, "gatehouse.yaml has secrets"},
		"a readable file with a master key":        {"master_key: " + goodKey + "\n", 0o644, "gatehouse.yaml has secrets"},
		"an issuer on a port where nobody listens": {"issuer: http://localhost:3000\n", 0o600, "listen on port 8000"},
	} {
		write(c.content, c.mode)
		got, err := Load(Sources{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		said := strings.Join(got.Warnings, "; ")
		if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: warned %q, not %q", name, said, c.says)
		}
	}
}

func TestMetadataIsSetAndTakenAwayByName(t *testing.T) {
	var m storage.ClientMetadata
	for name, text := range map[string]string{
		"client_name": "My app", "redirect_uris": "https://a.example/1, https://a.example/2", "skip_consent": "true",
		"refresh_grace": "0", "access_token_lifetime": "300", "audience": "https://api.example",
		"jwks": `{"keys":[{"kty":"EC"}]}`, "post_logout_redirect_uris": `["https://a.example/1,2"]`,
	} {
		if err := SetMetadata(&m, name, text); err != nil {
			t.Error(err)
		}
	}
	if len(m.RedirectURIs) != 2 || !m.SkipConsent || *m.RefreshGrace != 0 || m.AccessTokenLifetime != 300 || m.ClientName != "My app" ||
		string(m.JWKS) != `{"keys":[{"kty":"EC"}]}` || m.PostLogoutRedirectURIs[0] != "https://a.example/1,2" {
		t.Errorf("%+v", m)
	}
	if err := SetMetadata(&m, "redirect_uris", ""); err != nil || m.RedirectURIs != nil || m.ClientName != "My app" {
		t.Errorf("taken away: %+v, %v", m, err)
	}
	for name, text := range map[string]string{"access_token_lifetime": "soon", "skip_consent": "perhaps", "naem": "x", "jwks": "{"} {
		if err := SetMetadata(&m, name, text); err == nil {
			t.Errorf("%s=%s was taken", name, text)
		}
	}
}

func TestASecretPrintsNowhere(t *testing.T) {
	s := NewSecret("hunter2")
	encoded, err := json.Marshal(struct{ S Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	for _, printed := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(encoded), log.String(), fmt.Sprintf("%+v", Config{MasterKey: s})} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("printed %s", printed)
		}
	}
}

func TestTimesAreWrittenAsTheyAreRead(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 30 * 24 * time.Hour, "1d12h": 36 * time.Hour, "8h": 8 * time.Hour, "90s": 90 * time.Second, "0s": 0, "10m": 10 * time.Minute,
	} {
		if d, err := ParseDuration(text); err != nil || d != want {
			t.Errorf("%s is read as %s, %v", text, d, err)
		}
		if d, err := ParseDuration(FormatDuration(want)); err != nil || d != want {
			t.Errorf("%s is written as %s", want, FormatDuration(want))
		}
	}
	for _, text := range []string{"", "d", "-1d", "1d-2h", "1.5d", "99999d", "1week"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q is read as %s", text, d)
		}
	}
}

// FuzzFile: no file makes Load panic, or pass with a setting that is refused.
func FuzzFile(f *testing.F) {
	f.Add("issuer: https://id.example.com\nclients:\n  - client_id: a\n    redirect_uris: [x]\n")
	f.Add("log: {level: [1, 2]}\nclients: {a: b}\n")
	f.Add("a: &a [*a]\n? [x]: y\n1: 2\n")
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Sources{File: path})
		if c == nil {
			t.Fatal("no Config")
		}
		for _, s := range Settings() {
			if err == nil && c.Wrong(s.Name) {
				t.Errorf("%s is wrong and nothing said so", s.Name)
			}
		}
	})
}

func TestRedisHasAWellKnownName(t *testing.T) {
	c := mustLoad(t, "REDIS_URL=redis://u:the-password@cache.example:6379/0")
	if got := c.RedisURL.Reveal(); got != "redis://u:the-password@cache.example:6379/0" {
		t.Errorf("REDIS_URL is read as %q", got)
	}
	c = mustLoad(t, "REDIS_URL=redis://cache.example", "GATEHOUSE_REDIS_URL=unix:///run/redis.sock")
	if got := c.RedisURL.Reveal(); got != "unix:///run/redis.sock" {
		t.Errorf("beside ours REDIS_URL wins: %q", got)
	}
}
