package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/storage"
)

var (
	// ErrUnreachable: Redis does not answer, or does not let us in.
	ErrUnreachable = errors.New("the Redis server cannot be reached")
	// ErrUnusable: Redis answers, and does not count.
	ErrUnusable = errors.New("the Redis server does not count limits")
)

// lookWithin is how long Check waits for an answer, which is longer than requests do.
const lookWithin = 2 * time.Second

// oldest is the first version that has all that the scripts say (KEEPTTL).
const oldest = 6

// Check says what is wrong with the Redis at this URL, as a *storage.Trouble.
// It counts once under a name of its own, and changes nothing else.
func Check(ctx context.Context, url string) error {
	c, err := options(url, lookWithin)
	if err != nil {
		return err
	}
	d := &DB{client: redis.NewClient(c), address: c.Addr}
	defer d.client.Close()
	return d.Check(ctx)
}

// Check says what is wrong with this Redis, as a *storage.Trouble, in the time
// that a request would wait for it, and once more.
func (d *DB) Check(ctx context.Context) error {
	err := d.Ping(ctx)
	if err == nil {
		return nil
	}
	if _, answered := errors.AsType[redis.Error](err); answered {
		return d.explained(ctx, err)
	}
	if t := d.listen(); t != nil {
		t.Kind, t.What = ErrUnreachable, d.address+" "+t.What
		t.Evidence = oneLine(err)
		return t
	}
	return d.explained(ctx, err)
}

// listen talks to a server with which no conversation came about, since the two
// ways to be misunderstood show as silence or as a broken connection. It is nil
// where that is not it.
func (d *DB) listen() *storage.Trouble {
	o := d.client.Options()
	said := greet(o, "PING\r\n", o.ReadTimeout)
	if said == "" { // who is turned away may be so before the greeting is read, and then both are lost
		said = greet(o, "", answerWithin)
	}
	switch plain := strings.HasPrefix(said, "+PONG") || strings.HasPrefix(said, "-NOAUTH"); {
	case strings.Contains(said, "max number of clients"):
		return &storage.Trouble{What: "has too many connections", Cause: "more programs than maxclients allows", Fix: "raise maxclients of the server"}
	case o.TLSConfig != nil && plain:
		return &storage.Trouble{What: "refuses TLS: it speaks plain text", Cause: "rediss:// for a port without TLS", Fix: "write redis:// in REDIS_URL, or use the server's TLS port"}
	case o.TLSConfig == nil && !plain && speaksTLS(o):
		return &storage.Trouble{What: "demands TLS", Cause: "redis:// for a port with TLS", Fix: "write rediss:// in REDIS_URL"}
	}
	return nil
}

// greet sends a first word, in plain, and returns how the answer begins.
func greet(o *redis.Options, word string, within time.Duration) string {
	c, err := net.DialTimeout(o.Network, o.Addr, o.DialTimeout)
	if err != nil {
		return ""
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return ""
	}
	_, _ = io.WriteString(c, word) // who has hung up may have said why before
	answer := make([]byte, 64)
	n, _ := c.Read(answer) // no answer is one, too
	return string(answer[:n])
}

// speaksTLS reports whether a handshake comes about. Nothing is sent over it, so
// whose certificate it is does not matter.
func speaksTLS(o *redis.Options) bool {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: o.DialTimeout}, o.Network, o.Addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// explained is err as a trouble. An error of a script says more once the
// version is known.
func (d *DB) explained(ctx context.Context, err error) error {
	t := why(err)
	version, major := "", 0
	if t.Kind == ErrUnusable { // who does not answer need not be asked for more
		version, major = d.version(ctx)
	}
	if major > 0 && major < oldest {
		t = storage.Trouble{
			Kind: ErrUnusable, What: "is too old: version " + version, Cause: "a server of an old distribution",
			Fix: fmt.Sprintf("install Redis %d or newer, or Valkey, or leave redis_url empty", oldest),
		}
	}
	t.What = d.address + " " + t.What
	t.Evidence = oneLine(err)
	return &t
}

var versionLine = regexp.MustCompile(`(?m)^redis_version:((\d+)[0-9.]*)`)

// version is what the server says of itself; zero where it does not say.
func (d *DB) version(ctx context.Context) (version string, major int) {
	info, err := d.client.Info(ctx, "server").Result()
	if err != nil {
		return "", 0
	}
	m := versionLine.FindStringSubmatch(info)
	if m == nil {
		return "", 0
	}
	major, _ = strconv.Atoi(m[2]) // digits
	return m[1], major
}

