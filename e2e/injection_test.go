package e2e

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// forged is what a log must not be told: lines of its own, an end of what is
// open, colours and a cleared screen, in the old way and in one byte, and text
// that runs backwards.
const forged = "x\r\n{\"level\":\"ERROR\",\"msg\":\"FORGED\"}\"}\n\x1b[31m\x1b[2J\u009b31m\u202eevil\u2028\x00\x7f"

// disturbing finds what is not printed in text, but for its line breaks.
func disturbing(text string) string {
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return fmt.Sprintf("%U", r)
		}
	}
	return ""
}

// raw sends a request byte by byte, and returns the answer's status and body.
func raw(t *testing.T, host, request string) (int, string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.Replace(host, "localhost", "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("%q is answered by %v", request, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// speaksAs sends requests under this user agent.
type speaksAs struct{ agent string }

func (a speaksAs) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", a.agent)
	return http.DefaultTransport.RoundTrip(r)
}

var pageCode = regexp.MustCompile(`[B-Z]{4}-[B-Z]{4}-[B-Z]{4}`)

func TestAC213_WhatStrangersSendMakesNoLineAndMovesNoCursor(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "GATEHOUSE_LOG_LEVEL=debug", "GATEHOUSE_LOG_FORMAT="+format, "GATEHOUSE_LOG_FILE=gatehouse.log")
			who := s.addUser("ines")
			s.addClient("app", "--redirect-uri", "https://app.example/cb")
			codes := provoke(t, s)

			// Somebody signs in under a user agent that is text as odd as a header can be.
			agent := "Browser/1 \"}\u009b31m\u202e\\x1b"
			p := newPerson(t, who)
			p.http.Transport = speaksAs{agent}
			p.submit(p.visit(s.issuer+"/login"), map[string]string{"username": who.username, "password": who.password})

			// Names that got into the database before, or past us.
			write(t, s, `UPDATE clients SET metadata = $1 WHERE id = 'app'`,
				`{"client_name":`+quoted(forged[:strings.Index(forged, "\x00")])+`,"redirect_uris":["https://app.example/cb"]}`)
			write(t, s, `UPDATE users SET username = $1 WHERE username = 'ines'`, strings.ReplaceAll(forged, "\x00", ""))
			commands := [][]string{{"client", "list"}, {"client", "show", "app"}, {"client", "show", "app", "-o", "json"}, {"user", "list"}, {"user", "list", "-o", "json"}, {"doctor"}, {"doctor", "-o", "json"}, {"explain", forged[:20]}, {"client", "show", forged[:20]}}
			for _, code := range codes {
				commands = append(commands, []string{"explain", code}, []string{"explain", code, "-o", "json"})
			}
			for _, args := range commands {
				out, complaint, _ := s.try("", args...)
				for _, text := range []string{out, complaint} {
					if found := disturbing(text); found != "" {
						t.Errorf("gatehouse %q prints %s: %q", args, found, text)
					}
					if strings.Contains(text, "\n{\"level\"") || strings.Contains(text, "\nFORGED") {
						t.Errorf("gatehouse %q prints a forged line: %q", args, text)
					}
				}
				if out+complaint == "" {
					t.Errorf("gatehouse %q prints nothing", args)
				}
			}
			s.stop()
			file, err := os.ReadFile(filepath.Join(s.nodes[0].dir(), "gatehouse.log"))
			if err != nil {
				t.Fatal(err)
			}
			for name, log := range map[string]string{"the log": s.stderr.String(), "the log file": string(file)} {
				logged(t, name, log, format == "json" || name == "the log file")
			}
			for _, e := range eventsOf(t, s) {
				if found := disturbing(e); found != "" {
					t.Errorf("an event has %s: %q", found, e)
				}
			}
		})
	}
}

