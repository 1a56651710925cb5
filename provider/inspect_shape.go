package provider

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// maxPasted bounds what is looked at.
const maxPasted = 64 << 10

var (
	headerName = regexp.MustCompile(`(?i)^\s*(proxy-)?authorization\s*:\s*`)
	bearerWord = regexp.MustCompile(`(?i)^(bearer|dpop|token)(\s+|\s*:\s*|%20)`)
	formMember = regexp.MustCompile(`(^|[?&#])(access_token|id_token|refresh_token|token|code|client_secret|device_code)=([^&#\s]+)`)
	escape     = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	tokenText  = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]+$`)
)

// shape peels off what surrounds the token, with a finding for each layer, and
// returns what is left; empty where there is no token in it.
func (n *inspecting) shape() string {
	// The line end is the terminal's, not the token's.
	s := strings.TrimSuffix(strings.TrimSuffix(n.ask.Pasted, "\n"), "\r")
	switch {
	case s == "":
		n.trouble("empty", "it has no characters")
		return ""
	case len(s) > maxPasted:
		n.trouble("too_long", "it has %d characters", len(s))
		return ""
	}
	for _, peel := range []func(string) string{n.json, n.headerLine, n.quotes, n.form, n.bearer, n.escapes, n.quotes, n.bearer, n.spaces, n.invisible} {
		if s = peel(s); s == "" {
			return ""
		}
	}
	return n.text(s)
}

// members are those of a token response, and of what programs keep it in, with
// the kind of token for which each is the first to be looked at.
var members = []struct {
	kind  TokenKind
	names []string
}{
	{AccessKind, []string{"access_token", "accessToken", "token"}},
	{IDKind, []string{"id_token", "idToken"}},
	{RefreshKind, []string{"refresh_token", "refreshToken"}},
}

func (n *inspecting) json(s string) string {
	var object map[string]any
	if !strings.HasPrefix(strings.TrimSpace(s), "{") || json.Unmarshal([]byte(s), &object) != nil {
		return s
	}
	order := slices.Clone(members)
	slices.SortStableFunc(order, func(a, b struct {
		kind  TokenKind
		names []string
	}) int {
		return rank(a.kind == n.ask.Expect) - rank(b.kind == n.ask.Expect)
	})
	for _, m := range order {
		for _, name := range m.names {
			if token, ok := object[name].(string); ok && token != "" {
				n.trouble("json_object", "it is a JSON object; its %s was looked at", name)
				return token
			}
		}
	}
	n.trouble("json_object", "it is a JSON object with %d members, none of them a token", len(object))
	return ""
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

func (n *inspecting) headerLine(s string) string {
	name := headerName.FindString(s)
	if name == "" {
		return s
	}
	n.trouble("header_name", "it begins with %s", quoted(strings.TrimSpace(name)))
	s = s[len(name):]
	return s[len(bearerWord.FindString(s)):] // belongs to the header
}

func (n *inspecting) quotes(s string) string {
	t := strings.TrimSpace(s)
	for _, pair := range []string{`""`, `''`, "``", "“”", "‘’", "«»"} {
		marks := []rune(pair)
		open, closing := string(marks[0]), string(marks[1])
		opened, closed := strings.HasPrefix(t, open), strings.HasSuffix(t, closing)
		if !opened && !closed {
			continue
		}
		n.trouble("quotes", "it begins or ends with %s", open)
		return strings.TrimSuffix(strings.TrimPrefix(t, open), closing)
	}
	return s
}

func (n *inspecting) form(s string) string {
	found := formMember.FindStringSubmatch(s)
	if found == nil {
		return s
	}
	n.trouble("form_pasted", "the value of %s was looked at", found[2])
	if value, err := url.QueryUnescape(found[3]); err == nil {
		return value
	}
	return found[3]
}

func (n *inspecting) bearer(s string) string {
	word := bearerWord.FindString(strings.TrimLeft(s, " \t"))
	if word == "" {
		return s
	}
	rest := strings.TrimLeft(s, " \t")
	times := 0
	for word != "" {
		rest, times = rest[len(word):], times+1
		word = bearerWord.FindString(rest)
	}
	n.trouble("bearer", "it begins with an authentication scheme, %d time(s)", times)
	return strings.TrimSpace(rest)
}

func (n *inspecting) escapes(s string) string {
	found := escape.FindAllString(s, -1)
	if found == nil {
		return s
	}
	n.trouble("url_encoded", "it has %d sequences like %s", len(found), found[0])
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return ""
}

func (n *inspecting) spaces(s string) string {
	breaks := strings.Count(strings.TrimSpace(s), "\n") + strings.Count(strings.TrimSpace(s), `\n`)
	joined := strings.Join(strings.Fields(strings.ReplaceAll(s, `\n`, "\n")), "")
	switch {
	case breaks > 0:
		n.trouble("line_breaks", "it has %d line breaks", breaks)
	case joined != s:
		n.trouble("white_space", "it has %d white-space characters", len([]rune(s))-len([]rune(joined)))
	}
	if joined == "" && breaks == 0 {
		return ""
	}
	return joined
}

func (n *inspecting) invisible(s string) string {
	count := 0
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
			count++
			return -1
		}
		return r
	}, s)
	if count > 0 {
		n.trouble("invisible", "it has %d of them", count)
	}
	return plain
}

// placeholders are what stands in a header where a value is missing.
var placeholders = []string{"undefined", "null", "nil", "none", "true", "false", "[object object]", "[objectobject]", "nan", "token", "access_token", "your_token", "your_token_here"}

// text refuses what no token looks like.
func (n *inspecting) text(s string) string {
	switch {
	case slices.Contains(placeholders, strings.ToLower(s)) || strings.ContainsAny(s, "${}<>"):
		n.trouble("placeholder", "it has %d characters and is a word or a pattern", len(s))
	case strings.HasSuffix(s, "…") || strings.HasSuffix(s, "..."):
		n.trouble("truncated", "it ends with an ellipsis after %d characters", len(strings.TrimRight(s, "….")))
	case !tokenText.MatchString(s):
		n.trouble("not_a_token", "it has %d characters, some of which no token has", len(s))
	default:
		return s
	}
	return ""
}

// padded tells, and takes back, another base64 than a JWT's.
func (n *inspecting) padded(s string) string {
	plain := strings.NewReplacer("=", "", "+", "-", "/", "_").Replace(s)
	if plain != s {
		n.trouble("padding", "it has %s", characters(s, "=+/"))
	}
	return plain
}

func characters(s, of string) string {
	var all []string
	for _, r := range of {
		if c := strings.Count(s, string(r)); c > 0 {
			all = append(all, fmt.Sprintf("%d × %q", c, r))
		}
	}
	return strings.Join(all, ", ")
}
