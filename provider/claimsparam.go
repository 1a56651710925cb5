package provider

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// A claimsRequest is the claims parameter (OpenID Connect Core §5.5), as far as
// it asks for something that we have: names of claims, for either place.
type claimsRequest struct {
	Userinfo []string `json:"userinfo,omitempty"`
	IDToken  []string `json:"id_token,omitempty"`
}

// An askedClaim is one member: null, or an object.
type askedClaim struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// claimScopes says which scope has each claim: whoever may not have the scope
// may not have the claim, and the person is asked for it in the scope's words.
var claimScopes = map[string]string{
	"email": oidc.ScopeEmail, "email_verified": oidc.ScopeEmail,
	"phone_number": oidc.ScopePhone, "phone_number_verified": oidc.ScopePhone, "address": oidc.ScopeAddress,
	"name": oidc.ScopeProfile, "given_name": oidc.ScopeProfile, "family_name": oidc.ScopeProfile, "middle_name": oidc.ScopeProfile,
	"nickname": oidc.ScopeProfile, "preferred_username": oidc.ScopeProfile, "profile": oidc.ScopeProfile, "picture": oidc.ScopeProfile,
	"website": oidc.ScopeProfile, "gender": oidc.ScopeProfile, "birthdate": oidc.ScopeProfile, "zoneinfo": oidc.ScopeProfile,
	"locale": oidc.ScopeProfile, "updated_at": oidc.ScopeProfile,
}

// readClaims reads the claims parameter into q. Claims that nobody here knows
// are left out, as is what the client may not ask for.
func (q *request) readClaims(raw string, c *storage.Client) error {
	if raw == "" {
		return nil
	}
	var asked struct {
		Userinfo map[string]*askedClaim `json:"userinfo"`
		IDToken  map[string]*askedClaim `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(raw), &asked); err != nil || depth(raw) > maxDepth {
		return about(invalidRequest("claims must be a JSON object with the members userinfo and id_token"), "claims", "", "")
	}
	q.Claims = claimsRequest{Userinfo: allowedClaims(asked.Userinfo, c), IDToken: allowedClaims(asked.IDToken, c)}
	if acr := asked.IDToken["acr"]; acr != nil && acr.Essential && !acr.offers(LowestACR) {
		// §5.5.1.1: an essential acr that cannot be met is a failed attempt.
		return about(unmetRequirements("no sign-in here reaches the acr that is essential to the request"), "claims", "", LowestACR)
	}
	sub := asked.IDToken["sub"]
	if sub == nil {
		sub = asked.Userinfo["sub"]
	}
	if sub != nil && sub.Value != nil {
		who, ok := sub.Value.(string)
		if !ok || q.HintedUser != "" && q.HintedUser != who {
			return about(invalidRequest("the sub in claims is not the one of id_token_hint"), "claims", "", "")
		}
		q.HintedUser = who
	}
	return nil
}

// maxDepth is how deep JSON from a stranger may nest.
const maxDepth = 16

// depth is how deep well-formed JSON nests.
func depth(raw string) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// offers reports whether the value asked for, if any, may be this one.
func (a *askedClaim) offers(value string) bool {
	if a.Value == nil && len(a.Values) == 0 {
		return true
	}
	return a.Value == value || slices.Contains(a.Values, any(value))
}

func allowedClaims(asked map[string]*askedClaim, c *storage.Client) []string {
	registered := strings.Fields(c.Metadata.Scope)
	var names []string
	for name := range asked {
		if scope := claimScopes[name]; scope != "" && slices.Contains(registered, scope) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// wanted are the scopes that the person must have allowed: those asked for,
// and those whose claims are asked for one by one.
func (q *request) wanted() []string {
	all := slices.Clone(q.Scopes)
	for _, name := range slices.Concat(q.Claims.Userinfo, q.Claims.IDToken) {
		if scope := claimScopes[name]; !slices.Contains(all, scope) {
			all = append(all, scope)
		}
	}
	return all
}

// encode is how a grant keeps the request.
func (r claimsRequest) encode() string {
	if len(r.Userinfo) == 0 && len(r.IDToken) == 0 {
		return ""
	}
	b, _ := json.Marshal(r) // strings do not fail
	return string(b)
}

// claimsOf are the claims that a token of these scopes gives of those that
// were asked for by name: a token that was narrowed gives up the claims of the
// scopes that it lost.
func claimsOf(g *storage.Grant, scopes []string) (r claimsRequest) {
	if g.Claims == "" {
		return r
	}
	_ = json.Unmarshal([]byte(g.Claims), &r) // ours, written by encode
	lost := func(name string) bool {
		scope := claimScopes[name]
		return slices.Contains(g.Scopes, scope) && !slices.Contains(scopes, scope)
	}
	return claimsRequest{Userinfo: slices.DeleteFunc(r.Userinfo, lost), IDToken: slices.DeleteFunc(r.IDToken, lost)}
}

// pick returns the claims with these names that the user has.
func pick(u *storage.User, names []string) map[string]any {
	if len(names) == 0 {
		return nil
	}
	all, picked := userClaims(u, personScopes), make(map[string]any, len(names))
	for _, name := range names {
		if value, has := all[name]; has {
			picked[name] = value
		}
	}
	return picked
}