// provoke sends what is forged wherever a stranger can put something, and
// returns the codes of the error pages.
func provoke(t *testing.T, s *server) (codes []string) {
	t.Helper()
	page := func(status int, body string) {
		if code := pageCode.FindString(body); code != "" && status >= 400 {
			codes = append(codes, code)
		}
	}
	odd := url.QueryEscape(forged)
	get := func(target, more string) {
		page(raw(t, s.host(), "GET "+target+" HTTP/1.1\r\nHost: "+s.host()+"\r\nConnection: close\r\nAccept: text/html\r\n"+more+"\r\n"))
	}
	noNull := url.QueryEscape(strings.ReplaceAll(forged, "\x00", ""))
	for _, q := range []string{
		"client_id=" + noNull + "&redirect_uri=https://app.example/cb",
		"client_id=app&redirect_uri=" + noNull,
		"client_id=app&redirect_uri=" + odd,
		"client_id=app&redirect_uri=https://app.example/cb%3F" + noNull + "=1",
		odd + "=1&client_id=app",
		"client_id=app&client_id=" + odd,
	} {
		get("/authorize?"+q, "")
	}
	get("/authorize?client_id=app&redirect_uri=https://app.example/cb&response_type="+noNull+"&state="+noNull, "")
	get("/authorize?client_id=app&redirect_uri=https://app.example/cb&response_type=code&code_challenge_method=S256&code_challenge="+strings.Repeat("x", 43)+"&scope="+noNull, "")
	get("/authorize/resume?id="+noNull, "")
	get("/logout?client_id="+noNull, "")
	get("/"+url.PathEscape(forged), "")
	get("/login?request="+odd, "User-Agent: \"}\u009b31m\u202e\r\nX-Forwarded-For: \u009b\r\nX-Request-Id: \u009bFORGED\r\n")
	page(raw(t, s.host(), "GET / HTTP/1.1\r\nHost: \u009bevil\r\nConnection: close\r\n\r\n"))
	page(raw(t, s.host(), "FORGED\"} / HTTP/1.1\r\nHost: "+s.host()+"\r\nConnection: close\r\n\r\n"))
	form := "username=" + odd + "&password=" + odd
	page(raw(t, s.host(), fmt.Sprintf("POST /login HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		s.host(), s.issuer, len(form), form)))
	if len(codes) < 8 {
		t.Fatalf("only %d pages had a code", len(codes))
	}
	return codes
}

// logged fails the test where a log has a line that none of ours made.
func logged(t *testing.T, name, log string, asJSON bool) {
	t.Helper()
	if found := disturbing(log); found != "" {
		t.Errorf("%s has %s", name, found)
	}
	n := 0
	for line := range strings.Lines(log) {
		n++
		if !asJSON {
			if !strings.HasPrefix(line, "time=") || !strings.Contains(line, " level=") {
				t.Errorf("%s has the line %q", name, line)
			}
			continue
		}
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields["time"] == nil || fields["msg"] == "FORGED" {
			t.Errorf("%s has the line %q", name, line)
		}
	}
	if n < 20 {
		t.Errorf("%s has only %d lines", name, n)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string does not fail
	return string(b)
}

// kept opens the database of the server beside it.
func kept(t *testing.T, s *server) *sql.DB {
	t.Helper()
	driver, address := "sqlite", filepath.Join(s.data, "gatehouse.db")
	if s.database != "" {
		driver, address = "pgx", s.database
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func write(t *testing.T, s *server, statement string, args ...any) {
	t.Helper()
	done, err := kept(t, s).Exec(statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%s: %d rows, %v", statement, n, err)
	}
}

// eventsOf are the rows of the audit log, as one text each.
func eventsOf(t *testing.T, s *server) []string {
	t.Helper()
	all, err := column(kept(t, s), `SELECT name || ' ' || actor || ' ' || client_id || ' ' || ip || ' ' || user_agent || ' ' || method || ' ' || path || ' ' || request_id || ' ' || details FROM events`)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no events")
	}
	return all
}
