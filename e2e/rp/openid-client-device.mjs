// A device made of openid-client: it reads its settings from standard input,
// says where its person must go, polls, and says what it was given.
import { createInterface } from 'node:readline/promises'
import * as oidc from 'openid-client'

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await input.next()).value
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

const settings = JSON.parse(await read())
const config = await oidc.discovery(
  new URL(settings.issuer),
  settings.client_id,
  undefined,
  oidc.ClientSecretBasic(settings.client_secret),
  { execute: [oidc.allowInsecureRequests] }, // the issuer is on loopback
)

const waiting = await oidc.initiateDeviceAuthorization(config, { scope: settings.scope })
say({ verification_uri_complete: waiting.verification_uri_complete })

try {
  // Waits the interval, and longer where it is told to slow down.
  const tokens = await oidc.pollDeviceAuthorizationGrant(config, waiting)
  const { sub } = tokens.claims()
  say({ id_token_sub: sub })
  const renewed = await oidc.refreshTokenGrant(config, tokens.refresh_token)
  say({ refreshed_sub: (await oidc.fetchUserInfo(config, renewed.access_token, sub)).sub })
} catch (e) {
  say({ error: e.error })
}
process.exit(0)
