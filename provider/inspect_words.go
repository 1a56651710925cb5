package provider

// words are what a finding says beside its evidence: what is wrong, why that
// usually is, and what to do.
type words struct{ what, cause, fix string }

// troubles are the findings for which what was pasted is refused.
var troubles = map[string]words{
	// What was pasted, before it is read as a token.
	"empty":        {"nothing was pasted", "the variable or file that should hold the token is empty", "print the length of what the program sends, and see where the token was lost"},
	"too_long":     {"this is too long for a token", "a whole response, log or file was pasted", "paste the token alone"},
	"header_name":  {"the header's name stands in front of the token", "a whole header line was stored or copied as the token", "keep what follows \"Bearer \" and nothing else"},
	"bearer":       {"\"Bearer \" stands in front of the token", "the program adds \"Bearer \" to a value that has it already, or a header was stored whole", "store the token alone, and add \"Bearer \" once, where the header is made"},
	"quotes":       {"the token is in quotation marks", "a JSON value was cut out with its quotes, or a shell or .env file kept them", "parse the JSON instead of cutting it (jq -r), and remove the quotes"},
	"white_space":  {"there is white space around or inside the token", "copying from a terminal or a mail, or a file read without trimming", "trim the value before it is sent; a token has no spaces"},
	"line_breaks":  {"the token is broken into lines", "an editor, a mail or base64 wrapped it", "join the lines; write the token with a tool that does not wrap"},
	"url_encoded":  {"the token is URL-encoded", "a value was copied from an address or form body, or encoded twice", "decode it once where it is read; a header takes it as it is"},
	"invisible":    {"there are invisible characters in the token", "copying from a document or chat added a byte order mark or zero-width characters", "copy it again from where it was issued"},
	"json_object":  {"a whole JSON response was pasted, not a token", "the response of the token endpoint was sent on without taking the token out", "send the value of its member alone"},
	"form_pasted":  {"a form body or an address was pasted, not a token", "parameters were copied with their names", "send the value of the parameter alone"},
	"padding":      {"the token is written in another base64: it has =, + or /", "a library re-encoded it with padding or the ordinary alphabet", "pass tokens on as they are, byte for byte; never decode and encode them"},
	"truncated":    {"the token was cut off", "a column, cookie, log or terminal holds fewer characters than it has", "make room for 4096 characters, and copy it again from where it was issued"},
	"too_many":     {"there is more than one token here", "a token was appended to another, or pasted twice", "send one token"},
	"encrypted":    {"this is an encrypted token (JWE, five parts)", "it comes from another provider: gatehouse signs and does not encrypt", "send the token that this gatehouse issued"},
	"not_a_token":  {"this is not a token", "another value was sent: an id, a password, a placeholder or a variable's name", "see what the program puts into the header"},
	"placeholder":  {"this is what stands for a missing value, not a token", "a variable was empty or not filled in when the header was made", "see where the program takes the token from"},
	"bad_header":   {"the token's first part is not a JWT header", "its beginning is missing or was changed", "copy it again from where it was issued"},
	"bad_payload":  {"the token's middle part is not readable", "it was cut, changed or wrapped on the way", "copy it again from where it was issued"},
	"no_signature": {"the token has no signature", "the last part was taken off, or the token was made by hand", "send the token as it was issued, all three parts"},

	// What the token is for.
	"expected_access":  {"this is no access token", "the response's id_token or refresh_token was sent to an API, or a variable was mixed up", "send the response's access_token"},
	"expected_id":      {"this is no ID token", "the response's access_token was read as the proof of a sign-in", "use the response's id_token; ask for the scope openid"},
	"expected_refresh": {"this is no refresh token", "the access token or ID token was sent to the token endpoint as refresh_token", "send the response's refresh_token; ask for offline_access where there is none"},
	"logout_token":     {"this is a logout token", "the logout_token of a back-channel sign-out was stored or sent as an access token", "only the back-channel logout endpoint takes it; it opens nothing"},
	"unknown_type":     {"the token's typ is none that gatehouse makes", "it was made for another purpose, or by somebody else", "send an access token (at+jwt) to an API"},
	"client_secret":    {"this is a client secret: rotate it, it has been pasted", "the secret was sent where the token belongs", "run gatehouse client rotate-secret CLIENT; ask the token endpoint for a token with the new one"},
	"code":             {"this is an authorization code, not a token", "the step that exchanges the code at the token endpoint is missing", "send it to /token as code, once, within a minute, and use the access_token that comes back"},
	"device_code":      {"this is a device code, not a token", "the device uses its code without waiting for the person", "send it to /token as device_code until the person has allowed it, and use the access_token that comes back"},
	"setup_link":       {"this is the secret of a set-up link: whoever has it can become the administrator", "the address for the first administrator was pasted", "run gatehouse setup-link: a new one ends this one"},
	"cookie":           {"this is the value of a browser's cookie, not a token", "a cookie was copied instead of a token", "sign out in that browser, for it was pasted; use an access token"},

	// Whose it is.
	"algorithm_none":   {"the token says that it needs no signature (alg none)", "it was made by hand, or by somebody who tries whether we notice", "never accept such a token; get one from the token endpoint"},
	"algorithm_hmac":   {"the token is signed with a shared secret (HS…)", "it was made by the application or another provider; gatehouse never signs so", "get the token from this gatehouse, and let the API accept asymmetric algorithms only"},
	"algorithm":        {"the token's algorithm is none that gatehouse signs with", "it was made by another provider, or its header was changed", "get the token from this gatehouse"},
	"algorithm_of_key": {"the token names another algorithm than its key's", "its header was changed", "get a fresh token; if this one came from outside, somebody is trying"},
	"kid_missing":      {"the token names no key (kid)", "it was made by another provider or by hand", "get the token from this gatehouse"},
	"kid_unknown":      {"no key of this gatehouse has the token's kid", "the database was made anew since, or the token comes from another installation with the same name (staging, a colleague's machine)", "sign in again; see that program and API use the same gatehouse: gatehouse keys list"},
	"key_retired":      {"the key that signed the token was retired", "an administrator retired it (gatehouse keys retire), as after a leak", "get a new token; cached ones of this key are over on purpose"},
	"key_gone":         {"the key that signed the token is gone by the timetable", "the token is older than any that is still good", "get a new token"},
	"signature":        {"the signature does not fit: the token was changed after it was signed", "a character was changed on the way, it was re-encoded, or somebody edited its claims", "copy it again from where it was issued"},
	"other_issuer":     {"another provider issued this token", "program and API are configured with different providers or environments", "set both to the same issuer, byte for byte"},
	"issuer":           {"the token carries another issuer than this gatehouse has now", "GATEHOUSE_ISSUER was changed since, or a node runs with another one", "set GATEHOUSE_ISSUER alike on every node, and get a new token"},
	"audience":         {"the token is not for this audience", "the API expects a name that the client did not ask for", "ask with resource=…, or set the client's audience: gatehouse client update ID --audience …"},

	// Time.
	"expired":     {"the token expired", "it was kept longer than it lives, or the clock of whoever checks it is ahead", "use the refresh token when 401 comes or shortly before the end; compare the clocks"},
	"no_expiry":   {"the token has no exp", "it was not made by the token endpoint", "get a token from the token endpoint"},
	"not_before":  {"the token is not good yet (nbf)", "the clock of whoever issued it is ahead of this one", "set both clocks by NTP"},
	"issued_late": {"the token was issued in the future (iat)", "the clocks of two machines differ by this much", "set both clocks by NTP"},

	// What it hangs from.
	"token_revoked":    {"this one token was revoked", "the client revoked it at /revoke, as programs do at sign-out", "get a new token; do not keep one after sign-out"},
	"grant_revoked":    {"what the person had granted was revoked, with every token of it", "the client or the person took it back, or a spent code came again", "let the person sign in again"},
	"grant_unknown":    {"what the token hangs from is not in this database", "the database was made anew or restored from before, or the grant is long over", "let the person sign in again"},
	"session_ended":    {"the person signed out, and the token ended with the session", "without offline_access tokens live as long as the session", "let the person sign in again; ask for offline_access where the program works on alone"},
	"session_expired":  {"the session that the token hangs from is over", "nobody used it for the idle time, or its longest time is over", "let the person sign in again; ask for offline_access where the program works on alone"},
	"client_disabled":  {"the client that the token was given to is disabled", "an administrator disabled it, or it left gatehouse.yaml", "gatehouse client show ID; enable it, and get a new token"},
	"client_deleted":   {"the client that the token was given to is deleted", "an administrator deleted it: all its tokens ended", "register a client anew, and get a new token"},
	"client_unknown":   {"the client that the token was given to is not in this database", "the database was made anew, or is another installation's", "see that program and API use the same gatehouse: gatehouse client list"},
	"user_disabled":    {"the account of the token's subject is disabled", "an administrator disabled it", "gatehouse user enable NAME, and let the person sign in again"},
	"user_deleted":     {"the account of the token's subject is deleted", "an administrator or the person deleted it", "nothing brings it back; a new account has another sub"},
	"user_unknown":     {"the account of the token's subject is not in this database", "the database was made anew, or is another installation's", "see that program and API use the same gatehouse: gatehouse user list"},
	"user_invalidated": {"everything issued to this account before was ended", "the password was changed, or an administrator ran user invalidate-tokens or user disable", "let the person sign in again"},

	// Opaque access tokens.
	"opaque_damaged": {"the token's checksum is wrong: it was changed", "a character was lost, changed or changed its case on the way", "copy it again from where it was issued"},
	"opaque_unknown": {"no such access token is in this database", "it is another installation's, or expired and was cleared away a minute after", "get a new token; see that program and API use the same gatehouse"},

	// Refresh tokens.
	"refresh_foreign":  {"this refresh token was not made with this gatehouse's master key, or was changed", "the master key was replaced, nodes have different ones, it is another installation's, or a character was changed", "give every node the same GATEHOUSE_MASTER_KEY (the old one listed after the new); else let the person sign in again"},
	"refresh_unknown":  {"no family of refresh tokens in this database has this one", "the database was made anew or restored from before, or the account, client or grant is gone", "let the person sign in again"},
	"refresh_rotated":  {"this refresh token was replaced by a newer one, and the grace is over", "the program did not keep the refresh_token of the last response, or two processes refresh with the same one", "keep the newest refresh_token at each refresh; do not send this one again: that ends the whole family"},
	"refresh_reused":   {"a replaced refresh token was presented, so its whole family was ended", "two processes refreshed with the same token, the newest was not kept, or somebody stole one", "let the person sign in again; let one process refresh, under a lock, and keep each new refresh_token before using it"},
	"refresh_idle":     {"the refresh token was not used for its idle lifetime", "the program slept longer than the client's refresh_token_idle_lifetime", "let the person sign in again; lengthen the idle lifetime where that is too short"},
	"refresh_expired":  {"the refresh token's family reached its longest life", "refresh_token_lifetime is over, however often it was used", "let the person sign in again"},
	"refresh_mismatch": {"this refresh token is of the right family, and not one that the family had", "nodes derive with different master keys, or the database was restored from before the last refresh", "give every node the same GATEHOUSE_MASTER_KEY in the same order; let the person sign in again"},
}

// notes are the findings that go with a token that is accepted.
var notes = map[string]words{
	"key_next":      {"the key that signed the token does not sign yet by this clock", "the clock of a node is ahead, or keys.publish_lead was changed", "set the clocks of all nodes by NTP"},
	"bound":         {"the token is bound to a key of its holder (cnf)", "it was asked for with proof of possession (DPoP or mutual TLS)", "send the proof with it: alone, as Bearer, an API that checks the binding refuses it"},
	"refresh_grace": {"this refresh token was just replaced, and is still answered within the grace", "a response was lost, or two requests crossed", "use the newest refresh_token; after the grace this one ends the whole family"},
	"good":          {"the token is acceptable here and now", "nothing is wrong with it", "where an API refuses it all the same, compare the issuer and audience that the API expects: --audience"},
}
