package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// selfSigned writes a self-signed certificate for these names and its key.
func selfSigned(t *testing.T, names ...string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return certFile, keyFile
}

func aPort(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// silentServer takes connections and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// oldRedis passes everything on to a Redis, but for the version that it says it has.
func oldRedis(t *testing.T, behind string) string {
	t.Helper()
	return serving(t, func(c net.Conn) {
		defer c.Close()
		r, err := net.Dial("unix", behind)
		if err != nil {
			return
		}
		go func() { io.Copy(r, c); r.Close() }()
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			line = strings.Replace(line, "redis_version:7.", "redis_version:3.", 1)
			if _, wrong := io.WriteString(c, line); err != nil || wrong != nil {
				return
			}
		}
	})
}

func TestDoctorTellsRedisFaultsApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  func(t *testing.T) string
		says string
	}{
		"the host is unknown": {func(*testing.T) string { return "redis://gatehouse.invalid:6379" }, "a host name that is unknown"},
		"the port is closed":  {func(t *testing.T) string { return "redis://127.0.0.1:" + aPort(t) }, "nothing that listens on the port"},
		"the socket is missing": {func(t *testing.T) string {
			s := storagetest.Redis(t)
			s.Stop()
			return s.URL
		}, "is no socket that is there"},
		"it hangs":                {func(t *testing.T) string { return "redis://" + silentServer(t) }, "does not answer in time"},
		"the password is missing": {func(t *testing.T) string { return storagetest.Redis(t, "--requirepass", "right").URL }, "demands a password"},
		"the password is wrong": {func(t *testing.T) string {
			return withPassword(storagetest.Redis(t, "--requirepass", "right").URL, ":wrong")
		}, "refuses the password or the user"},
		"the user is unknown": {func(t *testing.T) string { return withPassword(storagetest.Redis(t).URL, "nobody:wrong") }, "refuses the password or the user"},
		"a read-only replica": {func(t *testing.T) string {
			return storagetest.Redis(t, "--replicaof", "127.0.0.1", aPort(t)).URL
		}, "is a read-only replica"},
		"a replica that answers nothing without its primary": {func(t *testing.T) string {
			return storagetest.Redis(t, "--replicaof", "127.0.0.1", aPort(t), "--replica-serve-stale-data", "no").URL
		}, "is a replica that lost its primary"},
		"no memory left": {func(t *testing.T) string {
			return storagetest.Redis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction").URL
		}, "has no memory left"},
		"a user who may not": {func(t *testing.T) string {
			return storagetest.Redis(t, "--user", "default", "on", "nopass", "~other:*", "+@all").URL
		}, "does not allow this user"},
		"no such database":     {func(t *testing.T) string { return storagetest.Redis(t, "--databases", "1").URL + "?db=5" }, "has no database of that number"},
		"too many connections": {full, "has too many connections"},
		"TLS is demanded":      {func(t *testing.T) string { return "redis://127.0.0.1:" + tlsRedis(t, "localhost") }, "demands TLS"},
		"TLS is refused": {func(t *testing.T) string {
			port := aPort(t)
			storagetest.Redis(t, "--port", port)
			return "rediss://127.0.0.1:" + port
		}, "refuses TLS"},
		"a certificate that is not trusted": {func(t *testing.T) string { return "rediss://localhost:" + tlsRedis(t, "localhost") }, "a certificate that is not trusted"},
		"a certificate for another name":    {func(t *testing.T) string { return "rediss://127.0.0.1:" + tlsRedis(t, "localhost") }, "a certificate for another name"},
		"another server": {func(t *testing.T) string {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return strings.Replace(s.URL, "http:", "redis:", 1)
		}, "is no Redis"},
		"another server, which hangs up": {func(t *testing.T) string {
			return "redis://" + serving(t, func(c net.Conn) { c.Close() })
		}, "hangs up"},
		"a node of a cluster": {func(t *testing.T) string { return storagetest.Redis(t, "--cluster-enabled", "yes").URL }, "is a node of a cluster"},
		"it cannot save":      {unsaving, "cannot save"},
		"it is too old": {func(t *testing.T) string {
			s := storagetest.Redis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
			return "redis://" + oldRedis(t, s.Socket)
		}, "is too old: version 3."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told(t, settings(t, map[string]string{"redis_url": c.url(t)}), "redis", c.says)
		})
	}
}

func withPassword(url, user string) string {
	return strings.Replace(url, "unix://", "unix://"+user+"@", 1)
}

// tlsRedis is a Redis that speaks TLS alone, with a certificate for this name.
func tlsRedis(t *testing.T, name string) (port string) {
	t.Helper()
	port = aPort(t)
	cert, key := selfSigned(t, name)
	storagetest.Redis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	return port
}

// full is a Redis whose one connection is taken.
func full(t *testing.T) string {
	s := storagetest.Redis(t, "--maxclients", "1")
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		c, err := net.Dial("unix", s.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if talk(c, "PING") == "+PONG" {
			t.Cleanup(func() { c.Close() })
			return s.URL
		}
		c.Close() // the server is not done yet with whoever looked whether it listens
	}
	t.Fatal("no connection could be taken")
	return ""
}

// talk sends a command and returns the first line of the answer.
func talk(c net.Conn, command string) string {
	if _, err := io.WriteString(c, command+"\r\n"); err != nil {
		return err.Error()
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// unsaving is a Redis whose last dump failed: a directory stands in its place.
func unsaving(t *testing.T) string {
	s := storagetest.Redis(t, "--save", "3600 1")
	awake, err := net.Dial("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer awake.Close()
	if said := talk(awake, "PING"); said != "+PONG" { // it looked for a dump, and found none
		t.Fatal(said)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(s.Socket), "dump.rdb"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if said := talk(c, "SET x 1"); said != "+OK" {
		t.Fatal(said)
	}
	if said := talk(c, "SAVE"); !strings.HasPrefix(said, "-ERR") {
		t.Fatalf("it could save: %s", said)
	}
	if said := talk(c, "BGSAVE"); !strings.HasPrefix(said, "+Background") {
		t.Fatal(said)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.HasPrefix(talk(c, "SET x 1"), "-MISCONF"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it goes on taking writes")
		}
	}
	return s.URL
}
