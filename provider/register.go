package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"gatehouse/keys"
	"gatehouse/storage"
)

// ErrDeclared: the client comes from the configuration file, and is edited only there.
var ErrDeclared = errors.New("the client is declared in the configuration file: change it there")

// A Registrar is the one way a client is made or changed.
type Registrar struct {
	Store  *storage.Store
	Issuer string
	// Scopes may be registered beside the standard ones; nil: whoever registers
	// a client declares its scopes by that.
	Scopes []string
	// Active lists the algorithms whose keys can sign; nil: every one that the
	// ring makes keys of.
	Active func() []string
	Now    func() time.Time // default time.Now
}

func (g *Registrar) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

func (g *Registrar) algorithms() []string {
	if g.Active == nil {
		return keys.Algorithms
	}
	return g.Active()
}

// A Registration is a client with its secret, shown this once.
type Registration struct {
	Client *storage.Client
	Secret string // empty for public clients
}

// Register validates m and stores a new client. An empty id is made; an empty
// secret is made where the method needs one. What is wrong with m comes as
// *MetadataError, all at once.
func (g *Registrar) Register(ctx context.Context, id, secret string, m storage.ClientMetadata) (*Registration, error) {
	return g.register(ctx, id, secret, m, false)
}

func (g *Registrar) register(ctx context.Context, id, secret string, m storage.ClientMetadata, declared bool) (*Registration, error) {
	m, err := g.validate(m)
	if err := errors.Join(err, idProblem(id), secretProblem(m, secret)); err != nil {
		return nil, err
	}
	if id == "" {
		id = newID()
	}
	now := g.now()
	c := &storage.Client{ID: id, Metadata: m, Origins: originsOf(m), Declared: declared, CreatedAt: now, UpdatedAt: now}
	if hasSecret(m) {
		if secret == "" {
			secret = newSecret("ghs_")
		}
		c.Secrets = []storage.StoredSecret{{Digest: storage.NewDigest(storage.ClientSecret, secret), CreatedAt: now}}
	}
	err = g.Store.Clients.Create(ctx, c, g.changed(ctx, "client.created", id, m))
	if errors.Is(err, storage.ErrExists) {
		return nil, &MetadataError{Code: invalidMetadata, Field: "client_id", Value: id,
			Description: "is taken, or belonged to a client that was deleted", cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("store client %s: %w", id, err)
	}
	return &Registration{Client: c, Secret: secret}, nil
}

// hasSecret reports whether a client of this metadata authenticates with a secret.
func hasSecret(m storage.ClientMetadata) bool {
	return m.TokenEndpointAuthMethod == secretBasic || m.TokenEndpointAuthMethod == secretPost
}

func (g *Registrar) event(ctx context.Context, name, id string) *storage.Event {
	e := storage.NewEvent(ctx, g.now(), name, id)
	e.ClientID = id
	return e
}

// changed is event for a client that has this metadata now. It names the
// switches for old software that are on.
func (g *Registrar) changed(ctx context.Context, name, id string, m storage.ClientMetadata) *storage.Event {
	e := g.event(ctx, name, id)
	var on []string
	if m.NonceInsteadOfPKCE {
		on = append(on, "nonce_instead_of_pkce")
	}
	if m.AssertionAudTokenEndpoint {
		on = append(on, "assertion_aud_token_endpoint")
	}
	if len(on) > 0 {
		e.Details = map[string]string{"switches": strings.Join(on, " ")}
	}
	return e
}

// idProblem refuses an id that would have to be escaped somewhere.
func idProblem(id string) error {
	if len(id) > 128 || strings.Trim(id, letters+digits+"-._~:/") != "" {
		return &MetadataError{Code: invalidMetadata, Field: "client_id", Value: shown(id),
			Description: "must be at most 128 letters, digits and -._~:/"}
	}
	return nil
}

// secretProblem refuses a secret chosen by a person that could be guessed.
func secretProblem(m storage.ClientMetadata, secret string) error {
	switch {
	case secret == "":
		return nil
	case !hasSecret(m):
		return &MetadataError{Code: invalidMetadata, Field: "client_secret", Description: "is not for clients of token_endpoint_auth_method " + m.TokenEndpointAuthMethod}
	case len(secret) < minDeclaredSecret || len(secret) > 256:
		return &MetadataError{Code: invalidMetadata, Field: "client_secret",
			Description: fmt.Sprintf("must have between %d and 256 characters: make one with openssl rand -base64 32", minDeclaredSecret)}
	case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }):
		// RFC 6749 appendix A.2
		return &MetadataError{Code: invalidMetadata, Field: "client_secret", Description: "must be printable ASCII"}
	}
	return nil
}

