package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"gatehouse/cmd/gatehouse/config"
)

// A certificate is the TLS certificate in use, which a reload replaces under
// the listener.
type certificate struct {
	config  config.TLS
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the certificate of c; nil where none is set.
func loadCertificate(c config.TLS) (*certificate, error) {
	if c.Cert == "" {
		return nil, nil
	}
	cert := &certificate{config: c}
	return cert, cert.reload()
}

// reload reads the files again. What was in use stays where they are wrong.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.config.Cert, c.config.Key)
	if err != nil {
		return fmt.Errorf("tls.cert %s and tls.key %s: %w", c.config.Cert, c.config.Key, err)
	}
	c.current.Store(&pair)
	return nil
}

// server is how the listener speaks TLS.
func (c *certificate) server() *tls.Config {
	oldest := uint16(tls.VersionTLS12)
	if c.config.MinVersion == "1.3" {
		oldest = tls.VersionTLS13
	}
	return &tls.Config{
		MinVersion:     oldest,
		CipherSuites:   forwardSecret(),
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// forwardSecret are the cipher suites of TLS 1.2 that RFC 9325 §4.2 recommends:
// ephemeral keys and authenticated encryption. crypto/tls would take CBC with
// SHA-1 beside them. Those of TLS 1.3 are not for choosing.
func forwardSecret() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}
