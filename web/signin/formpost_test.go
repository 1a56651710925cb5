package signin_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestAC044_L14_AHostileStateIsTextInTheOneFormOfAFormPost(t *testing.T) {
	h := newHouse(t)
	h.user("alice")
	h.client("web")
	const hostile = `"><script>x</script><form action=//evil.test>`
	b := h.browser()
	id := b.begin(authorize("web", "response_mode", "form_post", "state", hostile))
	b.signIn("alice", id)
	b.agree(id, "allow")
	a := b.get(h.provider.ResumeURL(id))
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	page, err := html.Parse(strings.NewReader(a.body))
	must(t, err)
	var actions []string
	fields := make(map[string]string)
	for n := range page.Descendants() {
		switch n.Data {
		case "form":
			actions = append(actions, attribute(n, "action"))
		case "input":
			fields[attribute(n, "name")] = attribute(n, "value")
		case "script":
			if attribute(n, "src") != "" || strings.Contains(n.FirstChild.Data, "x") && strings.Contains(n.FirstChild.Data, "<") {
				t.Errorf("a script: %s", n.FirstChild.Data)
			}
		}
	}
	if len(actions) != 1 || actions[0] != "https://rp.test/cb" {
		t.Errorf("the forms lead to %v", actions)
	}
	if fields["state"] != hostile || fields["iss"] != h.issuer || fields["code"] == "" {
		t.Errorf("the fields are %v", fields)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
