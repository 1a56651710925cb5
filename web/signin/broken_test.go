package signin_test

import (
	"context"
	"errors"
	"time"

	"gatehouse/storage"
)

type brokenSessions struct{ storage.Sessions }

func (brokenSessions) Find(context.Context, storage.Digest, time.Time) (*storage.Session, *storage.User, error) {
	return nil, nil, errors.New("disk full")
}
