package config

import (
	"reflect"
	"strings"
	"sync"
)

// A Setting is one field of Config, as its tags describe it.
type Setting struct {
	Name    string // log.level
	Default string
	OneOf   []string
	Min     string
	Max     string
	Secret  bool
	Flags   string // "serve", "all" or empty

	index []int // of the field in Config
	kind  reflect.Type
	owner reflect.Type // the struct that has the field, and the field's name there
	field string
}

// Env is its name in the environment.
func (s *Setting) Env() string { return envName(s.Name) }

// Flag is its name as a flag.
func (s *Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Name) }

const envPrefix = "GATEHOUSE_"

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

// Settings lists every setting that has one value, in the order of Config.
var Settings = sync.OnceValue(func() []*Setting {
	var all []*Setting
	collect(reflect.TypeFor[Config](), nil, &all)
	return all
})

func collect(t reflect.Type, index []int, all *[]*Setting) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		name, named := f.Tag.Lookup("setting")
		switch {
		case named && f.Tag.Get("file") == "":
			*all = append(*all, &Setting{
				Name: name, Default: f.Tag.Get("default"), OneOf: strings.Fields(f.Tag.Get("oneof")),
				Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), Flags: f.Tag.Get("flag"),
				Secret: f.Type == reflect.TypeFor[Secret](),
				index:  at, kind: f.Type, owner: t, field: f.Name,
			})
		case !named && f.IsExported() && f.Type.Kind() == reflect.Struct:
			collect(f.Type, at, all)
		}
	}
}

// find returns the setting of this name, or nil.
func find(name string) *Setting {
	for _, s := range Settings() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// fileNames are the names that may stand in the file: all settings, the file a
// secret is read from, and the lists that only the file has.
func fileNames() []string {
	names := []string{"clients", "upstreams"}
	for _, s := range Settings() {
		names = append(names, s.Name)
		if s.Secret {
			names = append(names, s.Name+fileSuffix)
		}
	}
	return names
}

// fileSuffix, in upper case in the environment, names the file that a secret is in.
const fileSuffix = "_file"

// An Origin says where a value came from.
type Origin struct {
	// Layer is default, file, environment or flag.
	Layer string
	// Name is the setting as it was written there: GATEHOUSE_LOG_LEVEL,
	// --log-level, or gatehouse.yaml:3: log.level.
	Name string
}

func (o Origin) String() string {
	if o.Layer == "default" {
		return o.Layer
	}
	return o.Layer + " " + o.Name
}

// Origin says where the value of this setting came from.
func (c *Config) Origin(name string) Origin { return c.origins[name] }

// Wrong reports whether one of these settings was refused, so that the value
// here is not what somebody meant.
func (c *Config) Wrong(names ...string) bool {
	for _, n := range names {
		if c.wrong[n] {
			return true
		}
	}
	return false
}

// Value returns the value of a setting as text; a secret is masked. The path
// of the embedded database is none.
func (c *Config) Value(s *Setting) string {
	if _, embedded := c.SQLite(); embedded && s.Name == "database_url" {
		return c.DatabaseURL.Reveal()
	}
	return format(reflect.ValueOf(c).Elem().FieldByIndex(s.index))
}
