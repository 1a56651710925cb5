-- +goose NO TRANSACTION
-- +goose Up
-- Built beside the requests that go on, which no transaction allows. A build
-- that is interrupted leaves an invalid index of its name behind: each one is
-- dropped first, so that the next run of this file finishes it.

-- Deleting an account or a client looks for whatever names it, live or not, and
-- every other act for what is live: one index is for both.
DROP INDEX CONCURRENTLY IF EXISTS grants_of_user;
CREATE INDEX CONCURRENTLY grants_of_user ON grants (user_id, revoked_at);
DROP INDEX CONCURRENTLY IF EXISTS grants_of_client;
CREATE INDEX CONCURRENTLY grants_of_client ON grants (client_id, revoked_at);
DROP INDEX CONCURRENTLY IF EXISTS sessions_of_user;
CREATE INDEX CONCURRENTLY sessions_of_user ON sessions (user_id, ended_at);

-- The history of one account, client or key.
DROP INDEX CONCURRENTLY IF EXISTS events_of_subject;
CREATE INDEX CONCURRENTLY events_of_subject ON events (subject, at, id);

DROP INDEX CONCURRENTLY IF EXISTS grants_user;
DROP INDEX CONCURRENTLY IF EXISTS grants_client;
DROP INDEX CONCURRENTLY IF EXISTS sessions_user;

-- Rotating a refresh token and touching a session change no indexed column.
-- With room for the new row on its page, no index is written either.
ALTER TABLE grants SET (fillfactor = 85);
ALTER TABLE sessions SET (fillfactor = 85);
