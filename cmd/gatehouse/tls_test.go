package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
)

// secureServer is a server that speaks TLS itself, with a key of this kind.
func secureServer(t *testing.T, kind string, more ...string) (s *server, sources config.Sources, renew func(serial int64)) {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	renew = func(serial int64) {
		t.Helper()
		if kind == "RSA" {
			private, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			writeCertificate(t, cert, key, serial, private)
			return
		}
		newCertificate(t, cert, key, serial)
	}
	renew(1)
	set := map[string]string{"tls.cert": cert, "tls.key": key}
	for i := 0; i < len(more); i += 2 {
		set[more[i]] = more[i+1]
	}
	sources = settings(t, set)
	return startTest(t, sources), sources, renew
}

func TestAC288_OldTLSAndWeakCipherSuitesAreRefused(t *testing.T) {
	strong := func(suite *tls.CipherSuite) bool {
		return strings.HasPrefix(suite.Name, "TLS_ECDHE_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305"))
	}
	for _, kind := range []string{"ECDSA", "RSA"} {
		s, _, _ := secureServer(t, kind)
		shakeHands := func(c *tls.Config) error {
			c.InsecureSkipVerify = true
			conn, err := tls.Dial("tcp", s.listener.Addr().String(), c)
			if err == nil {
				conn.Close()
			}
			return err
		}
		for version, taken := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			err := shakeHands(&tls.Config{MinVersion: version, MaxVersion: version})
			if (err == nil) != taken {
				t.Errorf("%s with a key of %s: %v", tls.VersionName(version), kind, err)
			}
		}
		taken := 0
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				continue // TLS 1.3 has no weak ones
			}
			err := shakeHands(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			switch fits := strings.Contains(suite.Name, "_"+kind+"_"); {
			case err == nil && !strong(suite):
				t.Errorf("%s was agreed on", suite.Name)
			case err != nil && strong(suite) && fits:
				t.Errorf("%s was refused: %v", suite.Name, err)
			case err == nil:
				taken++
			}
		}
		if taken != 3 {
			t.Errorf("%d suites are taken with a key of %s, want 3", taken, kind)
		}
	}
}

// A client that asks to negotiate anew gets no second handshake: of TLS 1.2
// that was CVE-2009-3555, and work for nothing.
func TestAC288_RenegotiationIsRefused(t *testing.T) {
	s, _, _ := secureServer(t, "ECDSA")
	plain, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	tap, secrets := &wiretap{Conn: plain}, new(bytes.Buffer)
	conn := tls.Client(tap, &tls.Config{
		InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, KeyLogWriter: secrets,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	keys := tap.keys(t, secrets.String())
	if _, err := plain.Write(keys.sealed(t, helloAgain())); err != nil {
		t.Fatal(err)
	}
	if err := plain.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 5)
	if _, err := io.ReadFull(plain, head); err != nil {
		t.Fatalf("the server says nothing: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(plain, body); err != nil {
		t.Fatal(err)
	}
	// The alert shows that the server could read what it refuses.
	const alert, unexpectedMessage, noRenegotiation = 21, 10, 100
	if said := keys.opened(t, head, body); head[0] != alert || said[1] != unexpectedMessage && said[1] != noRenegotiation {
		t.Fatalf("the server answers with a record of type %d: %v", head[0], said)
	}
	rest, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	for len(rest) >= len(head) {
		if rest[0] != alert { // it says good-bye, and no more
			t.Errorf("the server goes on with a record of type %d", rest[0])
		}
		rest = rest[min(len(rest), len(head)+int(binary.BigEndian.Uint16(rest[3:]))):]
	}
}

// A wiretap keeps what is read.
type wiretap struct {
	net.Conn
	read []byte
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.read = append(w.read, p[:n]...)
	return n, err
}

// keys are those of the connection (RFC 5246 §6.3), from what crypto/tls logs.
func (w *wiretap) keys(t *testing.T, keyLog string) trafficKeys {
	t.Helper()
	fields := strings.Fields(keyLog) // CLIENT_RANDOM, the random, the master secret
	if len(fields) != 3 || len(w.read) < 43 {
		t.Fatalf("the handshake left %q", keyLog)
	}
	clientRandom, err := hex.DecodeString(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	master, err := hex.DecodeString(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	serverRandom := w.read[11:43] // after the heads of record and handshake, and the version
	block := pseudoRandom(master, slices.Concat([]byte("key expansion"), serverRandom, clientRandom), 40)
	return trafficKeys{client: block[:16], server: block[16:32], clientSalt: block[32:36], serverSalt: block[36:40]}
}

// trafficKeys seal and open records of AES-128-GCM (RFC 5288 §3).
type trafficKeys struct{ client, server, clientSalt, serverSalt []byte }

func gcm(t *testing.T, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

// second is the number of the record after Finished, which was 0.
var second = binary.BigEndian.AppendUint64(nil, 1)

// sealed is a handshake record of the client.
func (k trafficKeys) sealed(t *testing.T, message []byte) []byte {
	head := []byte{22, 3, 3}
	authentic := slices.Concat(second, head, []byte{0, byte(len(message))})
	body := gcm(t, k.client).Seal(slices.Clone(second), slices.Concat(k.clientSalt, second), message, authentic)
	return slices.Concat(head, []byte{0, byte(len(body))}, body)
}

// opened is what a record of the server says.
func (k trafficKeys) opened(t *testing.T, head, body []byte) []byte {
	t.Helper()
	aead := gcm(t, k.server)
	authentic := slices.Concat(second, head[:3], []byte{0, byte(len(body) - 8 - aead.Overhead())})
	said, err := aead.Open(nil, slices.Concat(k.serverSalt, body[:8]), body[8:], authentic)
	if err != nil {
		t.Fatalf("the server's answer cannot be read: %v", err)
	}
	return said
}

// helloAgain is a ClientHello that offers the suite of the connection.
func helloAgain() []byte {
	hello := slices.Concat([]byte{3, 3}, make([]byte, 32), []byte{0, 0, 2, 0xc0, 0x2b, 1, 0})
	return slices.Concat([]byte{1, 0, 0, byte(len(hello))}, hello)
}

// pseudoRandom is the P_SHA256 of RFC 5246 §5.
func pseudoRandom(secret, seed []byte, n int) (out []byte) {
	hash := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(slices.Concat(parts...))
		return h.Sum(nil)
	}
	for a := hash(seed); len(out) < n; a = hash(a) {
		out = append(out, hash(a, seed)...)
	}
	return out[:n]
}

func TestAC288_NoRequestFailsWhileTheCertificateIsRenewed(t *testing.T) {
	const renewals = 10
	s, sources, renew := secureServer(t, "ECDSA")
	s.reloadOnHangup(func() (*config.Config, error) { return config.Load(sources) })
	address := "https://" + s.listener.Addr().String() + "/healthz"

	var served, newest atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		// Half of them shake hands anew each time.
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: i%2 == 0, ForceAttemptHTTP2: true,
		}}
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Get(address)
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("a request failed while the certificate was renewed: %v", err)
					return
				}
				resp.Body.Close()
				served.Add(1)
				if i%2 == 0 {
					newest.Store(max(newest.Load(), resp.TLS.PeerCertificates[0].SerialNumber.Int64()))
				}
			}
		})
	}
	for serial := int64(2); serial < 2+renewals; serial++ {
		renew(serial)
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(20 * time.Second); newest.Load() < serial; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) || t.Failed() {
				close(stop)
				load.Wait()
				t.Fatalf("certificate %d is not in use", serial)
			}
		}
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests over %d renewals, none failed", served.Load(), renewals)
}
