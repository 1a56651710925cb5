package main

import (
	"context"
	"database/sql"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/storage/storagetest"
)

// told runs doctor over these settings and wants a failing line of this check
// that says this, with evidence, cause and fix.
func told(t *testing.T, s config.Sources, check, says string) {
	t.Helper()
	cfg, err := config.Load(s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	all := examine(ctx, cfg, err)
	for _, f := range all {
		if f.Check == check && !f.OK && strings.Contains(f.What+" "+f.Evidence, says) {
			if f.Evidence == "" || f.Cause == "" || f.Fix == "" {
				t.Errorf("the line is not whole: %+v", f)
			}
			return
		}
	}
	t.Fatalf("no %s line says %q: %+v", check, says, all)
}

// execute runs SQL on a database of this test.
func execute(t *testing.T, driver, address string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

const testMasterKey = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func onPostgres(t *testing.T, address string) config.Sources {
	return settings(t, map[string]string{"database_url": address, "master_key": testMasterKey})
}

func TestDoctorTellsPostgreSQLFaultsApart(t *testing.T) {
	t.Parallel()
	closed, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	role := "doctor_" + strings.ToLower(filepath.Base(t.TempDir())) + closed
	for name, c := range map[string]struct {
		spoil       func(t *testing.T, address string) string
		check, says string
	}{
		"the host is unknown": {func(*testing.T, string) string { return "postgres://u@gatehouse.invalid/db" }, "database", "the host name is unknown"},
		"the port is closed":  {func(*testing.T, string) string { return "postgres://u@127.0.0.1:" + closed + "/db" }, "database", "nothing listens on the port"},
		"the socket is missing": {func(t *testing.T, _ string) string {
			return "postgres://u@/db?host=" + url.QueryEscape(t.TempDir())
		}, "database", "there is no such socket"},
		"the database is missing": {func(_ *testing.T, a string) string { return strings.Replace(a, "/gatehouse_test_", "/none_", 1) }, "database", "the database does not exist"},
		"the role is missing":     {func(_ *testing.T, a string) string { return strings.Replace(a, "postgres@", "nobody_here@", 1) }, "database", "the user is not let in"},
		"the user has no rights": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `CREATE ROLE `+role+` LOGIN`)
			t.Cleanup(func() { execute(t, "pgx", a, `DROP OWNED BY `+role, `DROP ROLE `+role) })
			return strings.Replace(a, "postgres@", role+"@", 1)
		}, "database", "too few rights"},
		"the user may read the version alone": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `CREATE ROLE `+role+`_reads LOGIN`, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+role+`_reads`)
			t.Cleanup(func() { execute(t, "pgx", a, `DROP OWNED BY `+role+`_reads`, `DROP ROLE `+role+`_reads`) })
			return strings.Replace(a, "postgres@", role+"_reads@", 1)
		}, "schema", "it may not read and change"},
		"the user may have no more connections": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `CREATE ROLE `+role+`_full LOGIN CONNECTION LIMIT 0`)
			t.Cleanup(func() { execute(t, "pgx", a, `DROP ROLE `+role+`_full`) })
			return strings.Replace(a, "postgres@", role+"_full@", 1)
		}, "database", "there are too many connections"},
		"TLS is refused": {func(_ *testing.T, a string) string { return "postgres://u@" + plainPostgres(t) + "/db?sslmode=require" }, "database", "the server refuses TLS"},
		"the schema is behind": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
			return a
		}, "schema", "older than this program"},
		"the schema is missing": {func(t *testing.T, _ string) string { return storagetest.EmptyPostgresURL(t) }, "schema", "has no schema yet"},
		"the schema is ahead": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
			return a
		}, "schema", "newer than this program"},
		"a migration is left out": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `DELETE FROM goose_db_version WHERE version_id = 1`)
			return a
		}, "schema", "0001_init.sql is not noted as applied"},
		"a table is missing": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `DROP TABLE events`)
			return a
		}, "schema", "table events is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			told(t, onPostgres(t, c.spoil(t, storagetest.PostgresURL(t))), c.check, c.says)
		})
	}
}

// plainPostgres answers N to the request for TLS, as a server without it does.
func plainPostgres(t *testing.T) string {
	t.Helper()
	return serving(t, func(c net.Conn) {
		c.Read(make([]byte, 8))
		c.Write([]byte("N"))
		c.Close()
	})
}

// serving is the address of a server that does with each connection as told.
func serving(t *testing.T, each func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go each(c)
		}
	}()
	return l.Addr().String()
}

