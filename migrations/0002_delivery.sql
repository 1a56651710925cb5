-- +goose Up
-- Where a client is told of sign-outs, beside its metadata, so that the act that
-- ends a session finds the clients to tell.
ALTER TABLE clients ADD COLUMN backchannel_logout_uri TEXT;

-- Whoever ends a session asks for all of its grants, revoked ones too.
DROP INDEX grants_session;
CREATE INDEX grants_by_session ON grants (session_id);

-- Sign-outs that a client is still to be told of, and the receipts of those it
-- was. No user is referenced: a deleted one's clients are told as well.
CREATE TABLE deliveries (
    id          TEXT PRIMARY KEY,
    client_id   TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'undelivered')),
    created_at  BIGINT NOT NULL,
    due_at      BIGINT NOT NULL, -- a worker that claims it moves this on: its lease
    tries       BIGINT NOT NULL,
    last_status BIGINT NOT NULL,
    last_error  TEXT NOT NULL,
    finished_at BIGINT,
    CHECK ((state = 'waiting') = (finished_at IS NULL))
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE finished_at IS NULL;
CREATE INDEX deliveries_client ON deliveries (client_id);
CREATE INDEX deliveries_session ON deliveries (session_id);
CREATE INDEX deliveries_finished_at ON deliveries (finished_at);
