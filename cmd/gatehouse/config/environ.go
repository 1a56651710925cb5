package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

// configFileEnv names the file; it is no setting, since the file cannot say it.
const configFileEnv = envPrefix + "CONFIG"

// injected is what Kubernetes puts into the environment for a Service that is
// named gatehouse, and what our own tests are told.
var injected = regexp.MustCompile(`^GATEHOUSE_(TEST_.*|SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=.*|PORT=\w+://.*|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)$`)

func envNames() []string {
	names := []string{configFileEnv}
	for _, s := range Settings() {
		names = append(names, s.Env())
		if s.Secret {
			names = append(names, s.Env()+strings.ToUpper(fileSuffix))
		}
	}
	return names
}

// environment reads GATEHOUSE_… and the well-known names.
func (r *reading) environment(environ []string) layer {
	env := make(map[string]string)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	l := make(layer)
	r.wellKnown(l, env)
	r.google(env)
	byName := make(map[string]*Setting)
	for _, s := range Settings() {
		byName[s.Env()] = s
		if value, set := env[s.Env()]; set {
			l[s.Name] = given{value, Origin{"environment", s.Env()}}
		}
	}
	for name, value := range inOrder(env) {
		if !strings.HasPrefix(name, envPrefix) || byName[name] != nil || name == configFileEnv {
			continue
		}
		if s := byName[strings.TrimSuffix(name, "_FILE")]; s != nil && s.Secret {
			if !strings.HasPrefix(l[s.Name].origin.Name, envPrefix) {
				delete(l, s.Name) // the well-known name says less than ours
			}
			r.secretFile(l, s, Origin{"environment", name}, value)
			continue
		}
		if !injected.MatchString(name + "=" + value) {
			r.unknown(name, name, envNames())
		}
	}
	return l
}

// wellKnown honours the names that platforms set.
func (r *reading) wellKnown(l layer, env map[string]string) {
	if p := env["PORT"]; p != "" {
		r.port = given{p, Origin{"environment", "PORT"}}
	}
	for _, name := range []string{"DATABASE_URL", "REDIS_URL"} {
		r.wellKnownSecret(l, env, find(strings.ToLower(name)), name)
	}
	if _, set := l["database_url"]; !set {
		r.databaseParts(l, env)
	}
}

// wellKnownSecret honours NAME and NAME_FILE.
func (r *reading) wellKnownSecret(l layer, env map[string]string, s *Setting, name string) {
	if u, set := env[name]; set {
		l[s.Name] = given{u, Origin{"environment", name}}
	}
	if path, set := env[name+"_FILE"]; set {
		r.secretFile(l, s, Origin{"environment", name + "_FILE"}, path)
	}
}

// databaseParts makes one address of DB_HOST and its companions. DB_PORT is
// also what Kubernetes sets for a Service named db: tcp://….
func (r *reading) databaseParts(l layer, env map[string]string) {
	port := env["DB_PORT"]
	if strings.Contains(port, "://") {
		port = ""
	}
	host, name := env["DB_HOST"], env["DB_NAME"]
	switch {
	case host == "" && name == "":
		return
	case host == "" || name == "":
		r.problem("DB_HOST and DB_NAME go together: DB_HOST is %q and DB_NAME is %q", host, name)
		r.c.wrong["database_url"] = true
		return
	}
	password, where := env["DB_PASSWORD"], Origin{"environment", "DB_HOST"}
	if path := env["DB_PASSWORD_FILE"]; path != "" {
		secret, err := ReadSecretFile(path)
		if err != nil {
			r.problem("DB_PASSWORD_FILE: %s %w", path, err)
			r.c.wrong["database_url"] = true
			return
		}
		password = secret.Reveal()
	}
	u := url.URL{Scheme: "postgres", Host: host, Path: "/" + name}
	if port != "" {
		u.Host = net.JoinHostPort(host, port)
	}
	switch user := env["DB_USER"]; {
	case password != "":
		u.User = url.UserPassword(user, password)
	case user != "":
		u.User = url.User(user)
	}
	l["database_url"] = given{u.String(), where}
}
