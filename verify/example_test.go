package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gatehouse/verify"
)

// A service that lets in whoever may read notes.
func Example() {
	provider, token, stop := exampleProvider()
	defer stop()

	v, err := verify.New(verify.Config{Issuer: provider, Audience: "https://api.example"})
	if err != nil {
		fmt.Println(err)
		return
	}
	notes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := verify.FromContext(r.Context())
		fmt.Fprintf(w, "notes of %s, through %s\n", caller.Subject, caller.ClientID)
	})
	service := httptest.NewServer(v.Middleware("notes:read")(notes))
	defer service.Close()

	for _, authorization := range []string{"Bearer " + token, ""} {
		req, _ := http.NewRequest("GET", service.URL, nil)
		req.Header.Set("Authorization", authorization)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.Status)
	}
	// Output:
	// 200 OK
	// 401 Unauthorized
}

// Without net/http: the token itself, and which check it failed.
func ExampleVerifier_Verify() {
	provider, token, stop := exampleProvider()
	defer stop()

	v, err := verify.New(verify.Config{
		Issuer: provider, Audience: "https://api.example",
		Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = v.Verify(context.Background(), token)
	fmt.Println(errors.Is(err, verify.ErrExpired))
	if e, ok := errors.AsType[*verify.Error](err); ok {
		fmt.Println(e.Check, e.Ago.Round(time.Minute))
	}
	// Output:
	// true
	// the access token has expired 50m0s
}

// exampleProvider stands for a running gatehouse.
func exampleProvider() (issuer, token string, stop func()) {
	p := &smallProvider{}
	server := httptest.NewServer(p)
	p.Issuer = server.URL
	t := &testing.T{}
	p.publishAll(t)
	return p.Issuer, p.token(t, "ES256", time.Now()), server.Close
}
