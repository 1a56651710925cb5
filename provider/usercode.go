package provider

import (
	"crypto/rand"
	"strings"
	"unicode"
)

// A user code is what a person types from the screen of a device (RFC 8628
// §6.1): eight letters, without vowels, so that no word comes of it and none is
// taken for a digit. There are 20^8 of them, more than 2^34; each lives ten
// minutes.
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// newUserCode draws a code, every one as likely as any other.
func newUserCode() string {
	code := make([]byte, 0, userCodeLength)
	var drawn [4 * userCodeLength]byte
	for {
		rand.Read(drawn[:])
		for _, b := range drawn {
			if int(b) >= 256/len(userCodeLetters)*len(userCodeLetters) {
				continue // these would make the first letters likelier
			}
			if code = append(code, userCodeLetters[int(b)%len(userCodeLetters)]); len(code) == userCodeLength {
				return string(code)
			}
		}
	}
}

// ReadUserCode returns the code that somebody typed: in lower case, with
// spaces or dashes, as they like. It is empty where that is none.
func ReadUserCode(typed string) string {
	code := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, typed)
	if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return ""
	}
	return code
}

// ShowUserCode is a code as it is shown, XXXX-XXXX.
func ShowUserCode(code string) string {
	if len(code) != userCodeLength {
		return code
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}
