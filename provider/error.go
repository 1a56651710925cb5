package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"gatehouse/storage"
)

// Error codes that the library has no name for.
const (
	temporarilyUnavailable = "temporarily_unavailable" // RFC 6749 §4.1.2.1
	invalidToken           = "invalid_token"           // RFC 6750 §3.1
	insufficientScope      = "insufficient_scope"
)

func invalidRequest(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.InvalidRequest, Description: why}
}

func invalidGrant(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.InvalidGrant, Description: why}
}

func invalidScope(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.InvalidScope, Description: why}
}

func invalidTarget(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.InvalidTarget, Description: why}
}

func unauthorizedClient(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.UnauthorizedClient, Description: why}
}

func unsupportedResponseType(why string) *oidc.Error {
	return &oidc.Error{ErrorType: "unsupported_response_type", Description: why}
}

func accessDenied(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.AccessDenied, Description: why}
}

// unmetRequirements is of OpenID Connect Core Error Code unmet_authentication_requirements.
func unmetRequirements(why string) *oidc.Error {
	return &oidc.Error{ErrorType: "unmet_authentication_requirements", Description: why}
}

func loginRequired(why string) *oidc.Error {
	return &oidc.Error{ErrorType: oidc.LoginRequired, Description: why}
}

func consentRequired(why string) *oidc.Error {
	return &oidc.Error{ErrorType: "consent_required", Description: why}
}

// invalidClient is one answer for an unknown client, a wrong secret and a
// disabled client, so that none of them can be told from another.
func invalidClient() *oidc.Error {
	return &oidc.Error{ErrorType: oidc.InvalidClient,
		Description: "client authentication failed: unknown client, wrong credentials, or not the method that the client registered"}
}

// lost logs that storage did not answer, and returns what a client may read of it.
func (p *Provider) lost(ctx context.Context, doing string, err error) *oidc.Error {
	p.broken(ctx, doing, err)
	return &oidc.Error{ErrorType: temporarilyUnavailable, Description: "the service cannot answer at the moment; try again in a few seconds"}
}

// internal logs what broke on our side, and returns what a client may read of it.
func (p *Provider) internal(ctx context.Context, doing string, err error) *oidc.Error {
	p.broken(ctx, doing, err)
	e := &oidc.Error{ErrorType: oidc.ServerError, Description: "something broke on our side"}
	if id := storage.OriginOf(ctx).RequestID; id != "" {
		e.Description += "; the log has it under request id " + id
	}
	return e
}

// broken logs an error once. One that comes of a client that went away is no fault of ours.
func (p *Provider) broken(ctx context.Context, doing string, err error) {
	if errors.Is(err, context.Canceled) {
		p.log.InfoContext(ctx, doing+": the client went away")
		return
	}
	p.log.ErrorContext(ctx, doing, "error", err, "request_id", storage.OriginOf(ctx).RequestID)
}

// status is the HTTP status of an error for a machine.
func status(e *oidc.Error) int {
	switch e.ErrorType {
	case oidc.InvalidClient, invalidToken:
		return http.StatusUnauthorized
	case insufficientScope:
		return http.StatusForbidden
	case oidc.ServerError:
		return http.StatusInternalServerError
	case temporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// writeError is the one exit of an error for a machine (RFC 6749 §5.2).
func (p *Provider) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if bad, ok := errors.AsType[*fault](err); ok {
		writeJSON(w, bad.status, wireError(invalidRequest(bad.Error())))
		return
	}
	e, ok := errors.AsType[*oidc.Error](err)
	if !ok {
		e = p.internal(r.Context(), "answer a request", err)
	}
	code := status(e)
	switch code {
	case http.StatusUnauthorized:
		// RFC 6749 §5.2 asks for it where the client used the Authorization header,
		// RFC 9110 §15.5.2 with every 401.
		if w.Header().Get("WWW-Authenticate") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="gatehouse"`)
		}
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "2")
	}
	writeJSON(w, code, wireError(e))
}

// writeBearerError is writeError for a resource of ours (RFC 6750 §3).
func (p *Provider) writeBearerError(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*oidc.Error](err); ok && status(e) < http.StatusInternalServerError {
		challenge := `Bearer realm="gatehouse", error="` + string(e.ErrorType) + `", error_description="` + e.Description + `"`
		if e.ErrorType == insufficientScope {
			challenge += `, scope="openid"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	p.writeError(w, r, err)
}

func wireError(e *oidc.Error) map[string]string {
	return map[string]string{"error": string(e.ErrorType), "error_description": e.Description}
}

// writeJSON writes an answer that nobody may keep.
func writeJSON(w http.ResponseWriter, code int, body any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	content, err := json.Marshal(body)
	if err != nil {
		panic("provider: encode answer: " + err.Error()) // structs and maps of strings and numbers
	}
	w.WriteHeader(code)
	w.Write(content) // a client that went away cannot be told
}
