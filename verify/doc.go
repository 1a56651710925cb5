// Package verify is what a Go service imports to accept gatehouse's access
// tokens without asking anyone: JWTs of RFC 9068, checked against the provider's
// published keys, which it reads once and keeps.
//
//	v, err := verify.New(verify.Config{
//		Issuer:   "https://id.example.com",
//		Audience: "https://api.example.com",
//	})
//	…
//	http.Handle("GET /invoices", v.Middleware("invoices:read")(invoices))
//
// Inside the handler, [FromContext] says who is calling. Without net/http, call
// [Verifier.Verify] with the token itself.
//
// # What is checked
//
// The format, the type at+jwt, the algorithm and that it fits the key, the
// signature, the issuer, the audience, the times, and that the token is not
// bound to a key that a bearer would have to prove (RFC 9068 §4, RFC 8725). An
// ID token is therefore refused, and so is a token meant for another service.
// A refusal is an [*Error] that names the [Check] which failed:
//
//	if errors.Is(err, verify.ErrExpired) { … }
//
// # When the provider is away
//
// Keys are read at the first token and again when their Cache-Control says so.
// A provider that does not answer is asked again at most once each
// [Config.RefetchInterval], while the keys already known go on serving: nobody
// waits for it. A token whose key is unknown causes one more look, again at most
// once each interval, so made-up key ids cost the provider nothing.
//
// The package depends on go-jose and the standard library alone.
package verify
