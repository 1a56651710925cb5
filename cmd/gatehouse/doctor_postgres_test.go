package main

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/storage/storagetest"
)

// onTCP restarts a server so that it listens on a port too, with TLS as
// localhost.
func onTCP(t *testing.T, s *storagetest.PostgresServer, hba string) (port string) {
	t.Helper()
	cert, key := selfSigned(t, "localhost")
	for file, from := range map[string]string{"server.crt": cert, "server.key": key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(file, string(content))
	}
	s.Write("pg_hba.conf", hba)
	port = aPort(t)
	s.Restart("listen_addresses=127.0.0.1", "port="+port, "ssl=on")
	listens(t, port)
	return port
}

// listens waits until the server answers at this port, with whatever.
func listens(t *testing.T, port string) {
	t.Helper()
	waits(t, "postgres://nobody@127.0.0.1:"+port+"/none", func(err error) bool {
		return err == nil || !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "57P03")
	})
}

// waits asks the server until its answer is good.
func waits(t *testing.T, address string, good func(error) bool) {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := db.PingContext(t.Context())
		if good(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// These take a server of their own: what is wrong is wrong with the server.
func TestDoctorTellsFaultsOfAPostgreSQLServerApart(t *testing.T) {
	t.Parallel()
	server := storagetest.Postgres(t)
	execute(t, "pgx", server.URL, `ALTER ROLE postgres PASSWORD 'right'`)
	trust := "local all all trust\n"
	told := func(t *testing.T, address, check, says string) {
		t.Helper()
		told(t, onPostgres(t, address), check, says)
	}

	t.Run("TLS and passwords", func(t *testing.T) {
		port := onTCP(t, server, trust+"hostssl all all all scram-sha-256\n")
		at := "@127.0.0.1:" + port + "/gatehouse?sslmode="
		told(t, "postgres://postgres:wrong"+at+"require", "database", "the password is wrong")
		told(t, "postgres://postgres:right"+at+"disable", "database", "the server demands TLS")
		told(t, "postgres://postgres:right"+strings.Replace(at, "127.0.0.1", "localhost", 1)+"verify-full", "database", "the server's certificate is not trusted")
		told(t, "postgres://postgres:right"+at+"verify-full&sslrootcert="+certOf(t, server), "database", "the server's certificate is for another name")
	})
	t.Run("no line for the user", func(t *testing.T) {
		port := onTCP(t, server, trust)
		told(t, "postgres://postgres:right@127.0.0.1:"+port+"/gatehouse", "database", "the user is not let in")
	})
	server.Restart("max_connections=4", "superuser_reserved_connections=0", "max_wal_senders=0")
	waits(t, server.URL, func(err error) bool { return err == nil })
	t.Run("every connection is taken", func(t *testing.T) {
		taken, err := sql.Open("pgx", server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		for range 4 {
			c, err := taken.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		told(t, server.URL, "database", "there are too many connections")
	})
	t.Run("a standby", func(t *testing.T) {
		server.StopFast()
		server.Write("standby.signal", "")
		server.Restart("hot_standby=on")
		waits(t, server.URL, func(err error) bool { return err == nil })
		told(t, server.URL, "database", "is a standby")
		refusedBySaying(t, server.URL, "the database takes no writes")
	})
	t.Run("a standby that lets nobody in", func(t *testing.T) {
		server.Restart("hot_standby=off")
		waits(t, server.URL, func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "is not accepting connections")
		})
		told(t, server.URL, "database", "is a standby that lets nobody in")
	})
	t.Run("stopped", func(t *testing.T) {
		server.StopFast()
		told(t, server.URL, "database", "there is no such socket")
	})
}

// certOf is the file that the server's own certificate can be verified with.
func certOf(t *testing.T, s *storagetest.PostgresServer) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(u.Query().Get("host"), "data", "server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, path, string(content))
	return path
}

// refusedBySaying wants serve to refuse this database with the words of doctor.
func refusedBySaying(t *testing.T, address, says string) {
	t.Helper()
	cfg, err := config.Load(onPostgres(t, address))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := startServer(ctx, cfg, openLog(cfg.Log, t.Output()))
	if err == nil {
		cancel()
		s.wait(ctx)
		t.Fatal("serve starts")
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("serve refuses with %v, and does not say %q", err, says)
	}
}

func TestDoctorTellsFaultsOfAPostgreSQLDatabaseApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil       func(t *testing.T, address string) string
		check, says string
	}{
		"its database takes no writes": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `ALTER DATABASE `+databaseOf(t, a)+` SET default_transaction_read_only = on`)
			return a
		}, "database", "on, by database"},
		"its user writes nothing": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `ALTER ROLE postgres IN DATABASE `+databaseOf(t, a)+` SET default_transaction_read_only = on`)
			return a
		}, "database", "on, by database user"},
		"we ask for no writes": {func(_ *testing.T, a string) string {
			return a + "&options=-cdefault_transaction_read_only%3Don"
		}, "database", "on, by client"},
		"its clock is ahead": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `CREATE SCHEMA ahead`,
				`CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '1 minute' $$`,
				`ALTER DATABASE `+databaseOf(t, a)+` SET search_path = public, ahead, pg_catalog`)
			return a
		}, "clock", "ahead of this machine's"},
		"it has a migration of another program": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9998, true), (9999, true)`)
			return a
		}, "schema", "foreign to it: 9998, 9999"},
		"migrations are pending": {func(t *testing.T, a string) string {
			execute(t, "pgx", a, `DELETE FROM goose_db_version WHERE version_id > 1`)
			return a
		}, "schema", "pending: 0002_delivery.sql, 0003_device.sql"},
		"its server hangs": {func(t *testing.T, _ string) string {
			return "postgres://u@" + silentServer(t) + "/db?connect_timeout=1&sslmode=disable"
		}, "database", "it does not answer in time"},
		"its server is another": {func(t *testing.T, _ string) string {
			return "postgres://u@" + greetingServer(t, "SSH-2.0-OpenSSH_9.2\r\n") + "/db"
		}, "database", "it is no PostgreSQL server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told(t, onPostgres(t, c.spoil(t, storagetest.PostgresURL(t))), c.check, c.says)
		})
	}
}

// greetingServer speaks first, as PostgreSQL never does.
func greetingServer(t *testing.T, greeting string) string {
	t.Helper()
	return serving(t, func(c net.Conn) {
		io.WriteString(c, greeting)
		io.Copy(io.Discard, c)
		c.Close()
	})
}

func databaseOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
