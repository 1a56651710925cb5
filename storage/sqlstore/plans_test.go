package sqlstore_test

import (
	"database/sql"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/storage/sqlstore"
	"gatehouse/storage/storagetest"
)

// seen are the statements that a store has run.
type seen struct {
	mu  sync.Mutex
	all map[string]bool
}

func (s *seen) add(statement string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]bool)
	}
	s.all[statement] = true
}

func (s *seen) sorted() []string { return slices.Sorted(maps.Keys(s.all)) }

// small are the tables that do not grow with use: reading them whole is right.
var small = []string{
	"changes",      // a row for each kind
	"signing_keys", // a handful for each algorithm
	"setup_links",  // until the first administrator is there
}

// wholeIndexes are those that hold next to nothing, so that a statement may
// read all of one.
var wholeIndexes = []string{
	"users_admins",   // the administrators
	"deliveries_due", // the sign-outs that wait to be told
	"failures_at",    // as many as are kept
}

// readsAll are the statements that mean every row.
var readsAll = []string{
	`SELECT COUNT(*) FROM users`, // asked by migrate reset, of a developer's database
}

// Whatever a statement looks for, it finds by an index: nothing that the store
// runs gets slower as the tables grow, sweeping included.
func judgePlans(t *testing.T, db *sqlstore.DB, statements []string, explain func(*testing.T, *sql.Conn, string) []string) {
	t.Helper()
	if len(statements) < 100 {
		t.Fatalf("the stories ran %d statements only: run all of them", len(statements))
	}
	pool, _ := db.Pools()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if len(explain(t, conn, `SELECT id FROM grants WHERE nonce = $1`)) == 0 {
		t.Error("a statement that no index serves is not found out")
	}
	judged := 0
	for _, statement := range statements {
		if slices.Contains(readsAll, statement) {
			continue
		}
		judged++
		for _, complaint := range explain(t, conn, statement) {
			t.Errorf("%s:\n%s", complaint, statement)
		}
	}
	t.Logf("%d statements judged", judged)
}

var parameter = regexp.MustCompile(`\$(\d+)`)

// parameters is how many a statement has.
func parameters(statement string) (n int) {
	for _, m := range parameter.FindAllStringSubmatch(statement, -1) {
		i, _ := strconv.Atoi(m[1])
		n = max(n, i)
	}
	return n
}

var aliases = map[string]string{"o": "users", "d": "device_codes"}

// explainSQLite returns what is wrong with SQLite's plan.
func explainSQLite(t *testing.T, conn *sql.Conn, statement string) (wrong []string) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+statement, make([]any, parameters(statement))...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(detail)
		if words[0] != "SCAN" || words[1] == "CONSTANT" || strings.HasPrefix(words[1], "(") {
			continue
		}
		table := words[1]
		if of, ok := aliases[table]; ok {
			table = of
		}
		if slices.Contains(small, table) || slices.Contains(wholeIndexes, words[len(words)-1]) {
			continue
		}
		wrong = append(wrong, detail)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return wrong
}

// A plan is a node of PostgreSQL's.
type plan struct {
	Type     string `json:"Node Type"`
	Table    string `json:"Relation Name"`
	Index    string `json:"Index Name"`
	Cond     string `json:"Index Cond"`
	Children []plan `json:"Plans"`
}

// explainPostgreSQL returns what is wrong with the plan that PostgreSQL makes
// once for whatever values come.
func explainPostgreSQL(t *testing.T, conn *sql.Conn, statement string) (wrong []string) {
	t.Helper()
	nulls := ""
	if n := parameters(statement); n > 0 {
		nulls = `(` + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + `)`
	}
	var explained string
	// What the planner would choose by itself must be right, whatever the store
	// forbids it.
	for _, step := range []string{`RESET enable_seqscan; RESET enable_hashjoin; RESET enable_mergejoin`, `PREPARE judged AS ` + statement} {
		if _, err := conn.ExecContext(t.Context(), step); err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	if err := conn.QueryRowContext(t.Context(), `EXPLAIN (FORMAT JSON) EXECUTE judged`+nulls).Scan(&explained); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if _, err := conn.ExecContext(t.Context(), `DEALLOCATE judged`); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal([]byte(explained), &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan.wrong()
}

func (p plan) wrong() (all []string) {
	switch {
	case p.Type == "Seq Scan" && !slices.Contains(small, p.Table):
		all = append(all, "reads the whole table "+p.Table)
	case (p.Type == "Index Scan" || p.Type == "Index Only Scan") && p.Cond == "" && !slices.Contains(wholeIndexes, p.Index) && !slices.Contains(small, p.Table):
		all = append(all, "reads the whole index "+p.Index)
	}
	for _, child := range p.Children {
		all = append(all, child.wrong()...)
	}
	return all
}

// A row that goes takes along those that name it, and is looked for in every
// table where one might be: each reference has an index of its own.
func TestEveryForeignKeyHasAnIndex(t *testing.T) {
	pool, _ := storagetest.PostgreSQL(t).Pools()
	rows, err := pool.QueryContext(t.Context(), `
		SELECT c.conrelid::regclass::text || ' (' || a.attname || ')'
		FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
		WHERE c.contype = 'f' AND NOT EXISTS (
			SELECT 1 FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]
			AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)'))`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var reference string
		if err := rows.Scan(&reference); err != nil {
			t.Fatal(err)
		}
		t.Errorf("no index is on %s", reference)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// inCrowd is how many rows the plans of PostgreSQL are made for, and inSmallCrowd
// those of SQLite: whose planner asks for no more than which rows share a value,
// and which the race detector slows down thirtyfold.
var (
	inCrowd      = crowd{20_000, 100_000, 20_000}
	inSmallCrowd = crowd{2_000, 10_000, 2_000}
)

// tables ends the test unless query lists tables that are small or get filled:
// the plan for an empty one says nothing.
func tables(t *testing.T, db *sqlstore.DB, query string) {
	t.Helper()
	pool, _ := db.Pools()
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		known := table == "goose_db_version" || slices.Contains(small, table)
		if !known && !slices.ContainsFunc(crowded, func(c crowding) bool { return c.table == table }) {
			t.Errorf("the table %s is neither small nor filled", table)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
