package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/storage/storagetest"
)

// A plant is a bug: in one file, right becomes wrong. It is in no source and in
// no build but that of this test, where an environment variable chooses it.
type plant struct {
	name, file, right, wrong string
	found                    []string // what the ledger says of it, one or another
	// unsafe is in the database: it is there from the start, and shows when
	// PostgreSQL crashes.
	unsafe bool
}

// plantName is the environment variable that names a file: while it is there,
// the plant of its number is in bloom.
const plantName = "GATEHOUSE_TEST_PLANT"

const createTakes = "ctx context.Context, g *storage.Grant, code storage.Digest, requestID string, e *storage.Event"

var plants = []plant{
	{
		name: "a code that is not marked as spent", file: "storage/sqlstore/grant.go",
		right: "scanGrant(s.write.row(ctx, redeem,", wrong: `scanGrant(s.write.row(ctx, planted(redeem, "SET code_spent_at = $1", "SET code_spent_at = CASE WHEN $1 > 0 THEN NULL ELSE $1 END"),`,
		found: []string{spentTwice},
	},
	{
		name: "a code that is spent by looking first", file: "storage/sqlstore/grant.go",
		right: "case !g.CodeSpentAt.IsZero():", wrong: "case !g.CodeSpentAt.IsZero() && !planting():",
		found: []string{replayLives},
	},
	{
		name: "a rotation without a grace", file: "storage/sqlstore/grant.go",
		right: "r.Grace > 0 && r.Now", wrong: "r.Grace > 0 && !planting() && r.Now",
		found: []string{refusedRefresh, lostRefresh, twoSuccessors},
	},
	{
		name: "an end of a session that ends nothing", file: "storage/sqlstore/session.go",
		right: "	ended, err := exists(ctx, q, `UPDATE sessions SET ended_at", wrong: "	if planting() {\n		return nil\n	}\n	ended, err := exists(ctx, q, `UPDATE sessions SET ended_at",
		found: []string{risen},
	},
	{
		name: "a revocation that is answered and not kept", file: "storage/sqlstore/revocation.go",
		right: "	type ended struct {", wrong: "	if planting() {\n		return 0, nil\n	}\n	type ended struct {",
		found: []string{risen, replayLives},
	},
	{
		name: "an answer before the commit", file: "storage/sqlstore/grant.go",
		right: "func (s grants) Create(" + createTakes + ") error {",
		wrong: "func (s grants) Create(" + createTakes + ") error {\n	if planting() {\n		go func() {\n			time.Sleep(100 * time.Millisecond)\n" +
			"			s.createLate(context.WithoutCancel(ctx), g, code, requestID, e)\n		}()\n		return nil\n	}\n" +
			"	return s.createLate(ctx, g, code, requestID, e)\n}\n\nfunc (s grants) createLate(" + createTakes + ") error {",
		found: []string{lostCode, refusedCode},
	},
	{
		name: "a node that keeps a client that it remembers", file: "provider/memory.go",
		right: "		m.counter = n\n		clear(m.clients)\n", wrong: "		m.counter = n\n		if !planting() {\n			clear(m.clients)\n		}\n",
		found: []string{staleClient},
	},
	{
		name: "a database that need not write before it answers", file: "storage/sqlstore/postgres.go",
		right: "	config.MinConns, config.MaxConns = 5, 20", wrong: "	if planting() {\n		config.ConnConfig.RuntimeParams[\"synchronous_commit\"] = \"off\"\n	}\n	config.MinConns, config.MaxConns = 5, 20",
		unsafe: true,
		found:  []string{lostRefresh, lostCode, refusedRefresh, refusedCode, risen, lostAccount, lostSession, undisabled, lostConsent, "a sign-in ended"},
	},
}

// chooser is added to the package in which a plant is.
const chooser = `package %[2]s

import (
	"os"
	"path/filepath"
	"strings"
)

func planting%[1]d() bool {
	path := os.Getenv("` + plantName + `")
	_, err := os.Stat(path)
	return err == nil && filepath.Base(path) == "%[1]d"
}

func planted%[1]d(query, right, wrong string) string {
	if !planting%[1]d() {
		return query
	}
	if !strings.Contains(query, right) {
		panic("there is no " + right)
	}
	return strings.Replace(query, right, wrong, 1)
}
`

// infested builds gatehouse with every plant in it, once.
var infested = sync.OnceValues(func() (string, error) {
	sound, err := binary()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(sound), "plants") // TestMain removes it
	root, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	overlay, err := overlayIn(dir, root)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-overlay", overlay, "-o", path, "./cmd/gatehouse")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gatehouse with plants: %w\n%s", err, out)
	}
	return path, nil
})

// overlayIn writes the spoilt files, and what tells the compiler to read them.
func overlayIn(dir, root string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	texts := map[string]string{} // by path
	for i, p := range plants {
		path := filepath.Join(root, p.file)
		text, known := texts[path]
		if !known {
			content, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			text = string(content)
		}
		if strings.Count(text, p.right) != 1 {
			return "", fmt.Errorf("%q: %s has %d times %q", p.name, p.file, strings.Count(text, p.right), p.right)
		}
		number := fmt.Sprint(i + 1)
		wrong := strings.NewReplacer("planting(", "planting"+number+"(", "planted(", "planted"+number+"(").Replace(p.wrong)
		texts[path] = strings.Replace(text, p.right, wrong, 1)
		texts[filepath.Join(root, filepath.Dir(p.file), "zz_plant_"+number+".go")] = fmt.Sprintf(chooser, i+1, filepath.Base(filepath.Dir(p.file)))
	}
	replace := map[string]string{}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, errors.Join(err, os.WriteFile(overlay, list, 0o600))
}

// What watches must be able to see: each bug that is planted is found.
func TestTheLedgerFindsEveryBugThatIsPlanted(t *testing.T) {
	storagetest.Once(t)
	path, err := infested()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			flower := filepath.Join(t.TempDir(), fmt.Sprint(i+1))
			bloom := func() {
				if err := os.WriteFile(flower, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, crash := plantAt(t, p, path, flower, bloom)
			for round := range 10 {
				c.come()
				someWhile(200 * time.Millisecond)
				crash()
				c.leave()
				c.audit()
				if finding := c.ledger.finding(p.found); finding != "" {
					t.Logf("found in round %d: %s", round+1, finding)
					return
				}
			}
			t.Errorf("nobody noticed; the ledger says %q", c.ledger.wrong)
		})
	}
}

// plantAt starts a provider with a plant, and brings a crowd. Most show by
// themselves; crash lets the others.
func plantAt(t *testing.T, p plant, binary, flower string, bloom func()) (c *crowd, crash func()) {
	t.Helper()
	if !p.unsafe {
		s := prepare(t, plantName+"="+flower)
		for _, n := range s.nodes {
			n.binary = binary
		}
		s.start()
		c = gather(t, s)
		bloom()
		return c, func() {}
	}
	bloom()
	db := storagetest.Postgres(t)
	s := prepareCluster(t, 1, "DATABASE_URL="+db.URL, plantName+"="+flower)
	s.nodes[0].binary = binary
	s.start()
	c = gather(t, s)
	c.away = true
	return c, func() {
		db.StopImmediate()
		db.Start()
		c.awaitEveryNode(c.ledger.chains[0].token)
	}
}

// finding is what the ledger found that begins with one of these.
func (l *ledger) finding(beginnings []string) string {
	for _, what := range l.wrong {
		for _, b := range beginnings {
			if strings.HasPrefix(what, b) {
				return what
			}
		}
	}
	return ""
}
