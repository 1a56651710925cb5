package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

// A Secret prints as [redacted], wherever it is printed.
type Secret struct{ value string }

const redacted = "[redacted]"

// NewSecret keeps a value from being printed.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.value }

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.value == "" }

// String is what fmt prints.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return redacted
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return redacted }

// LogValue is what slog writes.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is what JSON and YAML get.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maxSecretFile bounds what is read as a secret.
const maxSecretFile = 64 << 10

// ReadSecretFile reads a secret from its file, without the line end. The file must
// be closed to others; its group may read it, which is how orchestrators hand
// secrets to a service.
func ReadSecretFile(path string) (Secret, error) {
	if err := CheckPrivate(path); err != nil {
		return Secret{}, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	}
	s := strings.TrimRight(string(b), "\r\n")
	switch {
	case s == "":
		return Secret{}, errors.New("is empty")
	case len(b) > maxSecretFile:
		return Secret{}, fmt.Errorf("is larger than %d bytes", maxSecretFile)
	}
	return Secret{s}, nil
}

// CheckPrivate refuses a missing file, and one that every user of the machine
// may read or write.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case err != nil:
		return fmt.Errorf("cannot be read: %w", errors.Unwrap(err))
	case info.IsDir():
		return errors.New("is a directory")
	case info.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("is open to every user of this machine (mode %04o); run: chmod 600 %s", info.Mode().Perm(), path)
	}
	return nil
}

// placeholders are what examples and defaults say where a secret belongs.
var placeholders = []string{"changeme", "change-me", "change_me", "change this", "replaceme", "replace-me", "your-secret", "placeholder", "xxxxxxxx"}

// weak says why a secret is none, or is empty.
func weak(secret string) string {
	lower := strings.ToLower(secret)
	for _, p := range placeholders {
		if strings.Contains(lower, p) {
			return "is a placeholder, not a secret"
		}
	}
	distinct := make(map[rune]bool)
	for _, r := range secret {
		distinct[r] = true
	}
	if len(distinct) < 8 {
		return "is not random: it has fewer than 8 different characters"
	}
	return ""
}
