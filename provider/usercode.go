package provider

import (
	"crypto/rand"
	"strings"
	"unicode"
)

// spokenLetters are those of codes that people type, or read to one another: no
// vowels, so that no word comes of them and none is taken for a digit (RFC 8628 §6.1).
const spokenLetters = "BCDFGHJKLMNPQRSTVWXZ"

// A user code is what a person types from the screen of a device (RFC 8628
// §6.1): eight letters. There are 20^8 of them, more than 2^34; each lives ten
// minutes.
const userCodeLength = 8

func newUserCode() string { return DrawCode(userCodeLength) }

// DrawCode draws a code of n letters, every one as likely as any other.
func DrawCode(n int) string {
	code := make([]byte, 0, n)
	var drawn [32]byte
	for {
		rand.Read(drawn[:])
		for _, b := range drawn {
			if int(b) >= 256/len(spokenLetters)*len(spokenLetters) {
				continue // these would make the first letters likelier
			}
			if code = append(code, spokenLetters[int(b)%len(spokenLetters)]); len(code) == n {
				return string(code)
			}
		}
	}
}

// ReadUserCode returns the code that somebody typed, empty where that is none.
func ReadUserCode(typed string) string { return ReadCode(typed, userCodeLength) }

// ReadCode returns the n letters that somebody typed: in lower case, with spaces
// or dashes, as they like. It is empty where that is no such code.
func ReadCode(typed string, n int) string {
	code := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Pd, r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, typed)
	if len(code) != n || strings.Trim(code, spokenLetters) != "" {
		return ""
	}
	return code
}

// ShowUserCode is a code as it is shown, XXXX-XXXX.
func ShowUserCode(code string) string {
	if len(code) != userCodeLength {
		return code
	}
	return ShowCode(code)
}

// ShowCode is a code in groups of four.
func ShowCode(code string) string {
	var groups []string
	for ; len(code) > 4; code = code[4:] {
		groups = append(groups, code[:4])
	}
	return strings.Join(append(groups, code), "-")
}
