package e2e

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// A cable connects a server over TCP to what it needs, and can be cut.
type cable struct {
	t        testing.TB
	database string // of PostgreSQL: its name
	user     *url.Userinfo
	network  string // of what it leads to
	address  string
	port     string // of the near end

	mu       sync.Mutex
	listener net.Listener
	ends     []net.Conn
}

// startCable lays a cable to the database at this URL.
func startCable(t testing.TB, database string) *cable {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", u.Host
	if socket := u.Query().Get("host"); strings.HasPrefix(socket, "/") {
		network, address = "unix", socket+"/.s.PGSQL.5432"
	} else if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "5432")
	}
	c := layCable(t, network, address)
	c.database, c.user = u.Path, u.User
	return c
}

// layCable lays a cable to whatever listens at this address.
func layCable(t testing.TB, network, address string) *cable {
	t.Helper()
	c := &cable{t: t, network: network, address: address, port: freePort(t)}
	c.mend()
	t.Cleanup(c.cut)
	return c
}

// settings make a server use the cable.
func (c *cable) settings() []string {
	address := url.URL{Scheme: "postgres", User: c.user, Host: "127.0.0.1:" + c.port, Path: c.database, RawQuery: "sslmode=disable"}
	return []string{
		"DATABASE_URL=" + address.String(), "GATEHOUSE_MIGRATE=auto",
		"GATEHOUSE_MASTER_KEY=" + masterKey,
	}
}

// mend lays it again.
func (c *cable) mend() {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+c.port)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.listener = l
	c.mu.Unlock()
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // cut
			}
			far, err := net.Dial(c.network, c.address)
			if err != nil {
				near.Close()
				continue
			}
			c.mu.Lock()
			c.ends = append(c.ends, near, far)
			c.mu.Unlock()
			go pump(near, far)
			go pump(far, near)
		}
	}()
}

// pump carries bytes one way until either end is closed.
func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
}

// cut ends every connection and takes no new one.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listener.Close()
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}
