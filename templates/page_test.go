package templates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/net/html"
)

func drawn(t *testing.T, f Frame, page templ.Component) string {
	t.Helper()
	var b strings.Builder
	if err := page.Render(In(t.Context(), f), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// everyPage is each page with every part of it shown, and text in every place
// that takes one.
func everyPage(text string) map[string]templ.Component {
	app := App{Name: text, Host: text, Home: "https://rp.test/" + text, Policy: text, Terms: text, Development: true}
	person := Person{Name: text, Login: text}
	problems := Problems{{Field: "username", Text: text}, {Text: text}, {Field: "email", Text: text}, {Field: "password", Text: text}}
	form := PasswordForm(PasswordView{Errand: []Hidden{{"request", text}, {"account", "other"}}, Username: text, Problems: problems})
	buttons := Upstreams(UpstreamsView{Upstreams: []Upstream{{ID: "google", Name: "Google", Google: true}, {ID: "partner", Name: text}}, Errand: []Hidden{{"request", text}}, Beside: true})
	return map[string]templ.Component{
		"home":           Home(&person),
		"home, nobody":   Home(nil),
		"sign-in":        SignIn(SignInView{Request: text, App: &app, Offers: []templ.Component{form}, Problems: problems}),
		"sign-in, again": SignIn(SignInView{Request: text, App: &app, Again: &person, Offers: []templ.Component{form}}),
		"consent": Consent(ConsentView{Request: text, App: app, Person: person, User: text,
			Scopes: []string{"openid", text}, Known: []string{"email", text}, Problems: problems}),
		"sign-in, device":  SignIn(SignInView{Device: text, Offers: []templ.Component{PasswordForm(PasswordView{}), buttons}}),
		"sign-in, account": SignIn(SignInView{Again: &person, Offers: []templ.Component{buttons}}),
		"upstream failed":  UpstreamFailed(UpstreamFailedView{Message: "upstream.domain", Name: text, Again: "/login?request=" + text, GoOn: "upstream.again", Reference: text}),
		"link":             Link(LinkView{ID: text, Upstream: text, Label: text, Person: &person, SignIn: "/login?link=" + text, Onward: "/login"}),
		"link, confirmed":  Link(LinkView{ID: text, Upstream: text, Label: text, Person: &person, Mine: true, Fresh: true, Onward: "/"}),
		"account": Account(AccountView{Person: person, Email: text, EmailVerified: true, Password: true, Offers: []Upstream{{ID: "partner", Name: text}}, Problems: problems,
			Notice: "account.unlinked", NoticeName: text, Identities: []LinkedIdentity{{ID: text, Upstream: text, Label: text, Closed: true}, {ID: text, Upstream: text, Label: text, Last: true}}}),
		"device": DeviceCode(DeviceCodeView{Code: text, Problems: Problems{{Field: "user_code", Text: text}}}),
		"device, asked": DeviceConfirm(DeviceConfirmView{Code: text, App: app, Person: person, User: text, Ago: time.Minute,
			Address: text, OtherNetwork: true, Agent: text, Scopes: []string{"openid", text}, Known: []string{"email", text}, Problems: problems}),
		"device, allowed": DeviceAnswered(true),
		"device, denied":  DeviceAnswered(false),
		"sign-out":        SignOut(SignOutView{Request: text, App: &app, Person: person}),
		"signed out":      SignedOut(),
		"set-up":          Setup(SetupView{Token: text, Email: text, Name: text, Rules: []string{text}, Problems: problems}),
		"set up":          SetupDone(),
		"set-up used":     SetupUsed(),
		"error":           Error(ErrorView{Message: "error.internal", Parameter: text, Back: text, Reference: text, Wait: time.Minute}),
		"form post":       FormPost(FormPostView{Action: text, Host: text, Fields: []FormPostField{{text, text}}}),
	}
}

// unwanted are the elements that load or run something.
var unwanted = []string{"style", "iframe", "object", "embed", "base", "img", "video", "audio"}

// checkMarkup looks for whatever could run or load something that is not ours.
func checkMarkup(t *testing.T, page, markup string) {
	t.Helper()
	scripts := 0
	z := html.NewTokenizer(strings.NewReader(markup))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if z.Err() != io.EOF {
				t.Errorf("%s: %v", page, z.Err())
			}
			break
		}
		token := z.Token()
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		if token.Data == "script" {
			scripts++
		}
		if slices.Contains(unwanted, token.Data) {
			t.Errorf("%s: has <%s>", page, token.Data)
		}
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" {
				t.Errorf("%s: <%s> has %s=%q", page, token.Data, a.Key, a.Val)
			}
			if value := strings.ToLower(strings.TrimSpace(a.Val)); (a.Key == "href" || a.Key == "action") && strings.HasPrefix(value, "javascript:") {
				t.Errorf("%s: <%s> leads to %q", page, token.Data, a.Val)
			}
		}
	}
	if allowed := page == "form post"; scripts > 1 || scripts == 1 && !allowed {
		t.Errorf("%s: has %d scripts", page, scripts)
	}
}

