package e2e

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// balancerAddress is where the balancer's connections come from: the one
// proxy that its nodes believe, and nobody else's address.
const balancerAddress = "127.0.0.2"

// A balancer stands in front of the nodes at the issuer's address, as an
// operator's would: it asks each node's /readyz, gives requests to those that
// are ready in turn, and to any while none is. It sends a request to another
// node only where the first refused the connection, so that nothing of it was
// sent: what a node has seen may be spent. A request that a node leaves without
// an answer loses its connection, for no answer must not look like one.
type balancer struct {
	nodes []*node
	turn  atomic.Uint64
	via   *http.Transport
}

// startBalancer puts a balancer in front of nodes, at this port.
func startBalancer(t testing.TB, port string, nodes []*node) {
	t.Helper()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(balancerAddress)}}
	b := &balancer{nodes: nodes, via: &http.Transport{DialContext: from.DialContext, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true}}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	door := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: &httputil.ReverseProxy{
		Rewrite:      forwarded,
		Transport:    b,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}}
	go door.Serve(l)
	ctx, stop := context.WithCancel(context.Background())
	for _, n := range nodes {
		go b.watch(ctx, n)
	}
	t.Cleanup(func() {
		stop()
		door.Close()
		b.via.CloseIdleConnections()
	})
}

// forwarded passes a request on as it came, and says from whom.
func forwarded(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = r.In.Host
	r.Out.Header["X-Forwarded-For"] = slices.Clone(r.In.Header["X-Forwarded-For"])
	r.SetXForwarded()
}

// readyEvery is how often a node is asked whether it is ready.
const readyEvery = 100 * time.Millisecond

// watch keeps what is known of a node's readiness.
func (b *balancer) watch(ctx context.Context, n *node) {
	for tick := time.NewTicker(readyEvery); ctx.Err() == nil; {
		n.isReady.Store(ready(n.base + "/readyz"))
		select {
		case <-ctx.Done():
			tick.Stop()
		case <-tick.C:
		}
	}
}

// RoundTrip sends a request to the node whose turn it is.
func (b *balancer) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	for _, n := range b.inTurn() {
		out := r.Clone(r.Context())
		out.URL.Host = n.address
		if r.Body != nil {
			out.Body = io.NopCloser(r.Body) // what one node refused is still unread for the next
		}
		resp, err = b.via.RoundTrip(out)
		if !refused(err) {
			return resp, err
		}
		n.isReady.Store(false)
	}
	return resp, err
}

// refused reports whether a node took no connection: it has seen nothing.
func refused(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

// inTurn are the nodes to try: those that are ready first, each as often as
// the others.
func (b *balancer) inTurn() []*node {
	i := int(b.turn.Add(1) % uint64(len(b.nodes)))
	all := slices.Concat(b.nodes[i:], b.nodes[:i])
	slices.SortStableFunc(all, func(x, y *node) int {
		switch {
		case x.isReady.Load() == y.isReady.Load():
			return 0
		case x.isReady.Load():
			return -1
		}
		return 1
	})
	return all
}

// client speaks to this node alone, whatever the address says: so the request
// names the issuer as its host, as one through the balancer does.
func (n *node) client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, n.address)
		},
	}}
}
