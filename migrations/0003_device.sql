-- +goose Up
-- Devices that wait for a person (RFC 8628). An answer of yes is spent once;
-- grant_id is what it gave.
CREATE TABLE device_codes (
    code          BYTEA PRIMARY KEY,
    user_code     TEXT NOT NULL UNIQUE,
    client_id     TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    resources     TEXT NOT NULL,
    offline       BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    ip            TEXT NOT NULL,
    user_agent    TEXT NOT NULL,

    poll_interval BIGINT NOT NULL,
    polled_at     BIGINT,
    too_soon      BOOLEAN NOT NULL, -- the last poll was

    state         TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
    user_id       TEXT,
    session_id    TEXT,
    epoch         BIGINT,
    auth_time     BIGINT,
    amr           TEXT,
    acr           TEXT,

    spent_at      BIGINT,
    grant_id      TEXT,

    CHECK (state <> 'approved' OR (user_id IS NOT NULL AND session_id IS NOT NULL AND epoch IS NOT NULL
        AND auth_time IS NOT NULL AND amr IS NOT NULL AND acr IS NOT NULL))
);
CREATE INDEX device_codes_expires_at ON device_codes (expires_at);
