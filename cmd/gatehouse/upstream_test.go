package main

import (
	"net/netip"
	"testing"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/outbound"
	"gatehouse/upstream"
	"gatehouse/upstream/upstreamtest"
	"gatehouse/web"
)

func TestTheHealthOfUpstreamsIsHowTheyLastAnswered(t *testing.T) {
	t.Parallel()
	op := upstreamtest.New(t)
	out, err := outbound.New(outbound.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	all := upstream.NewSet(out, time.Now)
	check := healthChecks(nil, nil, nil, all, time.Now)[3]
	status := func() web.HealthStatus { return check.Run(t.Context()).Status }
	if s := status(); check.Name != "upstreams" || s != web.Healthy {
		t.Errorf("%s without any is %s", check.Name, s)
	}
	all.Replace([]upstream.Config{{ID: "partner", Issuer: op.URL}})
	if s := status(); s != web.Healthy || op.Asked("/.well-known/openid-configuration") != 0 {
		t.Errorf("one that nobody went to is %s", s)
	}
	op.Document(func(d map[string]any) { d["issuer"] = "https://another.example" })
	if _, err := all.Find("partner").Leave(t.Context(), upstream.Ask{}); err == nil {
		t.Fatal("somebody was sent to another issuer")
	}
	if s := status(); s != web.Degraded {
		t.Errorf("one that answers wrongly is %s", s)
	}
}

func TestAReloadDoesNotMoveTheAddressThatIsServed(t *testing.T) {
	t.Parallel()
	const issuer = "https://id.example.com"
	own := config.Upstream{ID: "partner", RedirectURI: issuer + "/login/upstream/partner/callback"}
	free := config.Upstream{ID: "google", RedirectURI: issuer + "/auth/google/callback"}
	moved := config.Upstream{ID: "google", RedirectURI: issuer + "/auth/callback"}
	s := &server{cfg: &config.Config{Issuer: issuer, Upstreams: []config.Upstream{free}}, upstreams: upstream.NewSet(nil, time.Now)}
	for name, c := range map[string]struct {
		next []config.Upstream
		ok   bool
	}{
		"the same and one more": {[]config.Upstream{free, own}, true},
		"none":                  {nil, true},
		"another address":       {[]config.Upstream{moved}, false},
		"the address of another upstream, which moved": {[]config.Upstream{{ID: "partner", RedirectURI: free.RedirectURI}}, false},
	} {
		before := len(s.upstreams.List())
		err := s.replaceUpstreams(&config.Config{Issuer: issuer, Upstreams: c.next})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if want := len(c.next); c.ok && len(s.upstreams.List()) != want || !c.ok && len(s.upstreams.List()) != before {
			t.Errorf("%s: there are %d upstreams", name, len(s.upstreams.List()))
		}
	}
}
