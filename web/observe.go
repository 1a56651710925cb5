package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode"

	"gatehouse/provider"
	"gatehouse/storage"
)

// observe gives a request its id, its place in the log and in events, and
// every answer the headers that all answers have.
func (d *door) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := d.now()
		v := &visit{id: newRequestID(), address: clientAddress(r, d.proxies)}
		from := storage.Origin{
			UserAgent: clean(r.UserAgent(), 512), Method: clean(r.Method, 16), Path: clean(r.URL.Path, 512), RequestID: v.id,
		}
		if v.address.IsValid() {
			from.IP, from.Network = v.address.String(), Network(v.address)
		}
		ctx := storage.WithOrigin(context.WithValue(r.Context(), visitKey{}, v), from)
		r = r.WithContext(ctx)
		seen := &recorder{ResponseWriter: w}
		setHeaders(seen.Header(), d.origin.secure())
		seen.Header().Set("X-Request-Id", v.id)
		defer func() {
			if reason := recover(); reason != nil {
				if reason == http.ErrAbortHandler {
					panic(reason)
				}
				d.recovered(seen, r, debug.Stack(), reason)
			}
			d.report(ctx, r, from, seen, d.now().Sub(began))
		}()
		next.ServeHTTP(seen, r)
	})
}

const requestIDLetters = 12

// newRequestID stands in the log, in events and on error pages, where a person
// reads it to an administrator over the telephone: XXXX-XXXX-XXXX.
func newRequestID() string { return provider.ShowCode(provider.DrawCode(requestIDLetters)) }

// ReadRequestID is a request id as somebody typed it, empty where that is none.
func ReadRequestID(typed string) string {
	return provider.ShowCode(provider.ReadCode(typed, requestIDLetters))
}

// clean is what a stranger sent, made fit for logs and databases: valid, cut,
// and without what moves a cursor, makes a line or turns text around.
func clean(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// report writes the one line of a request. Queries, bodies, cookies and other
// headers stay out: codes, tokens and set-up links travel there.
func (d *door) report(ctx context.Context, r *http.Request, from storage.Origin, w *recorder, took time.Duration) {
	if w.status == 0 {
		w.status = http.StatusOK // nothing was written: net/http says so
	}
	level := slog.LevelInfo
	switch {
	case w.status >= http.StatusInternalServerError:
		level = slog.LevelWarn
	case quiet(r.URL.Path):
		level = slog.LevelDebug
	}
	d.log.LogAttrs(ctx, level, "request",
		slog.String("request_id", from.RequestID), slog.String("method", from.Method), slog.String("path", from.Path),
		slog.Int("status", w.status), slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("request_bytes", max(r.ContentLength, 0)), slog.Int64("response_bytes", w.written),
		slog.String("address", from.IP), slog.String("user_agent", from.UserAgent))
}

// quiet reports whether a path is asked for all the time and tells nothing.
func quiet(path string) bool {
	return path == "/healthz" || path == "/readyz" || strings.Contains(path, "/assets/")
}

// A recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
