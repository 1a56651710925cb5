-- +goose Up
-- An upstream named the user of the session and did not say when they signed in
-- there: auth_time is when it named them.
ALTER TABLE sessions ADD COLUMN auth_time_unknown BOOLEAN NOT NULL DEFAULT FALSE;
