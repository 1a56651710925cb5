package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// clientsOfTheirOwn make requests without outbound: a relying service's library,
// the demonstration's relying party, the health check of a container, the
// doctor, who looks at the issuer as a calling service sees it, and what stands
// in for the outside in tests.
var clientsOfTheirOwn = []string{
	"outbound", "verify", "cmd/gatehouse/demo", "cmd/gatehouse/demo.go", "cmd/gatehouse/demo_samples.go",
	"cmd/gatehouse/healthcheck.go", "cmd/gatehouse/doctor_url.go", "provider/providertest",
}

// requesting are the names of net/http that send a request, or make what does.
var requesting = []string{"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Client", "Transport"}

// R15: everything that is fetched from elsewhere goes through outbound.
func TestR15_NobodyElseFetchesAnything(t *testing.T) {
	t.Parallel()
	files, found := 0, 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		name := strings.TrimPrefix(filepath.ToSlash(path), "../../")
		uses := requestsIn(t, path)
		if slices.ContainsFunc(clientsOfTheirOwn, func(own string) bool { return name == own || strings.HasPrefix(name, own+"/") }) {
			found += len(uses)
			return nil
		}
		for _, use := range uses {
			t.Errorf("%s: %s: only outbound fetches from elsewhere", name, use)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 || found < 3 {
		t.Errorf("saw %d files and %d uses of net/http's clients where they are allowed: it looked at the wrong place", files, found)
	}
}

// requestsIn lists the uses of net/http in a file that send requests.
func requestsIn(t *testing.T, path string) (uses []string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	local := ""
	for _, i := range file.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == "net/http" {
			local = "http"
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	for n := range ast.Preorder(file) {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == local && slices.Contains(requesting, s.Sel.Name) {
			uses = append(uses, "line "+strconv.Itoa(set.Position(s.Pos()).Line)+": http."+s.Sel.Name)
		}
	}
	return uses
}