// why tells apart in which ways Redis stays away, or stays but is of no use.
func why(err error) storage.Trouble {
	if e, ok := errors.AsType[redis.Error](err); ok {
		return whyRefused(e.Error())
	}
	t := func(what, cause, fix string) storage.Trouble {
		return storage.Trouble{Kind: ErrUnreachable, What: what, Cause: cause, Fix: fix}
	}
	_, unknownHost := errors.AsType[*net.DNSError](err)
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case unknownHost:
		return t("has a host name that is unknown", "a misspelt name, or a name of another network", "correct the host in REDIS_URL")
	case errors.Is(err, syscall.ECONNREFUSED):
		return t("has nothing that listens on the port", "a server that is stopped, or another port", "start Redis, or correct the port in REDIS_URL")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return t("is out of reach: there is no way to the host", "an address of another network", "correct the host in REDIS_URL")
	case errors.Is(err, fs.ErrNotExist):
		return t("is no socket that is there", "a server that is stopped, or another path", "start Redis, or correct the path in REDIS_URL")
	case errors.Is(err, fs.ErrPermission):
		return t("may not be opened by this user", "a socket of another group", "add this user to the group of the socket, or set unixsocketperm")
	case otherName:
		return t("has a certificate for another name", "an address by its number, or an inner name", "use the name that is in the certificate in REDIS_URL")
	case badCertificate:
		return t("has a certificate that is not trusted", "a private authority", "add its certificate to this machine's trust roots")
	case strings.Contains(err.Error(), "can't parse"):
		return t("is no Redis", "the port of another server", "correct the port in REDIS_URL")
	case errors.Is(err, io.EOF):
		return t("hangs up", "the port of another server, or a proxy whose Redis is gone", "correct the port in REDIS_URL, or see the log of the proxy")
	case errors.Is(err, context.DeadlineExceeded) || isNet && timeout.Timeout():
		return t("does not answer in time", "a firewall that swallows packets, or a server that hangs", "let this machine through to the port, or see the log of Redis")
	}
	return t("does not answer", "something between this machine and the server", "try the same address with redis-cli")
}

// whyRefused reads the word that an error of Redis begins with.
func whyRefused(said string) storage.Trouble {
	word, _, _ := strings.Cut(said, " ")
	closed := func(what, cause, fix string) storage.Trouble {
		return storage.Trouble{Kind: ErrUnreachable, What: what, Cause: cause, Fix: fix}
	}
	useless := func(what, cause, fix string) storage.Trouble {
		return storage.Trouble{Kind: ErrUnusable, What: what, Cause: cause, Fix: fix}
	}
	switch {
	case word == "NOAUTH":
		return closed("demands a password", "requirepass or an ACL on the server, and no password in the address", "write redis://:PASSWORD@HOST in REDIS_URL, or REDIS_URL_FILE")
	case word == "WRONGPASS", strings.Contains(said, "invalid password"):
		return closed("refuses the password or the user", "a password changed on one side only, or a user name that the server does not have", "correct it in REDIS_URL")
	case strings.Contains(said, "DB index is out of range"):
		return closed("has no database of that number", "a number at the end of REDIS_URL that is not below the server's databases", "correct the number, 0 where in doubt")
	case word == "DENIED":
		return closed("lets in this machine's own programs only", "protected-mode of a server without a password", "set a password on the server, and write it in REDIS_URL")
	case word == "LOADING":
		return useless("is still reading its data", "a restart", "wait until it has read it")
	case word == "READONLY":
		return useless("is a read-only replica", "the address of a replica, or a failover", "correct the host in REDIS_URL")
	case word == "MASTERDOWN":
		return useless("is a replica that lost its primary", "a primary that is stopped", "correct the host in REDIS_URL")
	case word == "OOM":
		return useless("has no memory left", "maxmemory with the policy noeviction", "raise maxmemory, or set maxmemory-policy allkeys-lru: limits may be lost")
	case word == "MISCONF":
		return useless("takes no writes because it cannot save them", "a full disk, or a directory that it may not write", "make room for its dump, or set stop-writes-on-bgsave-error no: limits may be lost")
	case word == "NOPERM":
		return useless("does not allow this user what limits need", "an ACL without EVALSHA, EVAL, TIME, GET or SET, or without our keys", "allow the user ~gatehouse:* +@scripting +@read +@write +time")
	case word == "MOVED", word == "CROSSSLOT", word == "CLUSTERDOWN":
		return useless("is a node of a cluster", "a Redis Cluster, which spreads keys over nodes", "give gatehouse a Redis of its own, or leave redis_url empty")
	}
	return useless("refuses", "what it says itself", "see the log of Redis")
}
