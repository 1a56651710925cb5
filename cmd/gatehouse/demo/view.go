package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

//go:embed page.html demo.css mark.svg
var files embed.FS

var assetTypes = map[string]string{"demo.css": "text/css; charset=utf-8", "mark.svg": "image/svg+xml"}

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"asset": asset, "claims": claimRows, "clock": clock, "initial": initial, "sentence": sentence, "first": first,
}).ParseFS(files, "page.html"))

// A view is the page: at most one of Person, Problem and Gone decides what is on top.
type view struct {
	App     AppConfig
	Person  *person
	Answer  *answer
	Problem *problem
	Gone    bool // just signed out
}

// Title says the state of the page first.
func (v view) Title() string {
	switch {
	case v.Problem != nil:
		return v.Problem.Title
	case v.Person != nil:
		return "Signed in as " + v.Person.Name
	case v.Gone:
		return "Signed out"
	}
	return "Sign in"
}

// show draws the page.
func (a *App) show(w http.ResponseWriter, status int, v view) {
	v.App = a.AppConfig
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, v); err != nil {
		a.Log.Error("sample app: draw the page", "error", err)
		http.Error(w, "the page could not be drawn", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // the browser may be gone; there is nobody to tell
}

// asset is the address of a file, which changes with its content.
func asset(name string) (string, error) {
	content, err := files.ReadFile(name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return "/assets/" + name + "?v=" + hex.EncodeToString(sum[:6]), nil
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, err := files.ReadFile(name)
	if err != nil || assetTypes[name] == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", assetTypes[name])
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content)
}

// A claimRow is one claim, and what it is for.
type claimRow struct{ Name, Value, Meaning string }

// meanings are in the order in which claims are shown.
var meanings = []claimRow{
	{Name: "iss", Meaning: "who says so"},
	{Name: "sub", Meaning: "the person, for good"},
	{Name: "aud", Meaning: "whom it is for: this app"},
	{Name: "azp", Meaning: "who asked for it"},
	{Name: "iat", Meaning: "when it was issued"},
	{Name: "exp", Meaning: "until when it counts"},
	{Name: "auth_time", Meaning: "when the person signed in"},
	{Name: "amr", Meaning: "how they proved it"},
	{Name: "acr", Meaning: "how sure that is"},
	{Name: "nonce", Meaning: "ties it to this browser's request"},
	{Name: "sid", Meaning: "the session at the provider"},
	{Name: "at_hash", Meaning: "ties it to the access token"},
}

// claimRows orders claims: the known ones as above, the others by name.
func claimRows(claims map[string]any) []claimRow {
	rest := maps.Clone(claims)
	var rows []claimRow
	add := func(name, meaning string) {
		if v, ok := rest[name]; ok {
			rows = append(rows, claimRow{name, claimText(name, v), meaning})
			delete(rest, name)
		}
	}
	for _, m := range meanings {
		add(m.Name, m.Meaning)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		add(name, "")
	}
	return rows
}

// claimText writes instants as people read them, and the rest as JSON would.
func claimText(name string, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		if slices.Contains([]string{"iat", "exp", "auth_time", "updated_at"}, name) {
			return time.Unix(int64(v), 0).UTC().Format("2006-01-02 15:04:05 UTC")
		}
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, ", ")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }

// initial is the letter in the badge of a name.
func initial(name string) string {
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "·"
}

// sentence makes one of what an error says.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// first is the beginning of a token: its header, and nothing that counts.
func first(token string) string { return token[:min(len(token), 24)] }
