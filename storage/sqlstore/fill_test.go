package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"gatehouse/storage/sqlstore"
)

// A crowd is what a database holds beside what a test is about: so many rows of
// users and what each has, of grants, and of whatever soon leaves.
type crowd struct{ users, grants, rest int }

// A crowding makes the rows of one table, by one statement for both databases.
type crowding struct {
	table string
	rows  func(crowd) int
	query string
}

// crowded are all tables that grow. A tenth of what ends has ended at began.
var crowded = []crowding{
	{"clients", func(crowd) int { return 5000 }, `INSERT INTO clients (id, metadata, secrets, declared, created_at, updated_at, version)
		SELECT 'client' || i, '{}', '[]', FALSE, 1, 1, 1 FROM NUMBERS`},
	{"client_origins", func(crowd) int { return 5000 }, `INSERT INTO client_origins (client_id, origin) SELECT 'client' || i, 'https://origin' || i FROM NUMBERS`},
	{"deleted_clients", func(crowd) int { return 5000 }, `INSERT INTO deleted_clients (id, deleted_at) SELECT 'deleted' || i, 1 FROM NUMBERS`},
	{"users", ofUsers, `INSERT INTO users (id, username, email, email_verified, admin, profile, epoch, created_at, updated_at, version)
		SELECT 'crowd' || i, 'name' || i, 'name' || i || '@people.example', TRUE, FALSE, '{"name":"One of many"}', 1, 1, 1, 1 FROM NUMBERS`},
	{"login_keys", ofUsers, `INSERT INTO login_keys (key, user_id) SELECT 'key' || i, 'crowd' || i FROM NUMBERS`},
	{"passwords", ofUsers, `INSERT INTO passwords (user_id, hash, changed_at)
		SELECT 'crowd' || i, '$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0NTY3$' || i, 1 FROM NUMBERS`},
	{"browsers", theRest, `INSERT INTO browsers (user_id, browser, seen_at) SELECT 'crowd' || i, CAST('browser' || i AS BYTES), SPREAD FROM NUMBERS`},
	{"sessions", ofUsers, `INSERT INTO sessions (id, cookie, user_id, epoch, auth_time, amr, acr, created_at, seen_at, idle_lifetime, idle_expires_at, expires_at, ip, user_agent)
		SELECT 'session' || i, CAST('cookie' || i AS BYTES), 'crowd' || i, 1, 1, '["pwd"]', '1', 1, 1, 3600000, SPREAD, SPREAD, '192.0.2.1', 'Browser/1' FROM NUMBERS`},
	{"consents", ofUsers, `INSERT INTO consents (user_id, client_id, scopes, granted_at) SELECT 'crowd' || i, 'client' || (1 + i % 5000), '["openid"]', 1 FROM NUMBERS`},
	{"grants", func(c crowd) int { return c.grants }, `INSERT INTO grants (id, user_id, client_id, session_id, epoch, scopes, resources, offline, nonce, claims, auth_time, amr, acr,
			created_at, token_lifetime, code, redirect_uri, code_challenge, nonce_instead_of_pkce, code_expires_at, code_spent_at,
			refresh_idle, refresh_expires_at, handle, refresh, generation, rotated_at, refresh_idle_expires_at, revoked_at, ends_at)
		SELECT 'grant' || i, 'crowd' || (1 + i % USERS), 'client' || (1 + i % 5000), 'session' || (1 + i % USERS), 1, '["openid","profile"]', '[]', TRUE, 'n', '', 1, '["pwd"]', '1',
			1, 600000, CAST('code' || i AS BYTES), 'https://app.example/callback', 'challenge', FALSE, 1, 1,
			3600000, SPREAD, 'handle' || i, CAST('refresh' || i AS BYTES), 1, 1, SPREAD, CASE WHEN i % 5 = 0 THEN 1 END, SPREAD FROM NUMBERS`},
	{"access_tokens", theRest, `INSERT INTO access_tokens (digest, id, grant_id, client_id, subject, scopes, audience, issued_at, expires_at)
		SELECT CAST('token' || i AS BYTES), 'token' || i, 'grant' || i, 'client' || (1 + i % 5000), 'crowd' || i, '["openid"]', '[]', 1, SPREAD FROM NUMBERS`},
	{"revocations", theRest, `INSERT INTO revocations (kind, value, revoked_at, expires_at) SELECT CASE WHEN i % 2 = 0 THEN 'jti' ELSE 'grant' END, 'value' || i, 1, SPREAD FROM NUMBERS`},
	{"events", theRest, `INSERT INTO events (id, at, name, actor, subject, client_id, ip, user_agent, method, path, request_id, details)
		SELECT 'event' || i, SPREAD, 'session.created', '', 'crowd' || (1 + i % USERS), '', '', '', '', '', '', '{}' FROM NUMBERS`},
	{"auth_requests", theRest, `INSERT INTO auth_requests (id, browser, client_id, params, created_at, expires_at, answer)
		SELECT 'request' || i, CAST('b' AS BYTES), 'client' || (1 + i % 5000), '{}', 1, SPREAD, '' FROM NUMBERS`},
	{"logout_requests", theRest, `INSERT INTO logout_requests (id, browser, client_id, sid, redirect, state, created_at, expires_at)
		SELECT 'request' || i, CAST('b' AS BYTES), 'client' || (1 + i % 5000), '', '', '', 1, SPREAD FROM NUMBERS`},
	{"used_ids", theRest, `INSERT INTO used_ids (owner, id, expires_at) SELECT 'client' || (1 + i % 5000), 'id' || i, SPREAD FROM NUMBERS`},
	{"guesses", theRest, `INSERT INTO guesses (key, failures, failed_at, next_at) SELECT 'guess' || i, 1, SPREAD, 1 FROM NUMBERS`},
	{"limits", theRest, `INSERT INTO limits (key, tat) SELECT 'limit' || i, 1000 * SPREAD FROM NUMBERS`},
	{"device_codes", theRest, `INSERT INTO device_codes (code, user_code, client_id, scopes, resources, offline, created_at, expires_at, ip, user_agent, poll_interval, too_soon, state)
		SELECT CAST('device' || i AS BYTES), 'user code ' || i, 'client' || (1 + i % 5000), '[]', '[]', FALSE, 1, SPREAD, '', '', 5000, FALSE, 'pending' FROM NUMBERS`},
	{"identities", ofUsers, `INSERT INTO identities (id, user_id, upstream, issuer, subject, label, linked_at, used_at)
		SELECT 'identity' || i, 'crowd' || i, 'google', 'https://accounts.google.com', 'subject' || i, '', 1, 1 FROM NUMBERS`},
	{"upstream_flows", theRest, `INSERT INTO upstream_flows (state, browser, upstream, issuer, sealed, purpose, created_at, expires_at)
		SELECT CAST('state' || i AS BYTES), CAST('b' AS BYTES), 'google', '', CAST('s' AS BYTES), '', 1, SPREAD FROM NUMBERS`},
	{"pending_identities", theRest, `INSERT INTO pending_identities (id, browser, user_id, upstream, issuer, subject, label, purpose, created_at, expires_at)
		SELECT 'pending' || i, CAST('b' AS BYTES), 'crowd' || i, 'google', '', 'subject' || i, '', '', 1, SPREAD FROM NUMBERS`},
	{"failures", theRest, `INSERT INTO failures (code, at, kind, client_id, upstream, sent, expected, answered, details)
		SELECT 'code' || i, SPREAD, 'redirect_uri', '', CASE WHEN i % 2 = 0 THEN 'google' ELSE '' END, '', '', FALSE, '{}' FROM NUMBERS`},
	{"deliveries", theRest, `INSERT INTO deliveries (id, client_id, user_id, session_id, state, created_at, due_at, tries, last_status, last_error, finished_at)
		SELECT 'delivery' || i, 'client' || (1 + i % 5000), 'crowd' || i, 'session' || i, 'delivered', 1, 1, 1, 200, '', SPREAD FROM NUMBERS`},
}

