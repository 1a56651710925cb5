package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Sources are where settings come from, beside the built-in defaults.
type Sources struct {
	// File is --config. Empty: GATEHOUSE_CONFIG, or gatehouse.yaml where there is one.
	File string
	// Env is the environment, as os.Environ gives it.
	Env []string
	// Flags are the flags that were given, by the name of their setting.
	Flags map[string]string
}

// An Error is everything that is wrong with the settings.
type Error struct{ Problems []error }

// Error says one problem a line.
func (e *Error) Error() string { return errors.Join(e.Problems...).Error() }

// Unwrap gives the problems to errors.Is and errors.As.
func (e *Error) Unwrap() []error { return e.Problems }

// Load reads the settings: the default, then the file, the environment and the
// flags, of which the later wins. The Config is there even where the error, an
// *Error, is not nil: Wrong says which of its settings not to rely on.
func Load(s Sources) (*Config, error) {
	r := &reading{c: &Config{origins: make(map[string]Origin), wrong: make(map[string]bool)}}
	layers := []layer{r.defaults(), r.file(s), r.environment(s.Env), r.flags(s.Flags)}
	r.merge(layers)
	r.check()
	if len(r.problems) > 0 {
		return r.c, &Error{r.problems}
	}
	return r.c, nil
}

// A reading is one Load under way.
type reading struct {
	c       *Config
	port    given  // PORT
	exposed string // the file, where it has secrets and others may read it
	// upstreams are those of the file, and Google where the environment names it.
	upstreams []*declaredUpstream
	problems  []error
}

// A layer is what one source says, by the names of the settings.
type layer map[string]given

// given is the text of a setting, and where it was found.
type given struct {
	text   string
	origin Origin
}

func (r *reading) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// refuse notes what is wrong with a setting that stands somewhere.
func (r *reading) refuse(name, format string, args ...any) {
	if r.c.wrong[name] {
		return
	}
	r.c.wrong[name] = true
	r.problem("%s "+format, append([]any{r.where(name)}, args...)...)
}

// where is how an error names a setting: as it was written, where it was.
func (r *reading) where(name string) string {
	return cmp.Or(r.c.origins[name].Name, name)
}

func (r *reading) defaults() layer {
	l := make(layer)
	for _, s := range Settings() {
		if s.Default != "" {
			l[s.Name] = given{s.Default, Origin{Layer: "default"}}
		}
	}
	return l
}

func (r *reading) flags(values map[string]string) layer {
	l := make(layer)
	for name, text := range values {
		l[name] = given{text, Origin{Layer: "flag", Name: "--" + find(name).Flag()}}
	}
	return l
}

// merge lays the layers over one another and parses what is left.
func (r *reading) merge(layers []layer) {
	k := koanf.New(".")
	for _, l := range layers {
		texts := make(map[string]any)
		for name, g := range l {
			texts[name] = g.text
			r.c.origins[name] = g.origin
		}
		// A flat map of texts cannot fail to load.
		_ = k.Load(confmap.Provider(texts, "."), nil)
	}
	for _, s := range Settings() {
		if !k.Exists(s.Name) {
			r.c.origins[s.Name] = Origin{Layer: "default"}
			continue
		}
		r.set(s, k.String(s.Name))
	}
}

// set parses a setting into its field. One that is refused keeps its default.
func (r *reading) set(s *Setting, text string) {
	v, err := s.parse(text)
	switch {
	case err == nil:
		reflect.ValueOf(r.c).Elem().FieldByIndex(s.index).Set(v)
		return
	case s.Secret:
		r.refuse(s.Name, "cannot be used: %w", err)
	default:
		r.refuse(s.Name, "is %q; %w", text, err)
	}
	if s.Default == "" {
		return
	}
	// The default of a setting parses: a test holds that.
	v, _ = s.parse(s.Default)
	reflect.ValueOf(r.c).Elem().FieldByIndex(s.index).Set(v)
}

// unknown refuses a name that is none of ours; where says where it stands.
func (r *reading) unknown(where, name string, known []string) {
	r.problem("%s is not a setting%s", where, meant(name, known))
}

// secretFile reads a secret from the file that origin names into l, where l
// has none.
func (r *reading) secretFile(l layer, s *Setting, origin Origin, path string) {
	if _, both := l[s.Name]; both {
		r.problem("%s and %s are both given; keep one", l[s.Name].origin.Name, origin.Name)
		r.c.wrong[s.Name] = true
		return
	}
	secret, err := ReadSecretFile(path)
	if err != nil {
		r.problem("%s: %s %w", origin.Name, path, err)
		r.c.wrong[s.Name] = true
		return
	}
	l[s.Name] = given{secret.Reveal(), origin}
}

// inOrder walks a map by its sorted keys, so that errors come in one order.
func inOrder[V any](m map[string]V) func(yield func(string, V) bool) {
	return func(yield func(string, V) bool) {
		for _, k := range slices.SortedFunc(maps.Keys(m), strings.Compare) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
