package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/outbound"
	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/upstream"
)

// examineUpstreams looks at each upstream from outside, as far as the settings
// say where it is.
func examineUpstreams(ctx context.Context, cfg *config.Config) []finding {
	out, err := outbound.New(outboundConfig(cfg))
	if err != nil { // checkFiles said so
		return nil
	}
	var all []finding
	for _, u := range upstream.NewSet(out, time.Now, upstreams(cfg)...).List() {
		if u.Issuer != "" && u.ClientID != "" {
			all = append(all, examineUpstream(ctx, u)...)
		}
	}
	return all
}

// assumed is what has to be known of what is said of Google.
const assumed = "; read by the answers that Google documents, which nobody has compared with its live ones yet"

func examineUpstream(ctx context.Context, u *upstream.Provider) []finding {
	check := "upstream " + u.ID
	seen := u.Probe(ctx)
	note := ""
	if u.ID == upstream.Google {
		note = assumed
	}
	var all []finding
	for _, f := range seen.Faults {
		w := provider.UpstreamFinding(&storage.Failure{Kind: "upstream." + f.Kind, Sent: f.Sent, Expected: f.Expected, Details: f.Details})
		all = append(all, finding{Check: check, What: w.What, Evidence: w.Evidence + note, Cause: w.Cause, Fix: w.Fix})
	}
	if len(all) > 0 {
		return all
	}
	good := well(check, "it knows us, by our secret and our address %s", u.RedirectURI)
	if len(seen.Untold) > 0 {
		good.What = "it answers, and leaves open " + strings.Join(seen.Untold, "; ")
	}
	if note != "" {
		good.Evidence = strings.TrimPrefix(note, "; ")
	}
	return []finding{good}
}

// maxLately is how many failures at an upstream are looked at.
const maxLately = 500

// lately says why people could not sign in at an upstream. That somebody was
// refused is no fault of the installation: it is told, and fails nothing.
func lately(ctx context.Context, id string, failures storage.Failures, now time.Time) []finding {
	check := "upstream " + id
	noted, err := failures.ListByUpstream(ctx, id, now.Add(-storage.FailuresKept), maxLately)
	if err != nil {
		return []finding{failed(check, err)}
	}
	byKind := make(map[string][]*storage.Failure)
	for _, f := range noted {
		byKind[f.Kind] = append(byKind[f.Kind], f)
	}
	var all []finding
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		newest := byKind[kind][0]
		w := provider.UpstreamFinding(newest)
		all = append(all, finding{
			Check: check, OK: true, What: fmt.Sprintf("%d sign-ins failed in %d days: %s", len(byKind[kind]), keptDays, w.What),
			Evidence: fmt.Sprintf("the last at %s: %s; gatehouse explain %s says more", moment(newest.At), w.Evidence, newest.Code), Cause: w.Cause, Fix: w.Fix,
		})
	}
	return all
}