// Update validates m and writes it over the client's metadata: ErrDeclared,
// *MetadataError, or storage.ErrConflict where c was read before another change.
func (g *Registrar) Update(ctx context.Context, c *storage.Client, m storage.ClientMetadata) error {
	if c.Declared {
		return ErrDeclared
	}
	m, err := g.validate(m)
	if err != nil {
		return err
	}
	changed := *c
	changed.Metadata, changed.Origins = m, originsOf(m)
	if !hasSecret(m) {
		changed.Secrets = nil
	}
	return g.update(ctx, c, changed, "client.updated")
}

// update stores changed, and makes c what was stored.
func (g *Registrar) update(ctx context.Context, c *storage.Client, changed storage.Client, event string) error {
	if err := g.Store.Clients.Update(ctx, &changed, g.now(), g.changed(ctx, event, c.ID, changed.Metadata)); err != nil {
		return fmt.Errorf("update client %s: %w", c.ID, err)
	}
	*c = changed
	return nil
}

// RotateSecret gives the client a new secret; the one before stays good for
// overlap, so that a client changes over without a gap. Two are live at most.
func (g *Registrar) RotateSecret(ctx context.Context, c *storage.Client, overlap time.Duration) (secret string, err error) {
	switch {
	case c.Declared:
		return "", ErrDeclared
	case !hasSecret(c.Metadata):
		return "", &MetadataError{Code: invalidMetadata, Field: "token_endpoint_auth_method", Value: c.Metadata.TokenEndpointAuthMethod, Description: "has no secret to rotate"}
	}
	now := g.now()
	secret = newSecret("ghs_")
	changed := *c
	changed.Secrets = []storage.StoredSecret{{Digest: storage.NewDigest(storage.ClientSecret, secret), CreatedAt: now}}
	if len(c.Secrets) > 0 && overlap > 0 {
		before := c.Secrets[0]
		if until := now.Add(overlap); before.ExpiresAt.IsZero() || until.Before(before.ExpiresAt) {
			before.ExpiresAt = until
		}
		changed.Secrets = append(changed.Secrets, before)
	}
	return secret, g.update(ctx, c, changed, "client.secret_rotated")
}

// Delete removes the client and ends what it was granted.
func (g *Registrar) Delete(ctx context.Context, c *storage.Client) error {
	if c.Declared && c.DisabledAt.IsZero() {
		return ErrDeclared
	}
	if err := g.Store.Clients.Delete(ctx, c.ID, g.now(), g.event(ctx, "client.deleted", c.ID)); err != nil {
		return fmt.Errorf("delete client %s: %w", c.ID, err)
	}
	return nil
}

// A Declaration is a client from the configuration file.
type Declaration struct {
	ID       string
	Secret   string
	Metadata storage.ClientMetadata
}

// Check says everything that is wrong with the declared clients, without a
// look into the database.
func (g *Registrar) Check(ds []Declaration) error {
	var errs []error
	seen := make(map[string]bool)
	for _, d := range ds {
		m, err := g.validate(d.Metadata)
		errs = append(errs, declared(d.ID, err), declared(d.ID, idProblem(d.ID)), declared(d.ID, secretProblem(m, d.Secret)))
		switch {
		case d.ID == "":
			errs = append(errs, errors.New("a declared client has no client_id"))
		case seen[d.ID]:
			errs = append(errs, fmt.Errorf("client %s is declared twice", d.ID))
		case d.Secret == "" && hasSecret(m):
			errs = append(errs, fmt.Errorf("client %s needs client_secret or client_secret_file, or token_endpoint_auth_method private_key_jwt or none", d.ID))
		}
		seen[d.ID] = true
	}
	return errors.Join(errs...)
}

// declared names the client that err is about, on each of its lines.
func declared(id string, err error) error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("client %s: %w", id, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, declared(id, e))
	}
	return errors.Join(errs...)
}

