package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/keys"
	"gatehouse/storage/redisstore"
	"gatehouse/storage/sqlstore"
)

// examine looks at everything that serve needs. loadErr is what is wrong with
// the settings themselves.
func examine(ctx context.Context, cfg *config.Config, loadErr error) []finding {
	var all []finding
	if err := refusals(loadErr, checkFiles(cfg)); err != nil {
		problems := []error{err}
		if e, ok := errors.AsType[*config.Error](err); ok {
			problems = e.Problems
		}
		for _, p := range problems {
			all = append(all, finding{
				Check: "configuration", What: "a setting, or a file that it names, is refused", Evidence: p.Error(),
				Cause: "a misspelt value, or a file that was moved or has other modes", Fix: "correct it as the evidence says; gatehouse config reference explains each setting",
			})
		}
	} else {
		all = append(all, well("configuration", "the settings and the files they name are good"))
	}
	if !cfg.Wrong("database_url", "data_dir") && sqlstore.CheckURL(cfg.DatabaseURL.Reveal()) == nil {
		all = append(all, examineDatabase(ctx, cfg)...)
	}
	if !cfg.Wrong("redis_url") && !cfg.RedisURL.IsZero() {
		all = append(all, judged("redis", "it counts limits", redisstore.Check(ctx, cfg.RedisURL.Reveal())))
	}
	if !cfg.Wrong("mail.url") && !cfg.Mail.URL.IsZero() {
		all = append(all, examineMail(ctx, cfg))
	}
	if !cfg.Wrong("issuer") {
		all = append(all, probeIssuer(ctx, cfg.Issuer, nil))
	}
	if !cfg.Wrong("issuer", "outbound.ca_file", "outbound.allow") {
		all = append(all, examineUpstreams(ctx, cfg)...)
	}
	return all
}

// examineDatabase looks at the database and at what is in it, and stops where
// one thing rests on another.
func examineDatabase(ctx context.Context, cfg *config.Config) []finding {
	db, err := sqlstore.Open(ctx, sqlstore.Options{URL: cfg.DatabaseURL.Reveal(), MinConns: 1, MaxConns: 2, AnySchema: true})
	if err != nil {
		return []finding{failed("database", err)}
	}
	defer db.Close()
	all := []finding{well("database", "it can be reached")}
	if err := db.Integrity(ctx); err != nil {
		return []finding{failed("database", err)}
	}
	if _, embedded := cfg.SQLite(); !embedded {
		if err := db.CheckWritable(ctx); err != nil {
			all = append(all, failed("database", err))
		}
		all = append(all, judged("clock", "that of the database is this machine's", db.CheckClock(ctx, time.Now)))
	}
	schema := judged("schema", "it is this program's", db.CheckSchema(ctx))
	all = append(all, schema)
	if schema.OK {
		all = append(all, examineKeys(ctx, cfg, db)...)
		for _, u := range cfg.Upstreams {
			all = append(all, lately(ctx, u.ID, db.Store().Failures, time.Now())...)
		}
	}
	return all
}

func judged(check, good string, err error) finding {
	if err != nil {
		return failed(check, err)
	}
	return well(check, "%s", good)
}

// examineKeys looks at the master key and the signing keys that it opens.
func examineKeys(ctx context.Context, cfg *config.Config, db *sqlstore.DB) []finding {
	store := db.Store()
	rows, err := store.Keys.List(ctx)
	if err != nil {
		return []finding{failed("signing keys", err)}
	}
	master, err := masterKeys(cfg)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(rows) == 0:
		return []finding{well("master key", "there is none yet; the first serve makes it")}
	case errors.Is(err, fs.ErrNotExist):
		return []finding{{
			Check: "master key", What: "the master key is missing", Evidence: lostMasterKey(cfg).Error(),
			Cause: "a database that was restored or moved without it", Fix: "restore the file from the backup of the same day",
		}}
	case err != nil:
		return []finding{{
			Check: "master key", What: "the master key cannot be used", Evidence: err.Error(),
			Cause: "a file that was copied or edited", Fix: "do what the evidence says",
		}}
	}
	found := []finding{well("master key", "it is that of %s", masterKeySource(cfg))}
	if len(rows) == 0 {
		return append(found, well("signing keys", "there are none yet; the first serve makes them"))
	}
	ring := keys.NewRing(ringConfig(cfg, store, master, nil))
	if err := ring.Check(ctx); err != nil {
		return append(found, finding{
			Check: "signing keys", What: "a signing key does not open", Evidence: fmt.Sprintf("%v; the master key in use is that of %s", err, masterKeySource(cfg)),
			Cause: "another master key than the one that sealed it, or a damaged row", Fix: "set the master key that was in use, or list it after the new one; a damaged row is restored from a backup",
		})
	}
	all, err := ring.Status(ctx)
	if err != nil {
		return append(found, failed("signing keys", err))
	}
	return append(found, timely(cfg, all, time.Now())...)
}

// overdueAfter is how late a key may be: a node looks each second.
const overdueAfter = 5 * time.Minute

// timely judges the keys by their timetable.
func timely(cfg *config.Config, all []keys.Status, now time.Time) []finding {
	var found []finding
	for _, alg := range []string{keys.RS256, keys.ES256} {
		if f, ok := timelyOf(cfg, alg, all, now); !ok {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		found = append(found, well("signing keys", "they open, and one of each algorithm signs"))
	}
	return found
}

func timelyOf(cfg *config.Config, alg string, all []keys.Status, now time.Time) (f finding, ok bool) {
	f = finding{
		Check: "signing keys", What: "no " + alg + " key signs now", Evidence: "gatehouse keys list shows none as active",
		Cause: "a key that was retired, or a clock that was set back", Fix: "correct the clock, or run: gatehouse keys rotate " + alg,
	}
	var active *keys.Status
	for _, k := range all {
		switch {
		case k.Key.Algorithm != alg:
		case k.State == keys.Next:
			return f, true // its successor is there: nothing is overdue
		case k.State == keys.Active:
			active = &k
		}
	}
	if active == nil {
		return f, false
	}
	due := active.SignsFrom.Add(cfg.Keys.RotateEvery)
	if now.Before(due.Add(overdueAfter)) {
		return f, true
	}
	f.What = "the " + alg + " key is overdue"
	f.Evidence = fmt.Sprintf("%s signs since %s and should have been replaced at %s", active.Key.ID, moment(active.SignsFrom), moment(due))
	f.Cause = "no serve that ran since, or one that may not write"
	f.Fix = "run serve and see its log, or run: gatehouse keys rotate " + alg
	return f, false
}
