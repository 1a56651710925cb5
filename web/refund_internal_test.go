package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"gatehouse/storage"
)

// A silentLimit neither counts nor fails.
type silentLimit struct{ storage.Limits }

func (silentLimit) Refund(ctx context.Context, _ string, _ storage.Rate) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAnAnswerThatIsReadyDoesNotWaitForTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Count{browser: &Browser{log: slog.New(slog.DiscardHandler)}, limits: silentLimit{}}
		c.Refund(httptest.NewRequest(http.MethodPost, "/login", nil)) // a wait without end ends the test as a deadlock
	})
}
