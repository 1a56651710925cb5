package outbound

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// HTTP returns the client as libraries take one. Its exchanges are bounded as
// all others: address, time, size, no redirects; answers of any status are
// answers. Errors have an *Error within.
func (o *Client) HTTP() *http.Client {
	return &http.Client{Transport: bounded{o}, CheckRedirect: o.http.CheckRedirect}
}

// bounded is what every exchange of a library goes through.
type bounded struct{ *Client }

// RoundTrip reads the whole answer before it returns it, so that the limits of
// time and size are for the body too.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := b.mayReach(r.URL); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), Timeout)
	defer cancel()
	r = r.Clone(ctx)
	r.Header.Set("User-Agent", userAgent)
	answer, err := b.do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := readBody(r.URL.Hostname(), answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// readBody reads an answer that may be no longer than MaxBody.
func readBody(host string, from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, MaxBody+1))
	switch {
	case err != nil:
		return nil, explain(host, err)
	case len(body) > MaxBody:
		return nil, &Error{Host: host, Reason: Size, err: fmt.Errorf("its answer is longer than %d bytes", MaxBody)}
	}
	return body, nil
}

// Peek fetches address and returns the answer whatever its status: where a
// redirect leads is shown, and not followed. Of the body it returns MaxBody
// bytes at most. Errors are *Error.
func (o *Client) Peek(ctx context.Context, address, accept string) (answer *http.Response, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := o.request(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", accept)
	answer, err = o.http.Do(r)
	if err != nil {
		return nil, nil, explain(r.URL.Hostname(), err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(io.LimitReader(answer.Body, MaxBody))
	if err != nil {
		return nil, nil, explain(r.URL.Hostname(), err)
	}
	return answer, body, nil
}
