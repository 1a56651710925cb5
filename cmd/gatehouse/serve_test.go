package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
)

// settings are those of a server of its own in this test.
func settings(t *testing.T, more map[string]string) config.Sources {
	t.Helper()
	dir := t.TempDir()
	flags := map[string]string{"data_dir": filepath.Join(dir, "data"), "listen": "127.0.0.1:0", "log.level": "error"}
	maps.Copy(flags, more)
	var env []string
	for name, value := range flags {
		env = append(env, "GATEHOUSE_"+strings.ToUpper(strings.ReplaceAll(name, ".", "_"))+"="+value)
	}
	file := filepath.Join(dir, "gatehouse.yaml")
	writeFile(t, file, "")
	return config.Sources{File: file, Env: env}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startTest starts a server that the end of the test stops.
func startTest(t *testing.T, s config.Sources) *server {
	t.Helper()
	cfg, err := config.Load(s)
	if err := refusals(err, checkFiles(cfg)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	server, err := startServer(ctx, cfg, openLog(cfg.Log, t.Output()))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := server.wait(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestReloadAppliesTheDeclaredClientsOfTheFile(t *testing.T) {
	sources := settings(t, nil)
	s := startTest(t, sources)
	load := func() (*config.Config, error) { return config.Load(sources) }

	writeFile(t, sources.File, "clients:\n  - client_id: web\n    token_endpoint_auth_method: none\n    redirect_uris: [https://app.example/cb]\n")
	s.reload(t.Context(), load)
	if c, err := s.store.Clients.Get(t.Context(), "web"); err != nil || !c.Declared || !c.DisabledAt.IsZero() {
		t.Fatalf("the client is not there after the reload: %+v, %v", c, err)
	}

	writeFile(t, sources.File, "clients:\n  - client_id: web\n    redirect_uri: https://app.example/cb\n")
	s.reload(t.Context(), load)
	if c, err := s.store.Clients.Get(t.Context(), "web"); err != nil || !c.DisabledAt.IsZero() {
		t.Fatalf("a broken file changed the client: %+v, %v", c, err)
	}

	writeFile(t, sources.File, "")
	s.reload(t.Context(), load)
	if c, err := s.store.Clients.Get(t.Context(), "web"); err != nil || c.DisabledAt.IsZero() {
		t.Fatalf("the client left the file and is not disabled: %+v, %v", c, err)
	}
}

// A hangup that comes while the server runs does not keep it from ending.
func TestAServerThatWaitsForHangupsEndsWithItsListener(t *testing.T) {
	cfg, err := config.Load(settings(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), cfg, openLog(cfg.Log, t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	s.reloadOnHangup(func() (*config.Config, error) { return cfg, nil })
	s.listener.Close()
	ended := make(chan error, 1)
	go func() { ended <- s.wait(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "listen on") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on without a listener")
	}
}

// newCertificate writes a certificate for localhost and its key.
func newCertificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writeCertificate(t, cert, key, serial, private)
}

// writeCertificate writes a certificate for localhost and this key.
func writeCertificate(t *testing.T, cert, key string, serial int64, private crypto.Signer) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

func TestAC288_TLSKeepsItsMinimumAndTakesANewCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	newCertificate(t, cert, key, 1)
	sources := settings(t, map[string]string{"tls.cert": cert, "tls.key": key, "tls.min_version": "1.3"})
	s := startTest(t, sources)

	dial := func(newest uint16) (*x509.Certificate, error) {
		c, err := tls.Dial("tcp", s.listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: newest})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0], nil
	}
	if _, err := dial(tls.VersionTLS12); err == nil {
		t.Error("TLS 1.2 was spoken, and tls.min_version is 1.3")
	}
	first, err := dial(tls.VersionTLS13)
	if err != nil || first.SerialNumber.Int64() != 1 {
		t.Fatalf("first certificate: %v, %v", first, err)
	}

	newCertificate(t, cert, key, 2)
	s.reload(t.Context(), func() (*config.Config, error) { return config.Load(sources) })
	if second, err := dial(tls.VersionTLS13); err != nil || second.SerialNumber.Int64() != 2 {
		t.Errorf("after the reload: %v, %v", second, err)
	}

	writeFile(t, key, "broken")
	s.reload(t.Context(), func() (*config.Config, error) { return config.Load(sources) })
	if third, err := dial(tls.VersionTLS13); err != nil || third.SerialNumber.Int64() != 2 {
		t.Errorf("after a reload that failed: %v, %v", third, err)
	}
}

// Over HTTP/2 as over HTTP/1.1 the connection ends with an answer: the next
// request takes another one, and none is lost.
func TestAC233_WhileItDrainsAnHTTP2ConnectionEndsWithAnAnswerToo(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	newCertificate(t, cert, key, 1)
	s := startTest(t, settings(t, map[string]string{"tls.cert": cert, "tls.key": key}))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	// kept reports whether a request was sent on the connection of the one before.
	kept := func() (reused bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "https://"+s.listener.Addr().String()+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s %d %v", answer.Proto, answer.StatusCode, err)
		}
		return reused
	}
	if kept(); !kept() {
		t.Fatal("a server that is not stopping keeps no connection")
	}
	s.health.Drain()
	kept() // is told with its answer
	for deadline := time.Now().Add(20 * time.Second); kept(); {
		if time.Now().After(deadline) {
			t.Fatal("a server that is stopping keeps a connection for 20 s")
		}
	}
}

// A request that is being sent while the server is told to stop is answered.
func TestStoppingFinishesWhatIsInFlight(t *testing.T) {
	cfg, err := config.Load(settings(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := startServer(ctx, cfg, openLog(cfg.Log, t.Output()))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "POST /token HTTP/1.1\r\nHost: localhost:8000\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\n"
	if _, err := conn.Write([]byte(request + "grant_type")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until the server reads the body

	stopped := make(chan error, 1)
	stop()
	go func() { stopped <- s.wait(ctx) }()
	time.Sleep(100 * time.Millisecond)
	if _, err := conn.Write([]byte("=urn:x:yyy")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
		t.Errorf("the request in flight was answered %q, %v", answer, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.listener.Addr().String()); err == nil {
		t.Error("the stopped server accepts connections")
	}
}

// AC-216, AC-286: with its database gone, the server says that it is not well,
// and nothing of where or why.
func TestAC286_HealthSaysNothingOfWhatBroke(t *testing.T) {
	s := startTest(t, settings(t, nil))
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.health.Look(t.Context())
	r, err := http.Get("http://" + s.listener.Addr().String() + "/api/health/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("status %d, %v", r.StatusCode, err)
	}
	var report struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	if err := json.Unmarshal(body, &report); err != nil {
		t.Fatal(err)
	}
	if report.Status != "unhealthy" || report.Checks["database"].Status != "unhealthy" || report.Checks["signing_keys"].Status != "healthy" {
		t.Errorf("report: %s", body)
	}
	for _, word := range []string{"sql", ".db", "/", "closed", "127.0.0.1", "go1", "error"} {
		if strings.Contains(strings.ToLower(string(body)), word) {
			t.Errorf("the report says %q: %s", word, body)
		}
	}
}

// Where the first start was cut short after the database and before the master
// key, the next one goes on.
func TestAStartThatWasCutShortIsFinishedByTheNext(t *testing.T) {
	sources := settings(t, nil)
	cfg, err := config.Load(sources)
	if err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"migrate", "up", "--data-dir", cfg.DataDir, "--config", sources.File}, strings.NewReader(""), t.Output(), t.Output()); code != exitDone {
		t.Fatalf("migrate up: exit status %d", code)
	}
	s := startTest(t, sources)
	rows, err := s.store.Keys.List(t.Context())
	if err != nil || len(rows) == 0 {
		t.Errorf("%d signing keys, %v", len(rows), err)
	}
}
