// A relying party made of openid-client, driven line by line: it reads its
// settings and the callback's address from standard input, and writes what it
// has done as one JSON object a line. Somebody else plays the browser.
import { createInterface } from 'node:readline/promises'
import * as oidc from 'openid-client'

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await input.next()).value
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

const settings = JSON.parse(await read())
const methods = {
  client_secret_basic: () => oidc.ClientSecretBasic(settings.client_secret),
  client_secret_post: () => oidc.ClientSecretPost(settings.client_secret),
  none: () => oidc.None(),
}
const config = await oidc.discovery(
  new URL(settings.issuer),
  settings.client_id,
  undefined,
  methods[settings.auth_method](),
  { execute: [oidc.allowInsecureRequests] }, // the issuer is on loopback
)

const verifier = oidc.randomPKCECodeVerifier()
const state = oidc.randomState()
const nonce = oidc.randomNonce()
say({
  authorize: oidc.buildAuthorizationUrl(config, {
    redirect_uri: settings.redirect_uri,
    scope: 'openid profile email',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
  }).href,
})

// Checks state and iss, then signature, issuer, audience, times, nonce and at_hash of the ID token.
const tokens = await oidc.authorizationCodeGrant(config, new URL(await read()), {
  pkceCodeVerifier: verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
})
const { sub } = tokens.claims()
say({ id_token_sub: sub })
say({ userinfo_email: (await oidc.fetchUserInfo(config, tokens.access_token, sub)).email })

const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token)
say({ refreshed_sub: (await oidc.fetchUserInfo(config, renewed.access_token, sub)).sub })

say({
  end_session: oidc.buildEndSessionUrl(config, {
    id_token_hint: tokens.id_token,
    post_logout_redirect_uri: settings.post_logout_redirect_uri,
  }).href,
})
await read() // until the browser has been there
process.exit(0)
