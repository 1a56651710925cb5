// A web application made of openid-client, on a port of its own: it says its
// address and its public keys, reads its settings, and then everything is done
// by visiting its pages.
import { createServer } from 'node:http'
import { createInterface } from 'node:readline/promises'
import * as jose from 'jose'
import * as oidc from 'openid-client'

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await input.next()).value
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')

// The application's own key, for private_key_jwt; the last of them is in use.
const keys = []
async function makeKey() {
  const { publicKey, privateKey } = await jose.generateKeyPair('ES256')
  const kid = `key-${keys.length + 1}`
  keys.push({ kid, key: privateKey, jwk: { ...(await jose.exportJWK(publicKey)), kid, use: 'sig', alg: 'ES256' } })
}
const published = () => ({ keys: keys.slice(-1).map(({ jwk }) => jwk) })
const signWith = (i) => (...request) => oidc.PrivateKeyJwt({ key: keys.at(i).key, kid: keys.at(i).kid })(...request)

await makeKey()
const server = createServer((req, res) => answer(req, res).catch((e) => reply(res, 502, `${e.status ?? ''} ${e.error ?? ''} ${e.message}`)))
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const base = `http://127.0.0.1:${server.address().port}`
say({ base })
say({ jwks: JSON.stringify(published()) })

await read() // an empty line of settings: the registration needs the address first
const settings = JSON.parse(await read())
const authentication = {
  client_secret_basic: () => oidc.ClientSecretBasic(settings.client_secret),
  private_key_jwt: () => signWith(-1),
}
const connect = (auth) =>
  oidc.discovery(new URL(settings.issuer), settings.client_id, undefined, auth, {
    execute: [oidc.allowInsecureRequests], // the issuer is on loopback
  })
const config = await connect(authentication[settings.auth_method]())
const issuerKeys = jose.createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri))

const begun = new Map() // sign-ins, by state
const visits = new Map() // tokens, by the application's cookie
const heard = new Set() // jti's of logout tokens

const pages = {
  'GET /': (req, res) => reply(res, 200, visitOf(req) ? 'Signed in' : 'Nobody is signed in'),
  'GET /signin': async (req, res) => {
    const state = oidc.randomState()
    const attempt = { nonce: oidc.randomNonce(), verifier: oidc.randomPKCECodeVerifier() }
    begun.set(state, attempt)
    redirect(res, oidc.buildAuthorizationUrl(config, {
      redirect_uri: `${base}/callback`,
      scope: 'openid profile email',
      response_mode: settings.response_mode,
      code_challenge: await oidc.calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
      state,
      nonce: attempt.nonce,
      ...Object.fromEntries(new URL(req.url, base).searchParams),
    }))
  },
  'GET /callback': (req, res) => signedIn(req, res, new URL(req.url, base)),
  'POST /callback': async (req, res) => {
    const body = await text(req)
    const response = new Request(`${base}/callback`, { method: 'POST', headers: { 'content-type': req.headers['content-type'] }, body })
    return signedIn(req, res, response, new URLSearchParams(body).get('state'))
  },
  'GET /refresh': async (req, res) => {
    const visit = visitOf(req)
    visit.tokens = await oidc.refreshTokenGrant(config, visit.tokens.refresh_token)
    reply(res, 200, `Refreshed ${(await oidc.fetchUserInfo(config, visit.tokens.access_token, visit.sub)).sub}`)
  },
  'GET /introspect': async (req, res) => {
    const { tokens } = visitOf(req)
    const of = async (token) => { const { active, sub } = await oidc.tokenIntrospection(config, token); return `${active} ${sub ?? 'of nobody'}` }
    reply(res, 200, `access token ${await of(tokens.access_token)}, refresh token ${await of(tokens.refresh_token)}`)
  },
  'GET /revoke': async (req, res) => {
    const kind = new URL(req.url, base).searchParams.get('token')
    await oidc.tokenRevocation(config, visitOf(req).tokens[kind])
    reply(res, 200, 'Revoked')
  },
  'GET /old-key': async (req, res) => {
    const { tokens } = visitOf(req)
    const before = await connect(signWith(-2))
    reply(res, 200, `Refreshed ${(await oidc.refreshTokenGrant(before, tokens.refresh_token)).token_type}`)
  },
  'GET /new-key': async (req, res) => { await makeKey(); reply(res, 200, keys.at(-1).kid) },
  'GET /jwks': (req, res) => {
    res.setHeader('Content-Type', 'application/jwk-set+json')
    res.end(JSON.stringify(published()))
  },
  'GET /signout': (req, res) => redirect(res, oidc.buildEndSessionUrl(config, {
    id_token_hint: visitOf(req).id_token,
    post_logout_redirect_uri: `${base}/bye`,
    state: 'farewell',
  })),
  'GET /bye': (req, res) => reply(res, 200, `Bye, state ${new URL(req.url, base).searchParams.get('state')}`),
  'POST /backchannel': async (req, res) => {
    try {
      await signedOut(new URLSearchParams(await text(req)).get('logout_token'))
      res.writeHead(200, { 'Cache-Control': 'no-store' }).end()
    } catch (e) {
      reply(res, 400, e.message)
    }
    say({ heard: [...heard].at(-1) ?? 'nothing that verifies' })
  },
}

