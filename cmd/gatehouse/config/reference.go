package config

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strings"
	"sync"
)

// The comments of the fields are the documentation, so the source travels along.
//
//go:embed config.go
var source string

// comments is the comment of each field, by struct and field.
var comments = sync.OnceValue(func() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		panic("config: " + err.Error()) // it compiled
	}
	texts := make(map[string]string)
	for n := range ast.Preorder(file) {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			continue
		}
		if fields, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					texts[spec.Name.Name+"."+name.Name] = strings.TrimSpace(f.Doc.Text())
				}
			}
		}
	}
	return texts
})

// Doc is what the setting means.
func (s *Setting) Doc() string { return comments()[s.owner.Name()+"."+s.field] }

// Usage is the first clause of Doc, for --help.
func (s *Setting) Usage() string {
	text, _, _ := strings.Cut(strings.ReplaceAll(s.Doc(), "\n", " "), ". ")
	text, _, _ = strings.Cut(strings.TrimSuffix(text, "."), ": ")
	return strings.ToLower(text[:1]) + text[1:]
}

// Allowed says what values the setting takes, or is empty where its meaning
// says so.
func (s *Setting) Allowed() string {
	switch {
	case len(s.OneOf) > 0:
		return strings.Join(s.OneOf, ", ")
	case s.Min != "":
		return s.Min + " to " + s.Max
	case s.kind.Kind().String() == "bool":
		return "true, false"
	}
	return ""
}

// Reference writes every setting, its names, its default and its meaning, as
// Markdown that also reads well in a terminal.
func Reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Settings

Later wins: built-in default, file, environment, flag. The file is
gatehouse.yaml, or the one that --config or GATEHOUSE_CONFIG names; a dot in a
name is a level of it. Times are written as 90s, 10m, 8h or 30d, and lists comma
separated or as YAML lists.

A secret may also be in a file of its own, closed to others: append _FILE to its
name in the environment, or _file in the file.

Well-known names are honoured as they are: PORT; DATABASE_URL, or DB_HOST,
DB_PORT, DB_NAME, DB_USER and DB_PASSWORD; REDIS_URL; GOOGLE_OAUTH_CLIENT_ID,
GOOGLE_OAUTH_CLIENT_SECRET and GOOGLE_OAUTH_REDIRECT_URI.

`)
	for _, s := range Settings() {
		s.describe(&b)
	}
	fmt.Fprintf(&b, "## clients\n\n%s\n\n- only in the file\n", comments()["Config.Clients"])
	fmt.Fprintf(&b, "\n## upstreams\n\n%s\n\n- only in the file\n\n", comments()["Config.Upstreams"])
	for _, f := range upstreamFields() {
		fmt.Fprintf(&b, "`%s`: %s\n\n", f.key, comments()["Upstream."+f.name])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Setting) describe(b *strings.Builder) {
	fmt.Fprintf(b, "## %s\n\n%s\n\n- environment: `%s`\n", s.Name, s.Doc(), s.Env())
	if s.Flags != "" {
		fmt.Fprintf(b, "- flag: `--%s`\n", s.Flag())
	}
	if s.Secret {
		b.WriteString("- secret\n")
	}
	if s.Default != "" {
		fmt.Fprintf(b, "- default: `%s`\n", s.Default)
	}
	if a := s.Allowed(); a != "" {
		fmt.Fprintf(b, "- allowed: %s\n", a)
	}
	b.WriteString("\n")
}
