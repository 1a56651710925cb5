package storagetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/storage"
)

// from is the context of a request from this network.
func (h *house) from(network string) context.Context {
	return storage.WithOrigin(h.ctx, storage.Origin{Network: network})
}

// noteFailures notes n failures of a network at once, and returns how many are kept.
func (h *house) noteFailures(network string, n int, at time.Time) (kept int) {
	h.Helper()
	for i := range n {
		f := &storage.Failure{Code: fmt.Sprint(network, " ", at.UnixMilli(), " ", i), At: at, Kind: "client_id"}
		h.must(h.Failures.Note(h.from(network), f))
		if h.explained(f.Code) {
			kept++
		}
	}
	return kept
}

func (h *house) explained(code string) bool {
	h.Helper()
	_, err := h.Failures.Get(h.ctx, code)
	if err != nil {
		h.refused(storage.ErrNotFound, err)
	}
	return err == nil
}

var failureStories = []story{
	{"a failure is found by its code, as it was noted", func(h *house) {
		ctx := storage.WithOrigin(h.ctx, storage.Origin{RequestID: "BCDF-GHJK"})
		f := storage.NewFailure(ctx, h.now, "redirect_uri")
		f.ClientID, f.Upstream, f.Sent, f.Expected = "app", "google", "http://app.example/", "https://app.example/"
		f.Details, f.Answered = map[string]string{"line one": "a\nb\x1b[2J"}, true
		h.must(h.Failures.Note(ctx, f))
		got, err := h.Failures.Get(h.ctx, "BCDF-GHJK")
		h.must(err)
		h.sameInstant("at", got.At, h.now)
		equal(h, "failure", fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *withTime(f, got.At)))
	}},
	{"the first failure of a request is the one that is kept", func(h *house) {
		for _, kind := range []string{"first", "second"} {
			h.must(h.Failures.Note(h.ctx, &storage.Failure{Code: "c", At: h.now, Kind: kind}))
		}
		got, err := h.Failures.Get(h.ctx, "c")
		h.must(err)
		equal(h, "kind", got.Kind, "first")
	}},
	{"one without a code is of no use", func(h *house) {
		h.must(h.Failures.Note(h.ctx, &storage.Failure{At: h.now, Kind: "client_id"}))
		equal(h, "kept", h.explained(""), false)
	}},
	{"what strangers put into it is cut, and text that is stored", func(h *house) {
		f := &storage.Failure{Code: "c", At: h.now, Sent: "\xff\x00" + strings.Repeat("é", 5000), Details: map[string]string{"n": strings.Repeat("x", 5000)}}
		for i := range 100 {
			f.Details[fmt.Sprint("o", i)] = ""
		}
		h.must(h.Failures.Note(h.ctx, f))
		got, err := h.Failures.Get(h.ctx, "c")
		h.must(err)
		equal(h, "begins", strings.HasPrefix(got.Sent, "\uFFFD\uFFFDéé"), true)
		equal(h, "is at most 2060 bytes", len(got.Sent) <= 2060, true)
		equal(h, "details", len(got.Details), 16)
		equal(h, "detail", len(got.Details["n"]), 2048)
	}},
	{"a browser that went away is explained too", func(h *house) {
		gone, cancel := context.WithCancel(h.ctx)
		cancel()
		h.must(h.Failures.Note(gone, &storage.Failure{Code: "c", At: h.now}))
		equal(h, "kept", h.explained("c"), true)
	}},
	{"a network that fails without end is noted so often and no more, and costs the others nothing", func(h *house) {
		equal(h, "kept of the first", h.noteFailures("192.0.2.1/32", 1000, h.now), 30)
		equal(h, "kept of the second", h.noteFailures("192.0.2.2/32", 5, h.now), 5)
		equal(h, "kept of the first later", h.noteFailures("192.0.2.1/32", 1000, h.after(3*time.Minute)), 3)
	}},
	{"errors that clients are sent leave room for those that people see", func(h *house) {
		for i := range 100 {
			h.must(h.Failures.Note(h.ctx, &storage.Failure{Code: fmt.Sprint("answered ", i), At: h.now, Answered: true}))
		}
		h.must(h.Failures.Note(h.ctx, &storage.Failure{Code: "seen", At: h.now}))
		equal(h, "kept of those sent", h.explained("answered 29") && !h.explained("answered 30"), true)
		equal(h, "the one that was seen is kept", h.explained("seen"), true)
	}},
	{"a secret that got into it is not kept", func(h *house) {
		f := &storage.Failure{
			Code: "c", At: h.now, ClientID: "ghs_ABCDEFGHIJKLMNOP", Sent: "https://app.example/ghc_ABCDEFGHIJKLMNOP",
			Details: map[string]string{"why": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl and GOCSPX-abcdefghijklmnop"},
		}
		h.must(h.Failures.Note(h.ctx, f))
		got, err := h.Failures.Get(h.ctx, "c")
		h.must(err)
		equal(h, "failure", got.ClientID+" "+got.Sent+" "+got.Details["why"], "ghs_… https://app.example/ghc_… eyJ… and GOCSPX-…")
	}},
	{"many networks are noted at the rate of a node", func(h *house) {
		kept := 0
		for i := range 500 {
			kept += h.noteFailures(fmt.Sprint("network ", i), 1, h.now)
		}
		equal(h, "kept", kept, 300)
	}},
	{"the failures at one upstream are listed, newest first", func(h *house) {
		for i, upstream := range []string{"google", "partner", "google", "", "google", "google"} {
			f := &storage.Failure{Code: fmt.Sprint("c", i), At: h.after(time.Duration(i) * time.Second), Kind: "upstream.state", Upstream: upstream}
			h.must(h.Failures.Note(h.ctx, f))
		}
		var codes []string
		all, err := h.Failures.ListByUpstream(h.ctx, "google", h.after(time.Second), 2)
		h.must(err)
		for _, f := range all {
			codes = append(codes, f.Code)
		}
		equal(h, "codes", strings.Join(codes, " "), "c5 c4")
		all, err = h.Failures.ListByUpstream(h.ctx, "", h.now, 10)
		h.must(err)
		equal(h, "of no upstream", len(all), 0)
	}},
	{"a failure is kept for seven days", func(h *house) {
		h.must(h.Failures.Note(h.ctx, &storage.Failure{Code: "c", At: h.now}))
		h.sweepAt(7 * day)
		equal(h, "kept", h.explained("c"), true)
		h.sweepAt(7*day + time.Second)
		equal(h, "kept", h.explained("c"), false)
	}},
}

func withTime(f *storage.Failure, at time.Time) *storage.Failure {
	same := *f
	same.At = at
	return &same
}
