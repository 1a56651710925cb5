package upstream

import (
	"bytes"
	"encoding/json"
	"errors"

	exact "github.com/go-jose/go-jose/v4/json"
)

// maxDepth is how deep JSON of an upstream may nest.
const maxDepth = 16

// decode reads JSON that an upstream wrote. Unlike encoding/json it takes no Sub
// for sub, and no member twice: people choose the names of some claims themselves.
func decode(text []byte, into any) error {
	if tooDeep(text) {
		return errors.New("it nests too deep")
	}
	return exact.Unmarshal(text, into)
}

func tooDeep(text []byte) bool {
	tokens := json.NewDecoder(bytes.NewReader(text))
	for depth := 0; depth <= maxDepth; {
		token, err := tokens.Token()
		if err != nil {
			return false // its end, or what cannot be decoded either
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return true
}
