package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors says which part stands on which floor. A part imports only what stands
// below it. docs/architecture.md has the same table.
var floors = map[string]int{
	"cmd/gatehouse":        8,
	"cmd/gatehouse/config": 7, "cmd/gatehouse/demo": 7, // rooms of the binary
	"web/signin": 6, "web/account": 6,
	"web":      5,
	"provider": 4, "identity": 4,
	"keys": 3, "storage/sqlstore": 3, "storage/redisstore": 3,
	"storage": 2, "upstream": 2,
	"templates": 1, "migrations": 1, "outbound": 1, "jwks": 1, "verify": 1,
}

// forTests is what only tests import, and they may import what they like.
var forTests = []string{"storage/storagetest", "provider/providertest", "upstream/upstreamtest", "e2e"}

// generators are programs that run by hand, above the part they make something for.
var generators = []string{"identity/gen"}

const module = "gatehouse/"

// A listed package is what go list says of it.
type listed struct {
	ImportPath                         string
	Standard                           bool
	Imports, TestImports, XTestImports []string
	CgoFiles                           []string
	Module                             *struct{ Path string }
}

// output is what a program prints, run at the top of the module.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // so that files which need cgo are seen
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, e.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// list runs go list with these arguments.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	out := output(t, "go", append([]string{"list", "-json=ImportPath,Standard,Imports,TestImports,XTestImports,CgoFiles,Module"}, args...)...)
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p listed
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if slices.Contains(forTests, name) || slices.Contains(generators, name) {
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			from, known := floors[name]
			to, knownTo := floors[imported]
			switch {
			case !known || !knownTo:
				t.Errorf("%s imports %s: one of them has no floor in the table", name, imported)
			case to >= from:
				t.Errorf("%s (floor %d) imports %s (floor %d): imports point down", name, from, imported, to)
			}
		}
	}
}

func TestOnlyTheProviderImportsTheProtocolLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(path, "github.com/zitadel/oidc/v3/pkg/op") && p.ImportPath != module+"provider" {
				t.Errorf("%s imports %s", p.ImportPath, path)
			}
		}
	}
}

func TestOnlyTheBinaryImportsABackend(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, backend := range []string{"storage/sqlstore", "storage/redisstore"} {
			if name != "cmd/gatehouse" && !slices.Contains(forTests, name) && slices.Contains(p.Imports, module+backend) {
				t.Errorf("%s imports %s", name, backend)
			}
		}
	}
}

// What relying services import must not bring them our dependencies.
func TestVerifyImportsOnlyGoJoseAndTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./verify") {
		ours := p.ImportPath == module+"verify"
		if !p.Standard && !ours && !strings.HasPrefix(p.ImportPath, "github.com/go-jose/go-jose/v4") {
			t.Errorf("verify depends on %s", p.ImportPath)
		}
	}
}

// The storage contract is the standard library's types alone.
func TestStorageImportsOnlyTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./storage") {
		if !p.Standard && p.ImportPath != module+"storage" {
			t.Errorf("storage depends on %s", p.ImportPath)
		}
	}
}

// One static binary: nothing that is linked into it needs a C compiler.
func TestNoDependencyNeedsC(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./cmd/gatehouse") {
		if !p.Standard && len(p.CgoFiles) > 0 {
			t.Errorf("%s has files that need cgo: %v", p.ImportPath, p.CgoFiles)
		}
	}
}

// Modules that have unfixed holes, or were given up for others.
func TestNoDependencyIsOnTheListOfTheRefused(t *testing.T) {
	t.Parallel()
	refused := []string{"github.com/gorilla/csrf", "github.com/dgrijalva/jwt-go", "github.com/square/go-jose", "github.com/satori/go.uuid", "gopkg.in/square/go-jose.v2"}
	for _, p := range list(t, "-deps", "./...") {
		if p.Module != nil && slices.Contains(refused, p.Module.Path) {
			t.Errorf("%s is linked", p.ImportPath)
		}
	}
}

// modernc.org/sqlite works with exactly the libc that its go.mod names.
func TestTheSQLiteDriverHasItsOwnLibc(t *testing.T) {
	t.Parallel()
	var wanted struct {
		Require []struct{ Path, Version string }
	}
	dir := strings.TrimSpace(string(output(t, "go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite")))
	if err := json.Unmarshal(output(t, "go", "mod", "edit", "-json", dir), &wanted); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(wanted.Require, func(r struct{ Path, Version string }) bool { return r.Path == "modernc.org/libc" })
	if i < 0 {
		t.Fatal("modernc.org/sqlite requires no modernc.org/libc")
	}
	have := strings.TrimSpace(string(output(t, "go", "list", "-m", "-f", "{{.Version}}", "modernc.org/libc")))
	if have != wanted.Require[i].Version {
		t.Errorf("modernc.org/libc is %s, and modernc.org/sqlite wants %s", have, wanted.Require[i].Version)
	}
}

// The Go that templ makes of the templates is committed as it is made.
func TestGeneratedTemplatesAreFresh(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command("../../scripts/generated").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
