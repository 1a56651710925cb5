package sqlstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"gatehouse/storage"
)

var (
	// ErrHalf: the schema has gaps that no run of migrations leaves.
	ErrHalf = errors.New("the schema is half applied")
	// ErrRights: the user of the database may not do what serve does.
	ErrRights = errors.New("the database user has too few rights")
	// ErrReadOnly: the server, or its database, takes no writes.
	ErrReadOnly = errors.New("the database takes no writes")
)

// unreachable says why the database of this name did not let us in.
func unreachable(name string, err error) error {
	what, cause, fix := whyUnreachable(err)
	return &storage.Trouble{
		Kind: ErrUnreachable, What: name + ": " + what, Evidence: evidence(err), Cause: cause, Fix: fix,
	}
}

// evidence is what pgx says, on one line. Each address that it tried has a line
// of its own there, and one that it tried with and without TLS often the same twice.
func evidence(err error) string {
	var all []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return strings.Join(all, " ")
}

// whyUnreachable tells the ways apart in which PostgreSQL stays closed.
func whyUnreachable(err error) (what, cause, fix string) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return whyRefused(e)
	}
	_, unknownHost := errors.AsType[*net.DNSError](err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case unknownHost:
		return "the host name is unknown", "a misspelt name, or a name of another network", "correct the host in DATABASE_URL or DB_HOST"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on the port", "a server that is stopped, or another port", "start PostgreSQL, or correct the port in DATABASE_URL or DB_PORT"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket", "a server that is stopped, or another directory", "start PostgreSQL, or correct the host in DATABASE_URL"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to the host", "an address of another network, or a VPN that is not up", "correct the host in DATABASE_URL or DB_HOST, or let this machine reach it"
	case otherName:
		return "the server's certificate is for another name", "an address by its number, or an inner name", "use the name that is in the certificate in DATABASE_URL"
	case isInvalid && invalid.Reason == x509.Expired:
		return "the server's certificate has expired", "a renewal that failed, or a wrong clock here", "renew it on the server, or correct the clock"
	case badCertificate:
		return "the server's certificate is not trusted", "a private authority", "name its certificate with sslrootcert=FILE in DATABASE_URL"
	case strings.Contains(err.Error(), "server refused TLS"):
		return "the server refuses TLS", "ssl = off in postgresql.conf", "turn it on there, or on a private network set sslmode=disable in DATABASE_URL"
	case strings.Contains(err.Error(), "invalid body length"):
		return "it is no PostgreSQL server", "the port of another server", "correct the port in DATABASE_URL or DB_PORT"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout(err):
		return "it does not answer in time", "a firewall that swallows packets, a server that hangs, or another program on the port", "let this machine through to the port, or correct it"
	}
	return "the connection fails", "something between this machine and the server", "try the same address with psql"
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// whyRefused reads the SQLSTATE of a refusal (PostgreSQL, appendix A).
func whyRefused(e *pgconn.PgError) (what, cause, fix string) {
	switch {
	case e.Code == "28P01":
		return "the password is wrong", "a password changed on one side only", "correct it in DATABASE_URL or DB_PASSWORD, or set it with ALTER ROLE … PASSWORD"
	case e.Code == "28000" && strings.Contains(e.Message, "no encryption"):
		return "the server demands TLS", "sslmode=disable where pg_hba.conf has hostssl only", "set sslmode=require, or verify-full, in DATABASE_URL"
	case e.Code == "28000":
		return "the user is not let in", "a role that does not exist, or no line for it in pg_hba.conf", "make the role, or add the line and reload the server"
	case e.Code == "3D000":
		return "the database does not exist", "a misspelt name, or one that nobody made yet", "correct the name, or run: createdb NAME"
	case e.Code == "42501":
		return "the user lacks rights", "tables that another role owns", "as their owner, GRANT the rights to this user, or make it the owner"
	case e.Code == "53300":
		return "there are too many connections", "more nodes times database.max_connections than the server or the role allows", "lower database.max_connections, or raise max_connections of the server, or the CONNECTION LIMIT of the role"
	case e.Code == "57P03" && strings.Contains(e.Detail+e.Message, "ot standby"):
		return "the server is a standby that lets nobody in", "an address of the standby, or a failover that is not finished", "correct the host in DATABASE_URL, or promote the server"
	case e.Code == "57P03", e.Code == "57P01", e.Code == "57P02":
		return "the server is starting or stopping", "a restart", "wait until it accepts connections"
	case e.Code == "25006":
		return "it is read-only", "an address of a standby", "correct the host in DATABASE_URL"
	case e.Code == "53100":
		return "the disk of the server is full", "logs, old WAL files of a replication slot, or data that grew", "make room on the disk of the server"
	}
	return "the server refuses", "what it says itself", "see the log of the server"
}

// known are the refusals that a statement on an open connection can meet, and
// what they mean for the database.
var known = map[string]error{"42501": ErrRights, "25006": ErrReadOnly, "53100": ErrUnreachable, "57P01": ErrUnreachable, "57P03": ErrUnreachable}

// explained says what a failed look at the schema means, where it is known.
func (s *schema) explained(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && known[e.Code] != nil {
		what, cause, fix := whyRefused(e)
		return &storage.Trouble{Kind: known[e.Code], What: s.name + ": " + what, Evidence: e.Message, Cause: cause, Fix: fix}
	}
	if corrupt(err) {
		return &storage.Trouble{
			Kind: ErrDamaged, What: s.name + " is not a sound SQLite database", Evidence: err.Error(),
			Cause: "another program's file, or a copy made while serve ran", Fix: "correct the path, or restore it from a backup",
		}
	}
	return fmt.Errorf("read the schema version of %s: %w", s.name, err)
}