// declareTries bounds how often the declared clients are looked at anew because
// somebody else changed one meanwhile.
const declareTries = 10

// Declare makes the declared clients what the file says: creates, updates, and
// disables those that left it. It changes nothing where anything is wrong. Nodes
// that start together do this at the same moment: who comes second looks again
// and finds it done.
func (g *Registrar) Declare(ctx context.Context, ds []Declaration) error {
	if err := g.Check(ds); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := g.declareAll(ctx, ds)
		second := errors.Is(err, storage.ErrExists) || errors.Is(err, storage.ErrConflict)
		if !second || try == declareTries {
			return err
		}
	}
}

func (g *Registrar) declareAll(ctx context.Context, ds []Declaration) error {
	left := make(map[string]*storage.Client)
	if err := g.eachClient(ctx, func(c *storage.Client) { left[c.ID] = c }); err != nil {
		return err
	}
	for _, d := range ds {
		if c := left[d.ID]; c != nil && !c.Declared {
			return fmt.Errorf("client %s exists and was not declared: delete it, or declare another client_id", d.ID)
		}
	}
	for _, d := range ds {
		if err := g.declare(ctx, left[d.ID], d); err != nil {
			return err
		}
		delete(left, d.ID)
	}
	for _, c := range left {
		if !c.Declared || !c.DisabledAt.IsZero() {
			continue
		}
		gone := *c
		gone.DisabledAt = g.now()
		if err := g.update(ctx, c, gone, "client.disabled"); err != nil {
			return err
		}
	}
	return nil
}

// declare creates c, or makes it what the file says. One that is so already
// is left alone, so that a restart drops nobody's memory.
func (g *Registrar) declare(ctx context.Context, c *storage.Client, d Declaration) error {
	if c == nil {
		_, err := g.register(ctx, d.ID, d.Secret, d.Metadata, true)
		return err
	}
	changed := *c
	changed.Metadata = complete(d.Metadata)
	changed.Origins = originsOf(changed.Metadata)
	changed.DisabledAt = time.Time{}
	changed.Secrets = nil
	if d.Secret != "" {
		digest := storage.NewDigest(storage.ClientSecret, d.Secret)
		changed.Secrets = []storage.StoredSecret{{Digest: digest, CreatedAt: g.now()}}
		if len(c.Secrets) == 1 && c.Secrets[0].Digest == digest {
			changed.Secrets = c.Secrets
		}
	}
	if reflect.DeepEqual(changed.Metadata, c.Metadata) && reflect.DeepEqual(changed.Secrets, c.Secrets) && c.DisabledAt.IsZero() {
		return nil
	}
	event := "client.updated"
	if !c.DisabledAt.IsZero() {
		event = "client.enabled"
	}
	return g.update(ctx, c, changed, event)
}

func (g *Registrar) eachClient(ctx context.Context, do func(*storage.Client)) error {
	const page = 200
	for after := ""; ; {
		clients, err := g.Store.Clients.List(ctx, after, page)
		if err != nil {
			return fmt.Errorf("list clients: %w", err)
		}
		for _, c := range clients {
			do(c)
			after = c.ID
		}
		if len(clients) < page {
			return nil
		}
	}
}

// Response is the registration response (RFC 7591 §3.2.1) for c; secret may be
// empty. Beside the registered names it says declared, and disabled, where they hold.
func Response(c *storage.Client, secret string) map[string]any {
	// ClientMetadata has nothing that could fail to marshal.
	metadata, _ := json.Marshal(c.Metadata)
	response := make(map[string]any)
	_ = json.Unmarshal(metadata, &response)
	response["client_id"] = c.ID
	response["client_id_issued_at"] = c.CreatedAt.Unix()
	if len(c.Secrets) > 0 {
		expires := int64(0) // never
		if !c.Secrets[0].ExpiresAt.IsZero() {
			expires = c.Secrets[0].ExpiresAt.Unix()
		}
		response["client_secret_expires_at"] = expires
	}
	if secret != "" {
		response["client_secret"] = secret
	}
	if c.Declared {
		response["declared"] = true
	}
	if !c.DisabledAt.IsZero() {
		response["disabled"] = true
	}
	return response
}
