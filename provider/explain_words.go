package provider

const (
	notHere       = "nothing is to be changed at gatehouse"
	registerIfOwn = "correct the address in the application; if it is the application's own and new, {register}"
)

// reasons are what an explanation says beside its evidence: what is wrong, why
// that usually is, and what to do. {client}, {code}, {kind} and {register} stand
// for the client's id, the code, the parameter and the command to run.
var reasons = map[string]words{
	// Any parameter.
	"parameter_missing":   {"the application left out {kind}", "a setting that is empty, or a variable that is not filled in, when the application makes the address", "set it in the application; gatehouse client show {client} has what is registered"},
	"parameter_malformed": {"the request cannot be read", "an address that was cut off, encoded twice, or had a parameter added to one that was there", "let a library make the authorization request, and send each parameter once"},
	"request":             {"the request is an object or has another form than it may have", "a client library that signs its requests (JAR), which is not asked for here", "let the library send the parameters themselves"},
	"request_uri":         {"the application sent request_uri", "a client library that parks its requests elsewhere, which is not asked for here", "let the library send the parameters themselves"},
	"registration":        {"the application sent registration", "a client library that is not registered beforehand", "register it: gatehouse client create"},
	"method":              {"the address was called by a method that it does not take", "a link checker or a preview that sends HEAD", notHere},

	// The client.
	"client_not_there":     {"no client has this id", "a misspelt client_id, an application that is set up for another gatehouse, or a client that was deleted", "compare with: gatehouse client list; if it is new, gatehouse client create --id {client} --redirect-uri …"},
	"client_undeclared":    {"the client left the configuration file, and is disabled since", "a file that was changed or another file in use than before", "write the client into gatehouse.yaml again, and send serve a SIGHUP"},
	"client_switched_off":  {"the client is disabled", "an administrator switched it off", "gatehouse client show {client}; if it is to be used again, create it anew"},
	"client_came_later":    {"the client was created after this request", "a sign-in that was tried before the client was set up", "try again"},
	"client_enabled_again": {"the client was disabled then, and is enabled now", "the configuration file was changed in between", "try again"},

	// Redirect URIs. They match byte for byte.
	"redirect_registered_since": {"the redirect URI was not registered then, and is now", "somebody has registered it since", "try again"},
	"redirect_none_registered":  {"the client has no such URI registered", "a client that was made for another grant type, or without its addresses", "{register}"},
	"redirect_scheme_lost":      {"the application says http where https is registered", "it runs behind a proxy that ends TLS, and takes its own address from the inner request: the scheme was lost on the way", "let the proxy send X-Forwarded-Proto and the application believe it, or set the application's public address to https; " + notHere},
	"redirect_scheme":           {"the scheme is another than the registered one", "an application that moved from http to https, or an application of a telephone that uses another scheme", registerIfOwn},
	"redirect_loopback":         {"localhost and the numbers of the loopback address are not the same", "the application was opened under another name of this machine than the registered one", "open the application under the registered name; or {register}"},
	"redirect_host_case":        {"the host is written in other letters, and URIs match byte for byte", "a setting of the application in capitals", "write the host in the application as it is registered, in lower case"},
	"redirect_www":              {"the address is with www, the registered one without, or the reverse", "the application answers under both names", "send people to one name only; or {register}"},
	"redirect_host":             {"no URI of this host is registered for the client", "another environment of the application (staging, a preview), a client_id of another application, or somebody who tries to get codes sent elsewhere", "only if that host is the application's own: {register}"},
	"redirect_port":             {"the port is another than the registered one", "the application runs on another port than it did, or its inner port came through a proxy", registerIfOwn},
	"redirect_default_port":     {"the default port is written out on one side, and URIs match byte for byte", "a library that adds :443 or :80", "leave the port out in the application; or {register}"},
	"redirect_user_information": {"the address has a name or password before the host", "an address of a test environment with its password", "take it out: no such address can be registered"},
	"redirect_slash":            {"a slash at the end is there on one side only, and URIs match byte for byte", "a setting with or without the slash, or a framework that adds it", registerIfOwn},
	"redirect_path_case":        {"the path is written in other letters, and URIs match byte for byte", "a setting of the application in capitals", "write the path in the application as it is registered"},
	"redirect_path_encoding":    {"the path is percent-encoded differently, and URIs match byte for byte", "a library that encodes letters which need none", "send the address as it is registered"},
	"redirect_path":             {"the path is another than the registered one", "another route of the application, a base path that a proxy adds or takes away, or a language in front", registerIfOwn},
	"redirect_query_added":      {"the address has a query that is not registered, and URIs match byte for byte", "an application that keeps the page to return to in its redirect URI", "let the application keep that in state, and send the address without its query"},
	"redirect_query":            {"the query of the address is another than the registered one, and URIs match byte for byte", "a value that varies from one sign-in to the next", "let the application keep that in state, and register the address without its query"},
	"redirect_fragment":         {"the address has a fragment", "an application in one page that puts its route behind #", "register and send an address without #: no other can be (RFC 6749 §3.1.2)"},
	"redirect_space":            {"there is white space in the address", "a setting that was copied with a space or a line break, or two addresses in one setting", "take it out in the application"},
	"redirect_encoded_twice":    {"the address is percent-encoded twice", "the application encodes what its library encodes again", "give the library the plain address"},
	"redirect_malformed":        {"the address is no whole URI", "a setting that lacks https:// or the host, or a variable that is not filled in", "set the whole address in the application, as gatehouse client show {client} has it"},

	// What is asked for.
	"response_type":           {"the application asks for another response_type than code", "a library set to the implicit or hybrid flow, which puts tokens into addresses", "set response_type=code in the application, with PKCE"},
	"grant_types":             {"the client did not register the authorization code grant", "a client that was made for a service or a device", "{register}"},
	"response_mode":           {"the application asks for a response_mode that is not there", "a library set to fragment, which belongs to the implicit flow", "leave response_mode out, or set query or form_post"},
	"code_challenge":          {"the request has no good PKCE challenge", "a library that is too old, or has PKCE switched off", "switch PKCE with S256 on in the application; for a confidential client that cannot: gatehouse client update {client} --set nonce_instead_of_pkce=true"},
	"code_challenge_method":   {"the PKCE method is not S256", "a library set to plain, or one that leaves the method out, which means plain", "set code_challenge_method=S256 in the application"},
	"scope":                   {"the application asks for a scope that the client did not register", "a scope that was added to the application and not here, or a name that another provider uses", "take it out of the application; or {register}"},
	"scope_missing":           {"the application asks for no scope", "a setting that is empty", "ask for openid, and what else the application needs"},
	"scope_malformed":         {"the scope has a character that no scope may have", "a list with quotation marks or other separators than spaces", "separate scopes by one space"},
	"resource":                {"the resource is not in the audience that the client registered", "an API that was added to the application and not here", "name a registered one; or {register}"},
	"prompt":                  {"prompt=none goes with no other value", "an application that always adds prompt=consent or login", "send prompt=none alone"},
	"max_age":                 {"max_age is no number of seconds", "a duration with a unit, or a negative one", "send whole seconds"},
	"id_token_hint":           {"id_token_hint is no ID token of this gatehouse for this client", "an access token in its place, a token of another environment, or the client_id of another application beside it", "send the id_token that this client got last; gatehouse token inspect says what is wrong with one"},
	"claims":                  {"the claims parameter cannot be met", "a malformed JSON object, or a demand (acr, sub) that no sign-in here fulfils", "send a JSON object with userinfo and id_token, and no essential acr that is not in discovery"},
	"login_required":          {"the application asked without a page (prompt=none), or for somebody else, and nobody was signed in so", "a session that is over, a browser that keeps our cookies from a frame of another site, or a sign-in that is older than max_age", "let the application begin again without prompt=none; " + notHere},
	"consent_required":        {"the application asked without a page (prompt=none), and the person has not allowed all of it yet", "a scope that was added since the last sign-in", "let the application begin again without prompt=none; for our own applications: gatehouse client update {client} --skip-consent"},
	"access_denied":           {"the person declined, or their account, session or client ended meanwhile", "a person who chose so", notHere},
	"server_error":            {"something broke on our side", "what the log says", "see the lines of the log with request_id {code}"},
	unavailable:               {"the database did not answer", "a database that was restarting, overloaded or away", "run: gatehouse doctor; see the lines of the log with request_id {code}"},
	"temporarily_unavailable": {"the database did not answer", "a database that was restarting, overloaded or away", "run: gatehouse doctor; see the lines of the log with request_id {code}"},
	"internal":                {"something broke on our side", "what the log says", "see the lines of the log with request_id {code}, and report them"},

	// Parked requests.
	requestUnknown:  {"there is no such sign-in under way", "a page that was kept open or bookmarked, a link that was cut off, or a database that was made anew", "begin again at the application; it must link to its own address, not to this sign-in page"},
	requestExpired:  {"the person took longer than a sign-in waits", "a page that was left open", "begin again at the application; " + notHere},
	requestSpent:    {"the sign-in was finished before", "a second click, the back button, or a second tab", "go on in the application; " + notHere},
	"other_browser": {"the sign-in was begun in another browser", "a link that was sent on or opened from a mail, an application that opens two browsers, or somebody who wants another to sign in for them", "begin again at the application, in one browser"},
	"cookies_lost":  {"the browser sent no cookie of ours", "cookies that are blocked or were deleted, a private window, or an issuer that is opened under another host or scheme than its own", "allow cookies for the issuer, and open it under its own name only: gatehouse doctor"},

	// The door.
	"misdirected": {"a request came for another host name", "a proxy that rewrites Host, a second DNS name, or an address by its number", "pass Host on unchanged, and use the issuer exactly as configured: gatehouse doctor"},
	"cross_site":  {"a form came from the page of another site", "a proxy that changes Origin or Host, a form that is framed elsewhere, or an attack", "open the issuer under its own name; let the proxy pass Host and Origin on unchanged"},
	"insecure":    {"a form came by plain http", "a proxy that takes http, or an old link", "let the proxy redirect http to https"},
	"too_large":   {"the request is larger than 64 KiB", "an upload, or an application that posts a whole state", "send less"},
	"bad_request": {"the body of the request ended too early", "a connection that broke", "try again"},
	"slow_down":   {"the network did too much in too short a time", "many people behind one address, a program that tries without end; or a proxy that is not in trusted_proxies, behind which everybody has one address", "name the proxy in GATEHOUSE_TRUSTED_PROXIES, or raise the limit: gatehouse config reference"},

	// Sign-in at an upstream: how it answers.
	"upstream.unreachable":            {"the upstream does not answer", "a provider that is down, or a network in between", "try the address from this machine; gatehouse doctor looks again"},
	"upstream.unreachable.name":       {"the host name of the upstream is unknown here", "a misspelt issuer, or no DNS for it on this machine", "correct issuer of the upstream, or make the name resolve here"},
	"upstream.unreachable.address":    {"the upstream has a private address, which is not fetched from unasked", "a provider in the same network", "list its network in GATEHOUSE_OUTBOUND_ALLOW"},
	"upstream.unreachable.scheme":     {"the upstream has an address without https", "http:// in issuer, or in its discovery document", "use https"},
	"upstream.unreachable.connect":    {"nobody answers at the address of the upstream", "a provider that is stopped, another port, or a firewall", "correct issuer of the upstream, or let this machine through to it"},
	"upstream.unreachable.tls":        {"the certificate of the upstream is not accepted", "a private authority, another name in it, or one that has expired", "name the authority's certificate in GATEHOUSE_OUTBOUND_CA_FILE; one that has expired must be renewed there"},
	"upstream.unreachable.time":       {"the upstream does not answer in time", "a firewall that swallows packets, or a provider under load", "let this machine through to it"},
	"upstream.unreachable.redirect":   {"the upstream sends us elsewhere, which is not followed", "an issuer with another name, scheme or slash than the provider's own", "use the issuer exactly as its discovery document has it"},
	"upstream.unreachable.size":       {"the answer of the upstream is longer than is read", "another program at this address", "correct issuer of the upstream"},
	"upstream.unreachable.status":     {"the upstream has no document at this address", "an issuer with a path too much or too little, or another program there", "correct issuer of the upstream: its discovery document is at issuer + /.well-known/openid-configuration"},
	"upstream.discovery":              {"the discovery document of the upstream is not usable", "another program at this address, or an endpoint without https", "correct issuer of the upstream"},
	"upstream.discovery_issuer":       {"the upstream calls itself by another issuer", "a slash, scheme, tenant or name that differs from the provider's own", "write issuer as the upstream has it, byte for byte"},
	"upstream.keys":                   {"the keys of the upstream cannot be read", "a provider that is half up, or a proxy in between", "open its jwks_uri from this machine"},
	"upstream.no_keys":                {"the upstream publishes no key that can verify", "a provider that signs with the client secret (HS256), or with keys that are too short", "let the upstream sign with RS256 or ES256"},
	"upstream.invalid_client":         {"the upstream refuses our client id or secret", "a secret that was renewed there, cut off when it was copied, or of another client", "copy id and secret from the upstream anew, into client_secret_file, and send serve a SIGHUP"},
	"upstream.auth_method":            {"the upstream wants the secret presented in another way", "token_endpoint_auth_method differs from what is registered there", "set token_endpoint_auth_method of the upstream to what is expected"},
	"upstream.unknown_client":         {"the upstream does not know our client id", "a misspelt id, or one of another project or tenant", "copy client_id from the upstream anew"},
	"upstream.redirect_uri":           {"our address to come back to is not registered at the upstream", "another scheme, host, port or slash there, or an issuer that changed here", "paste exactly this address into the upstream's list of redirect URIs: {sent}"},
	"upstream.token_endpoint":         {"the token endpoint of the upstream does not answer as one", "a proxy or another program at its address", "open the address from this machine"},
	"upstream.authorization_endpoint": {"the authorization endpoint of the upstream fails", "a provider that is half up, or a proxy in between", "open the address in a browser"},
	"upstream.clock":                  {"the clocks of the upstream and of this machine differ", "a machine without a time server, most often this one", "let this machine follow a time server"},

	// What comes back from an upstream.
	"upstream.declined":         {"the person declined at the upstream", "a person who chose so", notHere},
	"upstream.answer_error":     {"the upstream sent an error instead of a code", "a client that is not set up there for what is asked, or a person it may not let in", "see the error and its description, and the settings of the client there"},
	"upstream.answer_issuer":    {"the answer came from another issuer than the one that was asked", "two providers that were mixed up, or an attack (RFC 9207)", "compare issuer of the upstream with its discovery document"},
	"upstream.no_code":          {"the upstream sent neither a code nor an error", "an address that was opened by hand, or a provider that answers in another response_mode", "begin again at the application"},
	"upstream.callback":         {"the answer came to the callback of another upstream", "one redirect URI that is registered for two providers, or an attack (RFC 9700 §4.4)", "give each upstream the redirect URI of its own"},
	"upstream.exchange":         {"the upstream refuses the code", "a code that was used or waited too long, a redirect URI that differs, or a client that may not have it", "see its error; gatehouse doctor tries client and redirect URI"},
	"upstream.no_id_token":      {"the upstream gave no ID token", "a plain OAuth provider, or a client there without openid", "let the client there have the scope openid"},
	"upstream.id_token":         {"the ID token cannot be read", "a provider that encrypts it, or makes its claims otherwise", "let the upstream sign ID tokens, and encrypt none"},
	"upstream.algorithm":        {"the ID token is signed in a way that is not accepted", "a client there that is set to HS256 or none", "let the upstream sign with RS256 or ES256"},
	"upstream.kid":              {"the ID token names a key that the upstream does not publish", "keys that were just rotated, several environments behind one name, or a forged token", "try again in a minute; compare with its jwks_uri"},
	"upstream.signature":        {"the signature of the ID token does not fit", "several environments behind one name, or a forged token", "compare issuer and jwks_uri of the upstream"},
	"upstream.issuer":           {"the ID token names another issuer", "a tenant in place of the common address, a slash, or an issuer that was renamed", "write issuer as the upstream's tokens have it, byte for byte"},
	"upstream.subject":          {"the ID token names nobody, or by too long a name", "a provider that does not keep to OpenID Connect", "ask those who run it"},
	"upstream.audience":         {"the ID token is for another client", "a client_id of another application, or tokens that were mixed up", "compare client_id with that at the upstream"},
	"upstream.azp":              {"the ID token was made for another client", "a token that was passed on from another application", "compare client_id with that at the upstream"},
	"upstream.time":             {"the ID token does not say when it was made or ends", "a provider that does not keep to OpenID Connect", "ask those who run it"},
	"upstream.expired":          {"the ID token is over", "a clock that differs, or an answer that was held up", "let this machine follow a time server; gatehouse doctor measures the difference"},
	"upstream.nonce":            {"the ID token is not of this sign-in (nonce)", "an answer that was stored and sent again, or a provider that leaves nonce out", "begin again; where it is always so, the provider must return nonce"},
	"upstream.at_hash":          {"the ID token belongs to another access token", "tokens that were mixed up on the way", "begin again; where it is always so, ask those who run the provider"},
	"upstream.userinfo":         {"the userinfo endpoint of the upstream does not answer as one", "an access token without the scopes, or a provider that is half up", "let the client there have the scopes profile and email"},
	"upstream.userinfo_subject": {"the userinfo endpoint speaks of somebody else than the ID token", "two user stores behind one name, or an attack (OpenID Connect Core §5.3.2)", "ask those who run the provider"},

	// Who may not come in from an upstream.
	"upstream.hosted_domain": {"the account is of another Google Workspace than may sign in", "a private account, chosen by habit", "choose the account of the right organization; hosted_domain of the upstream says which"},
	"upstream.email_domain":  {"the address is of a domain that may not sign in, or the upstream does not vouch for it", "a private account, or a domain that is not in the list", "add the domain to GATEHOUSE_EMAIL_DOMAINS or to email_domains of the upstream, or let the person choose another account"},
	"upstream.closed":        {"the person has no account here, and none is made by itself", "registration is not open", "make the account: gatehouse user create; or set GATEHOUSE_REGISTRATION=open"},
	"upstream.disabled":      {"the account of the person is disabled", "an administrator disabled it", "gatehouse user list; gatehouse user enable NAME"},
	"upstream.taken":         {"there is an account with this address already, and it is not taken over", "somebody who signed up with a password before", "let the person sign in to that account first, and link the two on the page that asks"},
	"upstream.linked":        {"this account of the upstream is linked to another account here", "two accounts of one person", "let the person sign in with the other account, and unlink it there"},
	"upstream.other_user":    {"somebody else was signed in when the link was to be made", "two people at one browser, or a session that ended meanwhile", "begin again at /account"},
	"upstream.too_old":       {"the sign-in at the upstream is older than was asked for", "an upstream that does not ask again for max_age, or does not say auth_time", "sign out at the upstream; where it is always so, the application must not ask for max_age"},
	"upstream.gone":          {"the upstream is no longer in the settings, or has another issuer", "a change of gatehouse.yaml while the person was away", "begin again; correct the upstream in gatehouse.yaml"},

	// The way back from an upstream.
	"upstream.state_unknown": {"the browser came back with a state that is none of ours", "an address that was bookmarked or cut off, or an attack", "begin again at the application"},
	"upstream.state_spent":   {"the browser came back a second time", "a second click, or the back button", "go on in the application; " + notHere},
	"upstream.state_expired": {"the person was away longer than a sign-in waits", "a page that was left open", "begin again at the application"},
	"upstream.state_browser": {"the browser that came back is another than the one that left", "a link that was sent on, cookies that were lost, or an attack", "begin again in one browser, under the issuer's own name"},

	"other": {"the request failed", "what the evidence says", "see the lines of the log with request_id {code}"},
}
