package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	koanfyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"

	"gatehouse/storage"
)

// defaultFile is read where it is there and no other is named.
const defaultFile = "gatehouse.yaml"

// file reads the file.
func (r *reading) file(s Sources) layer {
	path, named := s.File, s.File != ""
	if !named {
		path, named = lookup(s.Env, configFileEnv)
	}
	if !named {
		path = defaultFile
	}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case err != nil:
		r.problem("the configuration file %s cannot be read: %w", path, errors.Unwrap(err))
		return nil
	}
	k := koanf.New(".")
	var lines yaml.Node
	if err := errors.Join(yaml.Unmarshal(content, &lines), k.Load(rawbytes.Provider(content), koanfyaml.Parser())); err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		r.problem("%s is not YAML: %s", path, strings.TrimPrefix(text, "yaml: "))
		return nil
	}
	f := &fileReading{reading: r, path: path, lines: lineNumbers(&lines)}
	f.entries("clients", k.Get("clients"), "client metadata", func(name string, fields map[string]any) {
		r.c.Clients = append(r.c.Clients, f.client(name, fields))
	})
	f.entries("upstreams", k.Get("upstreams"), "what is known of an upstream", func(name string, fields map[string]any) {
		r.upstreams = append(r.upstreams, f.upstream(name, fields))
	})
	k.Delete("clients")
	k.Delete("upstreams")
	l := f.layer(k.All())
	if f.secrets && CheckPrivate(path) != nil {
		r.exposed = path
	}
	return l
}

func lookup(environ []string, name string) (string, bool) {
	for _, e := range environ {
		if n, value, _ := strings.Cut(e, "="); n == name && value != "" {
			return value, true
		}
	}
	return "", false
}

// A fileReading knows where things stand in the file.
type fileReading struct {
	*reading
	path    string
	lines   map[string]int
	secrets bool // it has some, in itself
}

// where is FILE:LINE: name.
func (f *fileReading) where(name string) string {
	return fmt.Sprintf("%s:%d: %s", f.path, f.lines[name], name)
}

// layer takes the settings out of the flattened file.
func (f *fileReading) layer(values map[string]any) layer {
	l := make(layer)
	files := make(map[*Setting]string)
	for name, value := range inOrder(values) {
		text, ok := plain(value)
		secret := find(strings.TrimSuffix(name, fileSuffix))
		switch {
		case find(name) == nil && (secret == nil || !secret.Secret || !strings.HasSuffix(name, fileSuffix)):
			f.unknown(f.where(name), name, fileNames())
		case !ok:
			f.problem("%s must be one value, or a list of them", f.where(name))
			f.c.wrong[name] = true
		case find(name) == nil:
			files[secret] = text
		default:
			l[name] = given{text, Origin{"file", f.where(name)}}
			f.secrets = f.secrets || find(name).Secret
		}
	}
	for _, s := range Settings() {
		if path, set := files[s]; set {
			f.secretFile(l, s, Origin{"file", f.where(s.Name + fileSuffix)}, path)
		}
	}
	return l
}

// plain is a value of the file as text; a list is comma separated.
func plain(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "", true
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			text, ok := plain(e)
			if _, list := e.([]any); list || !ok {
				return "", false
			}
			words[i] = text
		}
		return strings.Join(words, ","), true
	case map[string]any:
		return "", false
	}
	return fmt.Sprint(value), true
}

// lineNumbers says on which line each name of the file stands: log.level,
// clients[0], clients[0].redirect_uris.
func lineNumbers(document *yaml.Node) map[string]int {
	lines := make(map[string]int)
	var walk func(name string, n *yaml.Node)
	walk = func(name string, n *yaml.Node) {
		switch n.Kind {
		case yaml.DocumentNode:
			for _, c := range n.Content {
				walk(name, c)
			}
		case yaml.MappingNode:
			for pair := range slices.Chunk(n.Content, 2) {
				key := pair[0].Value
				if name != "" {
					key = name + "." + key
				}
				lines[key] = pair[0].Line
				walk(key, pair[1])
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				key := fmt.Sprintf("%s[%d]", name, i)
				lines[key] = c.Line
				walk(key, c)
			}
		}
	}
	walk("", document)
	return lines
}

// entries reads a list that only the file has, one mapping after the other.
func (f *fileReading) entries(list string, value any, of string, read func(name string, fields map[string]any)) {
	if value == nil {
		return
	}
	all, ok := value.([]any)
	if !ok {
		f.problem("%s must be a list", f.where(list))
		return
	}
	for i, entry := range all {
		name := fmt.Sprintf("%s[%d]", list, i)
		fields, ok := entry.(map[string]any)
		if !ok {
			f.problem("%s must be a mapping of %s", f.where(name), of)
			continue
		}
		read(name, fields)
	}
}

// The names of a declared client that are no metadata.
const (
	clientID         = "client_id"
	clientSecret     = "client_secret"
	clientSecretFile = clientSecret + fileSuffix
)

// client reads one declared client.
func (f *fileReading) client(name string, fields map[string]any) Client {
	c := Client{Where: f.where(name)}
	for field, value := range inOrder(fields) {
		where := name + "." + field
		switch field {
		case clientID:
			c.ID, _ = plain(value)
		case clientSecret:
			text, _ := plain(value)
			c.Secret, f.secrets = Secret{text}, true
		case clientSecretFile:
			path, _ := plain(value)
			secret, err := ReadSecretFile(path)
			if err != nil {
				f.problem("%s: %s %w", f.where(where), path, err)
			}
			c.Secret = secret
		default:
			f.metadata(&c.Metadata, where, field, value)
		}
	}
	_, inline := fields[clientSecret]
	_, elsewhere := fields[clientSecretFile]
	switch {
	case inline && elsewhere:
		f.problem("%s has client_secret and client_secret_file; keep one", f.where(name))
	case inline && c.Secret.IsZero():
		f.problem("%s is empty", f.where(name+"."+clientSecret))
	case !c.Secret.IsZero() && weak(c.Secret.value) != "":
		f.problem("%s: the client's secret %s; make one with: openssl rand -base64 32", f.where(name), weak(c.Secret.value))
	}
	return c
}

func (f *fileReading) metadata(m *storage.ClientMetadata, where, field string, value any) {
	switch err := assign(m, field, value); {
	case errors.Is(err, errNoMetadata):
		f.problem("%s %w%s", f.where(where), err, meant(field, append(MetadataNames(), clientID, clientSecret, clientSecretFile)))
	case err != nil:
		f.problem("%s %w", f.where(where), err)
	}
}
