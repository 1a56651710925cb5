package web

import (
	"log/slog"
	"net/http"
	"time"
)

// The budgets of a connection (SECURITY-RULES R18).
const (
	headerTime = 5 * time.Second
	bodyTime   = 10 * time.Second
	answerTime = 30 * time.Second // longer than a handler may take
	idleTime   = 2 * time.Minute
	// net/http allows 4 KiB beyond what it is told: together 16 KiB.
	maxHeader = 12 << 10
)

// NewServer returns an http.Server around h with the budgets of headers,
// bodies and time.
func NewServer(addr string, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       bodyTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		// Clients that break off or speak no HTTP are no news.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
