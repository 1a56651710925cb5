package signin

import (
	"cmp"
	"net/url"
	"strings"

	"gatehouse/provider"
	"gatehouse/storage"
	"gatehouse/templates"
)

// person is u as pages show them.
func person(u *storage.User) templates.Person {
	return templates.Person{Name: u.Profile.Name, Login: u.Username}
}

// application is c as pages show it. answerTo is the origin that the answer
// goes to, where there is one.
func application(c *storage.Client, answerTo string) templates.App {
	home := provider.ClientURI(c)
	if answerTo == "" {
		answerTo = home
	}
	host := hostOf(answerTo)
	return templates.App{
		Name: cmp.Or(c.Metadata.ClientName, host, c.ID), Host: cmp.Or(host, c.ID), Home: home,
		Policy: c.Metadata.PolicyURI, Terms: c.Metadata.TOSURI,
		Development: strings.HasPrefix(answerTo, "http:"),
	}
}

// hostOf is the host of a URI, or the scheme of one that has none.
func hostOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return cmp.Or(u.Host, u.Scheme)
}

// here is the address of a page for one request.
func here(path, requestID string) string {
	if requestID == "" {
		return path
	}
	return path + "?request=" + url.QueryEscape(requestID)
}
