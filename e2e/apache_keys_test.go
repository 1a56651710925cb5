package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyFiles makes a key and its certificate, as the module wants them, and the
// JWKS to register.
func keyFiles(t testing.TB) (keyFile, certificateFile string, jwks []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err = json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("key.pem", "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)), write("certificate.pem", "CERTIFICATE", certificate), jwks
}

// The module's assertions name the token endpoint, which a client must be
// allowed to do.
func TestRelyingParty_ModAuthOpenIDCSignsInByPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	s := serve(t)
	keyFile, certificateFile, jwks := keyFiles(t)
	// The order matters to the module, and without the certificate it crashes.
	directives := []string{"OIDCPublicKeyFiles one#" + certificateFile, "OIDCPrivateKeyFiles one#" + keyFile, "OIDCProviderTokenEndpointAuth private_key_jwt"}
	a := startApache(t, s, directives, "--auth-method", "private_key_jwt", "--set", "jwks="+string(jwks), "--set", "assertion_aud_token_endpoint=true")
	a.signsIn(newPerson(t, s.addUser("ada")), false)
}

func TestRelyingParty_ModAuthOpenIDCRevokesItsTokensAtTheSignOut(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := startApache(t, s, nil)
	p := newPerson(t, s.addUser("ada"))
	token := a.signsIn(p, false)
	p.stopAt = s.issuer // the module revokes before it sends its person to sign out
	if at := p.visit(a.base + "/protected/callback?logout=" + a.base + "/bye.html"); !p.stops(at.address) {
		t.Fatalf("signing out goes to %s", at.address)
	}
	if status, _ := s.userinfo(token); status != 401 {
		t.Errorf("userinfo answers %d to the access token that the module had", status)
	}
}
