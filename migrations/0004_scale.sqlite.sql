-- +goose Up
-- Deleting an account or a client looks for whatever names it, live or not, and
-- every other act for what is live: one index is for both.
CREATE INDEX grants_of_user ON grants (user_id, revoked_at);
CREATE INDEX grants_of_client ON grants (client_id, revoked_at);
CREATE INDEX sessions_of_user ON sessions (user_id, ended_at);

-- The history of one account, client or key.
CREATE INDEX events_of_subject ON events (subject, at, id);

DROP INDEX grants_user;
DROP INDEX grants_client;
DROP INDEX sessions_user;
