package storage

import "fmt"

// A Trouble is why a server that we rest on cannot be used, in the words that
// the start-up refusal, the log and doctor share.
type Trouble struct {
	Kind     error  // one of the backend's sentinels
	What     string // what is wrong, naming the server
	Evidence string // what showed it, on one line
	Cause    string // the usual one
	Fix      string
}

func (t *Trouble) Error() string {
	return fmt.Sprintf("%v: %s: %s; usually %s; %s", t.Kind, t.What, t.Evidence, t.Cause, t.Fix)
}

func (t *Trouble) Unwrap() error { return t.Kind }