func TestAC137_StoredMarkupIsInertText(t *testing.T) {
	for _, hostile := range []string{
		`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `</title><style>*{}</style>`, `javascript:alert(1)`,
		"{{.Secret}}", `<svg/onload=alert(1)>`, "a\x02b\x03c\x00d\r\ne", "\u202egnp.exe", `" autofocus onfocus=alert(1) x="`,
	} {
		for name, page := range everyPage(hostile) {
			markup := drawn(t, Frame{Text: Spoken("en"), Site: hostile, Here: "/login?request=" + "x"}, page)
			checkMarkup(t, name, markup)
			if strings.Contains(markup, "<script>alert") {
				t.Errorf("%s: %q came through: %s", name, hostile, markup)
			}
		}
	}
}

func TestAC137_AValueCannotPassForTheWordsAroundIt(t *testing.T) {
	got := Spoken("en").runs("login.to_app", "App", "Bank\x03, the real one\x02")
	want := []run{{text: "to continue to "}, {text: "Bank, the real one", strong: true}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAC137_RegisteredAddressesAreLinksOrNothing(t *testing.T) {
	for uri, want := range map[string]string{
		"https://rp.test/a?b=c":          "https://rp.test/a?b=c",
		"http://localhost:8001/":         "http://localhost:8001/",
		"com.example.app:/callback":      "com.example.app:/callback",
		"javascript:alert(1)":            "#",
		"JavaScript:alert(1)":            "#",
		" javascript:alert(1)":           "#",
		"data:text/html,<script>x":       "#",
		"vbscript:x":                     "#",
		"//evil.test/":                   "#",
		"java\nscript:alert(1)//a.b:c.d": "#",
	} {
		if got := string(away(uri)); got != want {
			t.Errorf("%q leads to %q, want %q", uri, got, want)
		}
	}
}

func TestPagesHaveNoStyleOrScriptOfTheirOwn(t *testing.T) {
	for _, tag := range Languages() {
		for name, page := range everyPage("Alice") {
			markup := drawn(t, Frame{Text: Spoken(tag), Site: "id.example.com", Here: "/"}, page)
			checkMarkup(t, name, markup)
			if !strings.Contains(markup, `<html lang="`+tag+`"`) {
				t.Errorf("%s: does not say that it is in %s", name, tag)
			}
		}
	}
}

func TestEveryFieldHasALabelAndEveryPageAHeading(t *testing.T) {
	visible := regexp.MustCompile(`<input[^>]* id="([^"]+)"`)
	for name, page := range everyPage("Alice") {
		markup := drawn(t, Frame{}, page)
		if strings.Count(markup, "<h1") != 1 {
			t.Errorf("%s: has %d headings of the first order", name, strings.Count(markup, "<h1"))
		}
		if !strings.Contains(markup, "<main") {
			t.Errorf("%s: has no main part", name)
		}
		for _, m := range visible.FindAllStringSubmatch(markup, -1) {
			if !strings.Contains(markup, `<label for="`+m[1]+`"`) {
				t.Errorf("%s: the field %s has no label", name, m[1])
			}
		}
	}
}

func TestAPasswordIsNeverPutBackIntoAForm(t *testing.T) {
	field := regexp.MustCompile(`<input[^>]*type="password"[^>]*>`)
	for name, page := range everyPage("Alice") {
		for _, m := range field.FindAllString(drawn(t, Frame{}, page), -1) {
			if strings.Contains(m, "value=") {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestAssetsAreNamedAfterTheirContent(t *testing.T) {
	for _, file := range []string{"gatehouse.css", "mark.svg"} {
		name := strings.TrimPrefix(asset(context.Background(), file), AssetPath)
		a, ok := FindAsset(name)
		if !ok || len(a.Content) == 0 || a.Type == "" {
			t.Errorf("%s: %q is not there", file, name)
			continue
		}
		sum := sha256.Sum256(a.Content)
		if !strings.Contains(name, "."+hex.EncodeToString(sum[:8])+".") {
			t.Errorf("%s: the name %s is not of this content", file, name)
		}
		if strings.Contains(string(a.Content), "url(") || strings.Contains(string(a.Content), "@import") {
			t.Errorf("%s loads something else", file)
		}
	}
	if _, ok := FindAsset("gatehouse.css"); ok {
		t.Error("an asset can be had without the hash of its content")
	}
}

// A class that no rule knows is a typing error in one of the two files; these
// are hooks that need no rule.
func TestEveryClassHasARule(t *testing.T) {
	a, _ := FindAsset(assetNames["gatehouse.css"])
	classes := regexp.MustCompile(`class="([^"]+)"`)
	for name, page := range everyPage("Alice") {
		for _, m := range classes.FindAllStringSubmatch(drawn(t, Frame{Site: "x", Here: "/"}, page), -1) {
			for class := range strings.FieldsSeq(m[1]) {
				if !strings.Contains(string(a.Content), "."+class) {
					t.Errorf("%s: nothing is said of the class %s", name, class)
				}
			}
		}
	}
}

func TestTheScriptInThePageIsTheOneThatIsHashed(t *testing.T) {
	markup := drawn(t, Frame{}, FormPost(FormPostView{Action: "https://rp.test/cb", Host: "rp.test"}))
	_, rest, _ := strings.Cut(markup, "<script>")
	if script, _, _ := strings.Cut(rest, "</script>"); script != submitScript {
		t.Errorf("the page has %q, the hash is of %q", script, submitScript)
	}
}
