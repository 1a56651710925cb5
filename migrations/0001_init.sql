-- +goose Up
-- Instants are Unix milliseconds, lists are JSON. Secrets are stored as
-- SHA-256 digests and nothing else.

CREATE TABLE changes (
    kind TEXT PRIMARY KEY,
    n    BIGINT NOT NULL
);
INSERT INTO changes (kind, n) VALUES ('clients', 1), ('keys', 1), ('administrators', 1);

CREATE TABLE clients (
    id          TEXT PRIMARY KEY,
    metadata    TEXT NOT NULL,
    secrets     TEXT NOT NULL,
    declared    BOOLEAN NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    disabled_at BIGINT,
    version     BIGINT NOT NULL
);

-- The origins from which each client's pages may call the token and userinfo
-- endpoints.
CREATE TABLE client_origins (
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    origin    TEXT NOT NULL,
    PRIMARY KEY (client_id, origin)
);
CREATE INDEX client_origins_origin ON client_origins (origin);

-- The ids of deleted clients are never given again: tokens may still name them.
CREATE TABLE deleted_clients (
    id         TEXT PRIMARY KEY,
    deleted_at BIGINT NOT NULL
);

CREATE TABLE users (
    id             TEXT PRIMARY KEY,
    username       TEXT NOT NULL,
    email          TEXT NOT NULL,
    email_verified BOOLEAN NOT NULL,
    admin          BOOLEAN NOT NULL,
    profile        TEXT NOT NULL,
    epoch          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    disabled_at    BIGINT,
    version        BIGINT NOT NULL
);
CREATE INDEX users_admins ON users (id) WHERE admin;

-- What accounts are found by, in canonical form: one table, so that nobody's
-- name is somebody else's address.
CREATE TABLE login_keys (
    key     TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX login_keys_user ON login_keys (user_id);

CREATE TABLE passwords (
    user_id    TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE guesses (
    key       TEXT PRIMARY KEY,
    failures  BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    next_at   BIGINT NOT NULL
);
CREATE INDEX guesses_failed_at ON guesses (failed_at);

CREATE TABLE browsers (
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    browser   BYTEA NOT NULL,
    seen_at   BIGINT NOT NULL,
    PRIMARY KEY (user_id, browser)
);
CREATE INDEX browsers_seen_at ON browsers (seen_at);

CREATE TABLE sessions (
    id              TEXT PRIMARY KEY,
    cookie          BYTEA NOT NULL UNIQUE,
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    epoch           BIGINT NOT NULL,
    auth_time       BIGINT NOT NULL,
    amr             TEXT NOT NULL,
    acr             TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    idle_lifetime   BIGINT NOT NULL,
    idle_expires_at BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    ended_at        BIGINT,
    ip              TEXT NOT NULL,
    user_agent      TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE auth_requests (
    id           TEXT PRIMARY KEY,
    browser      BYTEA NOT NULL,
    client_id    TEXT NOT NULL,
    params       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    signed_in_at BIGINT,
    user_id      TEXT,
    answer       TEXT NOT NULL,
    answered_by  TEXT,
    spent_at     BIGINT
);
CREATE INDEX auth_requests_expires_at ON auth_requests (expires_at);

CREATE TABLE logout_requests (
    id         TEXT PRIMARY KEY,
    browser    BYTEA NOT NULL,
    client_id  TEXT NOT NULL,
    sid        TEXT NOT NULL,
    redirect   TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT
);
CREATE INDEX logout_requests_expires_at ON logout_requests (expires_at);

CREATE TABLE consents (
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client ON consents (client_id);

-- One row holds the grant, the code that delivers it and the refresh token
-- that prolongs it, so that each act is one statement.
CREATE TABLE grants (
    id                      TEXT PRIMARY KEY,
    user_id                 TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id               TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    session_id              TEXT NOT NULL,
    epoch                   BIGINT NOT NULL,
    scopes                  TEXT NOT NULL,
    resources               TEXT NOT NULL,
    offline                 BOOLEAN NOT NULL,
    nonce                   TEXT NOT NULL,
    claims                  TEXT NOT NULL,
    auth_time               BIGINT NOT NULL,
    amr                     TEXT NOT NULL,
    acr                     TEXT NOT NULL,
    created_at              BIGINT NOT NULL,
    token_lifetime          BIGINT NOT NULL,

    code                    BYTEA UNIQUE,
    redirect_uri            TEXT NOT NULL,
    code_challenge          TEXT,
    nonce_instead_of_pkce   BOOLEAN NOT NULL,
    code_expires_at         BIGINT,
    code_spent_at           BIGINT,

    refresh_idle            BIGINT NOT NULL,
    refresh_expires_at      BIGINT,
    handle                  TEXT UNIQUE,
    refresh                 BYTEA,
    refresh_before          BYTEA,
    generation              BIGINT NOT NULL,
    rotated_at              BIGINT,
    refresh_idle_expires_at BIGINT,

    revoked_at              BIGINT,
    ends_at                 BIGINT NOT NULL, -- nothing that names it lives longer

    -- A code has a challenge, or its client's audited exception, and then a nonce.
    CHECK (code IS NULL OR code_challenge IS NOT NULL OR (nonce_instead_of_pkce AND nonce <> ''))
);
CREATE INDEX grants_user ON grants (user_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_client ON grants (client_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_session ON grants (session_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_ends_at ON grants (ends_at);

-- Every way a token dies before its time. Append-only; a row leaves when the
-- last token that it concerns has expired.
CREATE TABLE revocations (
    kind       TEXT NOT NULL CHECK (kind IN ('jti', 'grant', 'client', 'key')),
    value      TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (kind, value)
);
CREATE INDEX revocations_expires_at ON revocations (expires_at);

-- Opaque access tokens, by digest. Those of client_credentials have no grant.
CREATE TABLE access_tokens (
    digest     BYTEA PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    grant_id   TEXT REFERENCES grants (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    subject    TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    audience   TEXT NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_client ON access_tokens (client_id);
CREATE INDEX access_tokens_expires_at ON access_tokens (expires_at);

-- The ids of what may be presented once, until it would be refused as expired.
CREATE TABLE used_ids (
    owner      TEXT NOT NULL,
    id         TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (owner, id)
);
CREATE INDEX used_ids_expires_at ON used_ids (expires_at);

CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    generation BIGINT NOT NULL,
    public     TEXT NOT NULL,
    sealed     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    sign_at    BIGINT NOT NULL,
    retired_at BIGINT,
    UNIQUE (algorithm, generation)
);

CREATE TABLE setup_links (
    digest     BYTEA PRIMARY KEY,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT
);

CREATE TABLE limits (
    key TEXT PRIMARY KEY,
    tat BIGINT NOT NULL -- when the whole burst is there again, Unix microseconds
);
CREATE INDEX limits_tat ON limits (tat);

CREATE TABLE events (
    id         TEXT PRIMARY KEY,
    at         BIGINT NOT NULL,
    name       TEXT NOT NULL,
    actor      TEXT NOT NULL,
    subject    TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    ip         TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    method     TEXT NOT NULL,
    path       TEXT NOT NULL,
    request_id TEXT NOT NULL,
    details    TEXT NOT NULL
);
CREATE INDEX events_at ON events (at, id);