async function answer(req, res) {
  const page = pages[`${req.method} ${new URL(req.url, base).pathname}`]
  return page ? page(req, res) : reply(res, 404, 'Not found')
}

// signedIn checks state, iss and the ID token, and asks userinfo.
async function signedIn(req, res, response, state = response.searchParams?.get('state')) {
  const attempt = begun.get(state)
  if (!attempt) return reply(res, 400, 'state is not ours')
  begun.delete(state)
  const tokens = await oidc.authorizationCodeGrant(config, response, {
    pkceCodeVerifier: attempt.verifier,
    expectedState: state,
    expectedNonce: attempt.nonce,
    idTokenExpected: true,
  })
  const { sub, sid } = tokens.claims()
  const { email } = await oidc.fetchUserInfo(config, tokens.access_token, sub)
  const cookie = oidc.randomState()
  visits.set(cookie, { tokens, id_token: tokens.id_token, sub, sid })
  res.setHeader('Set-Cookie', `${settings.client_id}=${cookie}; Path=/; HttpOnly; SameSite=Lax`)
  reply(res, 200, `Signed in ${sub} ${email} by ${req.method}`)
}

// signedOut verifies a logout token (OpenID Connect Back-Channel Logout 1.0,
// section 2.6) and forgets whoever it names. openid-client has nothing for it.
async function signedOut(token) {
  const { payload } = await jose.jwtVerify(token, issuerKeys, {
    issuer: settings.issuer, audience: settings.client_id, typ: 'logout+jwt', requiredClaims: ['iat', 'exp', 'jti'],
  })
  const event = payload.events?.['http://schemas.openid.net/event/backchannel-logout']
  if (typeof event !== 'object' || 'nonce' in payload || heard.has(payload.jti)) throw new Error('not a logout token')
  heard.add(payload.jti)
  for (const [cookie, visit] of visits) {
    if (payload.sid ? visit.sid === payload.sid : visit.sub === payload.sub) visits.delete(cookie)
  }
}

function visitOf(req) {
  const name = `${settings.client_id}=` // cookies know no ports, so the name tells applications apart
  return visits.get(req.headers.cookie?.split('; ').find((c) => c.startsWith(name))?.slice(name.length))
}

async function text(req) {
  let body = ''
  for await (const chunk of req) body += chunk
  return body
}

function redirect(res, to) {
  res.writeHead(303, { Location: to.href }).end()
}

function reply(res, status, line) {
  const escaped = line.replace(/[&<]/g, (c) => `&#${c.charCodeAt(0)};`)
  res.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8' })
  res.end(`<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Node</title><h1>${escaped}</h1></html>`)
}

say({ ready: base })
await read() // until the test is over
process.exit(0)
