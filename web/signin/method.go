package signin

import (
	"net/http"

	"github.com/a-h/templ"

	"gatehouse/templates"
)

// A Method is one way to prove who is signing in. It is made with the desk it
// works at: Pages.arrive says for which request somebody proves themselves,
// Pages.refuse shows the sign-in page again, and Pages.done is the one ending.
type Method interface {
	// Routes adds its pages to mux, below the issuer's path base.
	Routes(mux *http.ServeMux, base string)
	// Offer is how it looks on the sign-in page, nil where it is of no use to who
	// came; refused is what was wrong with the form just sent, the zero value where
	// the page is shown first.
	Offer(a *arrival, refused refusal) templ.Component
}

// A refusal is why a form is shown once more.
type refusal struct {
	status   int
	username string // as typed
	problems templates.Problems
}
