// An upstream made of oidc-provider, as its authors publish it: one line of
// JSON says who has accounts and which relying party there is, and one line
// comes back once it listens. Its pages for signing in are those that it brings.
import { createInterface } from 'node:readline/promises'
import Provider from 'oidc-provider'

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const settings = JSON.parse((await input.next()).value)
const people = JSON.parse(settings.people)

const provider = new Provider(settings.issuer, {
  clients: [
    {
      client_id: settings.client_id,
      client_secret: settings.client_secret,
      redirect_uris: [settings.redirect_uri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  claims: { email: ['email', 'email_verified'], profile: ['name', 'locale', 'picture'] },
  cookies: { keys: [settings.client_secret] },
  pkce: { required: () => true },
})
provider.listen(Number(new URL(settings.issuer).port), '127.0.0.1', () => process.stdout.write('{"ready":"yes"}\n'))
await input.next()
process.exit(0)