func TestDoctorTellsSQLiteAndKeyFaultsApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm        func(t *testing.T, dir, db string)
		check, says string
	}{
		"the file is missing":        {func(t *testing.T, _, db string) { os.Remove(db) }, "database", "there is no database"},
		"the file is open to others": {func(t *testing.T, _, db string) { os.Chmod(db, 0o644) }, "database", "open to others"},
		"the file is no database":    {func(t *testing.T, _, db string) { writeFile(t, db, strings.Repeat("no database ", 500)) }, "database", "not a database"},
		"the file is a directory":    {func(t *testing.T, _, db string) { os.Remove(db); os.Mkdir(db, 0o700) }, "database", "is a directory"},
		"the schema is ahead": {func(t *testing.T, _, db string) {
			execute(t, "sqlite", db, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		}, "schema", "newer"},
		"a table is missing": {func(t *testing.T, _, db string) { execute(t, "sqlite", db, `DROP TABLE events`) }, "schema", "table events is missing"},
		"a migration is left out": {func(t *testing.T, _, db string) {
			execute(t, "sqlite", db, `DELETE FROM goose_db_version WHERE version_id = 1`)
		}, "schema", "0001_init.sql is not noted as applied"},
		"migrations are pending": {func(t *testing.T, _, db string) {
			execute(t, "sqlite", db, `DELETE FROM goose_db_version WHERE version_id > 1`)
		}, "schema", "pending: 0002_delivery.sql, 0003_device.sql"},
		"the directory is open":     {func(t *testing.T, dir, _ string) { os.Chmod(dir, 0o777) }, "configuration", "written by every user"},
		"the master key is missing": {func(t *testing.T, dir, _ string) { os.Remove(filepath.Join(dir, "master.key")) }, "master key", "is missing"},
		"the master key is another": {func(t *testing.T, dir, _ string) { writeFile(t, filepath.Join(dir, "master.key"), testMasterKey) }, "signing keys", "does not open"},
		"the master key is cut":     {func(t *testing.T, dir, _ string) { writeFile(t, filepath.Join(dir, "master.key"), testMasterKey[:9]) }, "master key", "cannot be used"},
		"the master key is open":    {func(t *testing.T, dir, _ string) { os.Chmod(filepath.Join(dir, "master.key"), 0o644) }, "master key", "is open to others"},
		"a signing key is damaged":  {func(t *testing.T, _, db string) { execute(t, "sqlite", db, `UPDATE signing_keys SET sealed = X'00'`) }, "signing keys", "does not open"},
		"no key signs": {func(t *testing.T, _, db string) {
			execute(t, "sqlite", db, `UPDATE signing_keys SET retired_at = sign_at + 1`)
		}, "signing keys", "no RS256 key signs now"},
		"a key is overdue": {func(t *testing.T, _, db string) {
			execute(t, "sqlite", db, `UPDATE signing_keys SET sign_at = sign_at / 2`)
		}, "signing keys", "is overdue"},
		"nothing answers as issuer": {func(*testing.T, string, string) {}, "issuer", "nothing listens"},
	} {
		t.Run(name, func(t *testing.T) {
			port, err := freePort()
			if err != nil {
				t.Fatal(err)
			}
			s := settings(t, map[string]string{"issuer": "http://127.0.0.1:" + port})
			ctx, stop := context.WithCancel(t.Context())
			cfg, err := config.Load(s)
			if err != nil {
				t.Fatal(err)
			}
			server, err := startServer(ctx, cfg, openLog(cfg.Log, t.Output()))
			if err != nil {
				t.Fatal(err)
			}
			stop()
			if err := server.wait(ctx); err != nil {
				t.Fatal(err)
			}
			c.harm(t, cfg.DataDir, filepath.Join(cfg.DataDir, "gatehouse.db"))
			told(t, s, c.check, c.says)
		})
	}
}

func TestDoctorTellsConfigurationFaultsApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.pem")
	writeFile(t, garbage, "no certificate")
	for name, c := range map[string]struct {
		set  map[string]string
		says string
	}{
		"a public issuer by http":     {map[string]string{"issuer": "http://id.example.com"}, "http is only for localhost"},
		"no port":                     {map[string]string{"listen": "localhost"}, "allowed: host:port"},
		"no master key on PostgreSQL": {map[string]string{"database_url": "postgres://localhost/db"}, "master_key must be set with PostgreSQL"},
		"a master key that is short":  {map[string]string{"master_key": "c2hvcnQ="}, "has 5 bytes, not 32"},
		"another database":            {map[string]string{"database_url": "mysql://localhost/db"}, "GATEHOUSE_DATABASE_URL is not understood"},
		"another cache":               {map[string]string{"redis_url": "memcached://localhost"}, "GATEHOUSE_REDIS_URL is not understood"},
		"a missing certificate":       {map[string]string{"tls.cert": filepath.Join(dir, "none.pem"), "tls.key": filepath.Join(dir, "none.pem")}, "none.pem"},
		"a certificate that is none":  {map[string]string{"tls.cert": garbage, "tls.key": garbage}, "garbage.pem"},
		"trust roots that are none":   {map[string]string{"outbound.ca_file": garbage}, "garbage.pem"},
		"a log in no directory":       {map[string]string{"log.file": filepath.Join(dir, "none", "log")}, "none"},
		"a proxy that is no network":  {map[string]string{"trusted_proxies": "proxy.example"}, "is no network"},
	} {
		t.Run(name, func(t *testing.T) { told(t, settings(t, c.set), "configuration", c.says) })
	}
}

func TestDoctorTellsTheWayToTheIssuerApart(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	trusted := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	for _, c := range []struct{ name, issuer, says string }{
		{"no scheme", "id.example.com", "the address is none"},
		{"unknown name", "https://gatehouse.invalid", "is unknown here"},
		{"another Host", answer(421, ""), "(421)"},
		{"another path", answer(404, ""), "there is no discovery document"},
		{"a broken proxy", answer(502, ""), "discovery fails"},
		{"another program", answer(200, "<html>"), "something else than a provider"},
		{"another issuer", answer(200, `{"issuer":"http://127.0.0.2"}`), "they differ from character 16"},
		{"plain http where https is asked for", strings.Replace(answer(200, ""), "http:", "https:", 1), "does not speak TLS"},
		{"another name in the certificate", "https://localhost:" + port, "the certificate is for another name"},
	} {
		f := probeIssuer(t.Context(), c.issuer, trusted)
		if f.OK || !strings.Contains(f.What+f.Evidence, c.says) || f.Cause == "" || f.Fix == "" {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	if f := probeIssuer(t.Context(), secure.URL, nil); !strings.Contains(f.What, "authority unknown here") {
		t.Errorf("unknown authority: %+v", f)
	}
}
