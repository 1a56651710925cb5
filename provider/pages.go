package provider

import (
	"net/http"

	"gatehouse/storage"
)

// A Step is what a person has to do next for a request.
type Step string

// The steps.
const (
	SignIn  Step = "sign in"
	Consent Step = "consent"
	Respond Step = "respond"
	Logout  Step = "log out"    // asked, by /logout
	Gone    Step = "signed out" // the page that says so
)

// Pages is what the provider asks of the side that owns the browser.
type Pages interface {
	// Session returns the live sign-in session of this browser and its user, or storage.ErrNotFound.
	Session(r *http.Request) (*storage.Session, *storage.User, error)
	// Browser returns the digest of this browser's one random secret, and sets the
	// cookie where there is none yet. Parked requests are tied to it.
	Browser(w http.ResponseWriter, r *http.Request) (storage.Digest, error)
	// URL is where a person takes this step for the request with this ID.
	URL(step Step, requestID string) string
	// SignOut drops the session cookie of this browser.
	SignOut(w http.ResponseWriter, r *http.Request)
	// Error shows an error that must not be sent to a redirect URI.
	Error(w http.ResponseWriter, r *http.Request, e PageError)
	// FormPost shows the page that posts an authorization response to action.
	FormPost(w http.ResponseWriter, r *http.Request, action string, fields map[string]string)
}

// A PageError is an error for a person. Message is a message id that pages
// translate; Parameter names the request parameter that was wrong, or is empty.
type PageError struct {
	Status    int
	Message   string
	Parameter string
	// ClientURI leads back to the application, where it is known; else empty.
	ClientURI string
	// Failure is why, for the administrator who asks with the code on the page:
	// whoever shows the page notes it under the id of the request. Nil: Message
	// says it all.
	Failure *storage.Failure
}

// The messages of a PageError.
const (
	// MissingParameter: a parameter that must be there is not.
	MissingParameter = "error.missing_parameter"
	// InvalidParameter: client_id is unknown, or redirect_uri or
	// post_logout_redirect_uri is not registered for the client. It is one message,
	// so that the page does not tell more than the parameter that it names.
	InvalidParameter = "error.invalid_parameter"
	// BadRequest: the request as a whole, or the parameter named, cannot be read.
	BadRequest = "error.bad_request"
	// WrongMethod: the address takes other HTTP methods.
	WrongMethod = "error.method"
	// RequestUnknown: no such parked request, or so old that it is forgotten.
	RequestUnknown = "error.request_unknown"
	// RequestExpired: the person took too long.
	RequestExpired = "error.request_expired"
	// RequestSpent: the request was answered already (back button, double click).
	RequestSpent = "error.request_spent"
	// OtherBrowser: the request was begun in another browser.
	OtherBrowser = "error.other_browser"
	// Unavailable: the database does not answer; trying again helps.
	Unavailable = "error.unavailable"
)

// discard takes what Pages.Browser would set where there is no answer to set
// it on: a browser without the cookie owns no parked request anyway.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// browser is the digest of r's browser, for reading only.
func (p *Provider) browser(r *http.Request) (storage.Digest, error) {
	return p.pages.Browser(discard{http.Header{}}, r)
}