func ofUsers(c crowd) int { return c.users }
func theRest(c crowd) int { return c.rest }

// fill puts a crowd into the database, and lets it count what it has.
func fill(t testing.TB, db *sqlstore.DB, c crowd) {
	t.Helper()
	pool, read := db.Pools()
	numbers, bytes := `(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n) AS n`, "BLOB"
	prepare := `PRAGMA synchronous = OFF`
	if pool == read {
		numbers, bytes = `generate_series(1, %d) AS n(i)`, "BYTEA"
		prepare = `SET session_replication_role = replica` // the rows fit together: nobody need look
	}
	spread := fmt.Sprintf("(%d + (i %% 1000 - 100) * 60000)", began.UnixMilli())
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec(prepare)
	for _, table := range crowded {
		exec(strings.NewReplacer("NUMBERS", fmt.Sprintf(numbers, table.rows(c)), "BYTES", bytes, "SPREAD", spread, "USERS", fmt.Sprint(c.users)).Replace(table.query))
	}
	exec(`ANALYZE`)
	if pool == read {
		exec(`RESET session_replication_role`)
		exec(`VACUUM ANALYZE`)
	}
}

// rows is how many rows of a table a condition names.
func rows(t testing.TB, db *sqlstore.DB, table, condition string) (n int) {
	t.Helper()
	_, read := db.Pools()
	if err := read.QueryRowContext(context.WithoutCancel(t.Context()), `SELECT COUNT(*) FROM `+table+` WHERE `+condition).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
