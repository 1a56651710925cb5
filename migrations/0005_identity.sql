-- +goose Up
-- Accounts at upstream providers that users sign in with. An address is no part
-- of what they are found by.
CREATE TABLE identities (
    id        TEXT PRIMARY KEY,
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    upstream  TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    label     TEXT NOT NULL, -- for display alone
    linked_at BIGINT NOT NULL,
    used_at   BIGINT NOT NULL,
    UNIQUE (upstream, issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

-- Browsers that are on their way to an upstream and back.
CREATE TABLE upstream_flows (
    state      BYTEA PRIMARY KEY,
    browser    BYTEA NOT NULL,
    upstream   TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    sealed     BYTEA NOT NULL, -- what is shown at the upstream once they are back
    purpose    TEXT NOT NULL,  -- what they go on with here
    link_user  TEXT REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT
);
CREATE INDEX upstream_flows_link_user ON upstream_flows (link_user) WHERE link_user IS NOT NULL;
CREATE INDEX upstream_flows_expires_at ON upstream_flows (expires_at);

-- People who are known at an upstream, and whose address belongs to an account
-- here: its owner may link the two.
CREATE TABLE pending_identities (
    id         TEXT PRIMARY KEY,
    browser    BYTEA NOT NULL,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    upstream   TEXT NOT NULL,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    label      TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT
);
CREATE INDEX pending_identities_user ON pending_identities (user_id);
CREATE INDEX pending_identities_expires_at ON pending_identities (expires_at);
