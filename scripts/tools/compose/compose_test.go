// Package compose holds the container files to what they promise. It is a
// module of its own, so that the product does not depend on compose-go.
package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../../.."

// pinned is an image name without a host, with the tag of one release.
var pinned = regexp.MustCompile(`^[a-z]+:[0-9]+\.[0-9]+(\.[0-9]+)?-[a-z0-9.]+$`)

func load(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithName("gatehouse"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryServiceIsPinnedWatchedAndConfined(t *testing.T) {
	for name, s := range load(t).Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q is not pinned to one release", name, s.Image)
		}
		if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 {
			t.Errorf("%s has no health check", name)
		}
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s is not confined", name)
		}
		if s.Restart == "" {
			t.Errorf("%s has no restart policy", name)
		}
		if s.Build == nil && (s.User == "" || strings.HasPrefix(s.User, "0:")) && name != "init" {
			t.Errorf("%s runs as %q", name, s.User)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, not on loopback", name, p.Published, p.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

func TestNoSecretStandsInTheFile(t *testing.T) {
	for name, s := range load(t).Services {
		for key, value := range s.Environment {
			secret := regexp.MustCompile(`PASSWORD|KEY|SECRET|TOKEN`).MatchString(key)
			if secret && (!strings.HasSuffix(key, "_FILE") || value == nil || !strings.HasPrefix(*value, "/secrets/")) {
				t.Errorf("%s: %s is not a file in /secrets", name, key)
			}
			if value != nil && regexp.MustCompile(`://[^/]*:[^/]*@`).MatchString(*value) {
				t.Errorf("%s: %s has a password in it", name, key)
			}
		}
	}
}

func TestNodesStartAfterTheMigrationAndTheBalancerAfterThem(t *testing.T) {
	p := load(t)
	for _, c := range [][3]string{
		{"postgres", "init", types.ServiceConditionCompletedSuccessfully},
		{"migrate", "postgres", types.ServiceConditionHealthy},
		{"node1", "migrate", types.ServiceConditionCompletedSuccessfully},
		{"node2", "migrate", types.ServiceConditionCompletedSuccessfully},
		{"balancer", "node1", types.ServiceConditionHealthy},
		{"balancer", "node2", types.ServiceConditionHealthy},
		{"demo", "balancer", types.ServiceConditionHealthy},
	} {
		if got := p.Services[c[0]].DependsOn[c[1]].Condition; got != c[2] {
			t.Errorf("%s waits for %s: %q, not %q", c[0], c[1], got, c[2])
		}
	}
	for name, s := range p.Services {
		if name != "network" && name != "init" && s.NetworkMode != "service:network" {
			t.Errorf("%s has network %q: localhost would mean another machine there", name, s.NetworkMode)
		}
	}
}

// The init script runs here as it does there, but for the owners, which only
// root may give.
func makeSecrets(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(root, "packaging/compose/init"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.ReplaceAll(string(script), "/secrets", dir)
	for range 2 { // the second run changes nothing
		c := exec.Command("sh", "-c", "chown() { :; }\n"+text)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("init: %v\n%s", err, out)
		}
	}
	return dir
}

func TestInitMakesRandomSecretsOnce(t *testing.T) {
	one, other := makeSecrets(t), makeSecrets(t)
	read := func(dir, name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, name := range []string{"db-password", "master-key", "sample-app"} {
		if a := read(one, name); len(a) != 44 || a == read(other, name) {
			t.Errorf("%s is %q: not 32 random bytes", name, a)
		}
	}
	if read(one, "db-password") != read(one, "postgres-password") {
		t.Error("PostgreSQL and the nodes have different passwords")
	}
}

func TestEveryNodesSettingsAreAccepted(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "gatehouse")
	build := exec.Command("go", "build", "-o", binary, "./cmd/gatehouse")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secrets := makeSecrets(t)
	declared, err := os.ReadFile(filepath.Join(root, "packaging/compose/gatehouse.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gatehouse.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(declared), "/secrets", secrets)), 0o600); err != nil {
		t.Fatal(err)
	}
	there := strings.NewReplacer("/secrets", secrets, "/etc/gatehouse.yaml", file)
	checked := 0
	for name, s := range load(t).Services {
		if s.Build == nil || name == "demo" {
			continue
		}
		checked++
		c := exec.Command(binary, "config", "check")
		c.Dir, c.Env = t.TempDir(), []string{"GATEHOUSE_DATA_DIR=" + t.TempDir()}
		for key, value := range s.Environment {
			c.Env = append(c.Env, key+"="+there.Replace(*value))
		}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: config check: %v\n%s", name, err, out)
		}
		// The check must be able to fail.
		c = exec.Command(binary, "config", "check")
		c.Dir, c.Env = t.TempDir(), []string{"DB_HOST=127.0.0.1", "DB_NAME=x", "DB_PASSWORD_FILE=/nothing"}
		if c.Run() == nil {
			t.Error("config check accepts a secret that is not there")
		}
	}
	if checked != 3 {
		t.Errorf("checked %d services, not migrate, node1 and node2", checked)
	}
}

func TestTheImageIsStaticPinnedAndNotRoot(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var last map[string]string // of the final stage
	for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "FROM" {
			last = map[string]string{}
			image, _, _ := strings.Cut(rest, " ")
			if image != "scratch" && !pinned.MatchString(image) {
				t.Errorf("FROM %s is not pinned to one release", image)
			}
		}
		if last != nil {
			last[word] = rest
		}
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(last["USER"]) {
		t.Errorf("USER %q is not a number other than root's", last["USER"])
	}
	if !strings.Contains(last["HEALTHCHECK"], `CMD ["/gatehouse", "healthcheck"]`) || last["FROM"] != "scratch" || last["VOLUME"] != "/data" {
		t.Errorf("the last stage is %v", last)
	}
	for _, needed := range []string{"CGO_ENABLED=0", "-X main.version=${VERSION}", "ca-certificates.crt", "zoneinfo.zip"} {
		if !strings.Contains(string(b), needed) {
			t.Errorf("the Dockerfile lacks %s", needed)
		}
	}
}
