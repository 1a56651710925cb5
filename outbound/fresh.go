package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// freshness is how long an answer may be kept by its Cache-Control and Age
// (RFC 9111 §4.2): zero where it must not be, or does not say.
func freshness(h http.Header) time.Duration {
	var seconds int64
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			if err != nil {
				return 0
			}
			seconds = n
		}
	}
	if age, err := strconv.ParseInt(h.Get("Age"), 10, 32); err == nil {
		seconds -= max(age, 0)
	}
	return time.Duration(max(seconds, 0)) * time.Second
}
