package outbound

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestALibrarysExchangesAreBoundedAsAllOthers(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/long":
			io.WriteString(w, strings.Repeat("x", MaxBody+1))
		case "/elsewhere":
			http.Redirect(w, q, "/token", http.StatusTemporaryRedirect)
		case "/slow":
			w.(http.Flusher).Flush()
			select {
			case <-q.Context().Done():
			case <-time.After(4 * Timeout):
			}
		default:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, q.UserAgent()+" "+q.PostFormValue("code"))
		}
	})
	c := r.trusting(t).HTTP()
	answer, err := c.Post(r.URL+"/token", "application/x-www-form-urlencoded", strings.NewReader("code=a"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusBadRequest || string(body) != "gatehouse a" {
		t.Errorf("%d %q, %v: any status is an answer", answer.StatusCode, body, err)
	}
	for path, reason := range map[string]Reason{"/long": Size, "/elsewhere": Redirect, "/slow": Time} {
		_, err := c.Get(r.URL + path)
		wantReason(t, err, reason)
	}
	_, err = client(t, Config{CAFile: r.ca}).HTTP().Get(r.URL)
	wantReason(t, err, Address)
	_, err = c.Get("http://" + r.Listener.Addr().String())
	wantReason(t, err, Scheme)
	_, err = c.Get(strings.Replace(r.URL, "https://", "https://user:password@", 1))
	wantReason(t, err, Name)
}
