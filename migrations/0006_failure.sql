-- +goose Up
-- Why journeys of browsers ended on an error page, for whoever asks with the code that stood there.
CREATE TABLE failures (
    code      TEXT PRIMARY KEY, -- the id of the request
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    client_id TEXT NOT NULL,
    upstream  TEXT NOT NULL,
    sent      TEXT NOT NULL,
    expected  TEXT NOT NULL,
    details   TEXT NOT NULL,
    answered  BOOLEAN NOT NULL
);
CREATE INDEX failures_at ON failures (at, code);
CREATE INDEX failures_upstream ON failures (upstream, at) WHERE upstream <> '';
