// A certified OpenID provider of somebody else's make (npm `oidc-provider`), for Evergrant to be tried against.
//
// It listens on a free loopback port, prints one line of JSON (issuer, client_id, client_secret, …) and ends when its
// standard input closes. One confidential client, PKCE required, a new refresh token at every use, and the grant dies
// when a used one comes again. A person signs in by typing an account id; consent is given without asking again.
//
//   node server.mjs [--access-ttl 60] [--refresh-ttl 3600] [--redirect-uri URL]… [--client-auth client_secret_basic]
//                   [--par-required] [--registration] [--client-key rsa|ec] [--grant client_credentials]…
//
// With --client-key the client has a key, told as PEM and JWK, and authenticates by it: private_key_jwt, or
// --client-auth signed_secret for a JWT in place of the secret. --grant adds a grant type: client_credentials, or
// jwt_bearer (then without client authentication, unless --client-auth says one).
//
// With --par-required it takes nothing but pushed requests (RFC 9126); with --registration clients register themselves (RFC 7591).
// Lifetimes are whole seconds. Without --redirect-uri any http address on loopback is accepted. `POST /control/revoke`
// (account=…) ends that account's grants, as a person does in the settings; `GET /control/calls` counts what came.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import Provider from 'oidc-provider';
import { clientKey, JWT_BEARER, keysOfClient, subjectOf, takeJwtBearer, takeSignedSecret } from './signed.mjs';

const { values: args } = parseArgs({
  options: {
    'access-ttl': { type: 'string', default: '60' },
    'refresh-ttl': { type: 'string', default: '3600' },
    'redirect-uri': { type: 'string', multiple: true, default: [] },
    'client-auth': { type: 'string' },
    'client-key': { type: 'string' },
    grant: { type: 'string', multiple: true, default: [] },
    'par-required': { type: 'boolean', default: false },
    registration: { type: 'boolean', default: false },
  },
});

const server = createServer();
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = args['client-key'] ? clientKey(args['client-key']) : undefined;
const bearer = args.grant.includes('jwt_bearer');
const clientAuth = args['client-auth'] ?? (bearer ? 'none' : key ? 'private_key_jwt' : 'client_secret_basic');
const client = {
  client_id: 'evergrant',
  client_secret: randomBytes(32).toString('base64url'),
  grant_types: [
    'authorization_code',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
    ...args.grant.map((name) => (name === 'jwt_bearer' ? JWT_BEARER : name)),
  ],
  response_types: ['code'],
  redirect_uris: args['redirect-uri'].length ? args['redirect-uri'] : ['http://127.0.0.1/callback'],
  token_endpoint_auth_method: clientAuth === 'signed_secret' ? 'client_secret_post' : clientAuth,
  ...(key && { jwks: { keys: [key.public] } }),
};

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  clients: [client],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `Person ${id}`, email: `${id}@example.com` }),
  }),
  scopes: ['openid', 'offline_access', 'jobs:run', 'jobs:read'],
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: args['par-required'] },
    registration: { enabled: args.registration },
    revocation: { enabled: true },
  },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: async () => true,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: Number(args['access-ttl']),
    AuthorizationCode: 60,
    ClientCredentials: Number(args['access-ttl']),
    Grant: 14 * 24 * 3600,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: Number(args['refresh-ttl']),
    Session: 14 * 24 * 3600,
  },
});

if (bearer) takeJwtBearer(provider, keysOfClient(key), issuer);
if (clientAuth === 'signed_secret') takeSignedSecret(provider, keysOfClient(key), client.client_id, issuer);

// A test does not know its own port before this server must know it.
if (!args['redirect-uri'].length) {
  provider.Client.prototype.redirectUriAllowed = (value) => {
    const url = URL.parse ? URL.parse(value) : new URL(value);
    return url?.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  };
}

const grantsOf = new Map(); // account → ids of its grants
const calls = { success: 0, refused: 0 };
provider.on('grant.success', () => { calls.success += 1; });
provider.on('grant.error', () => { calls.refused += 1; });

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (uid, hint) => `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Sign in</title>
<style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui;max-width:24rem;margin:4rem auto;padding:0 1rem}</style>
<h1>Sign in</h1><p>A certified OpenID provider, run for this test.</p>
<form method="post" action="/interaction/${escape(uid)}/login">
<p><label>Account id <input name="login" value="${escape(hint)}" required autofocus></label></p>
<p><button>Sign in and allow</button></p></form></html>`;

async function form(req) {
  let body = '';
  for await (const piece of req) body += piece;
  return new URLSearchParams(body);
}

async function consent(req, res, { params, session, grantId: known, prompt }) {
  const accountId = session.accountId;
  const grant = (known && await provider.Grant.find(known)) || new provider.Grant({ accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  const grantId = await grant.save();
  grantsOf.set(accountId, (grantsOf.get(accountId) ?? new Set()).add(grantId));
  await provider.interactionFinished(req, res, { consent: { grantId } }, { mergeWithLastSubmission: true });
}

async function revoke(account) {
  const ids = [...(grantsOf.get(account) ?? [])];
  for (const id of ids) {
    await provider.AccessToken.revokeByGrantId(id);
    await provider.RefreshToken.revokeByGrantId(id);
    await (await provider.Grant.find(id))?.destroy();
  }
  grantsOf.delete(account);
  return ids.length;
}

async function own(req, res, path) {
  const answer = (status, type, body) => res.writeHead(status, { 'content-type': type }).end(body);
  const json = (value) => answer(200, 'application/json', JSON.stringify(value));
  if (path === '/control/calls') return json(calls);
  if (path === '/control/issued') {
    const text = (await form(req)).get('token');
    const token = await provider.ClientCredentials.find(text);
    return json(token ? { client_id: token.clientId, scope: token.scope, sub: subjectOf.get(text) } : {});
  }
  if (path === '/control/revoke') return json({ revoked: await revoke((await form(req)).get('account')) });
  const details = await provider.interactionDetails(req, res);
  if (req.method === 'POST') {
    const login = (await form(req)).get('login');
    return provider.interactionFinished(req, res, { login: { accountId: login } }, { mergeWithLastSubmission: false });
  }
  if (details.prompt.name === 'consent') return consent(req, res, details);
  return answer(200, 'text/html; charset=utf-8', page(details.uid, details.params.login_hint ?? ''));
}

const handle = provider.callback();
server.on('request', (req, res) => {
  const path = req.url.split('?')[0];
  if (!path.startsWith('/interaction/') && !path.startsWith('/control/')) return handle(req, res);
  own(req, res, path).catch((error) => res.writeHead(400, { 'content-type': 'text/plain' }).end(`${error}`));
});

process.stdin.resume();
process.stdin.on('close', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));

console.log(JSON.stringify({
  issuer,
  client_id: client.client_id,
  client_secret: client.client_secret,
  client_auth: clientAuth,
  client_keys: key?.told,
  authorize_url: `${issuer}/auth`,
  token_url: `${issuer}/token`,
  revoke_url: `${issuer}/token/revocation`,
  introspect_url: `${issuer}/token/introspection`,
  userinfo_url: `${issuer}/me`,
  control_url: `${issuer}/control`,
  access_ttl: Number(args['access-ttl']),
  refresh_ttl: Number(args['refresh-ttl']),
}));
// Nobody reads on after that line, and what the library remarks later must not end the process.
console.log = console.info = console.warn = () => {};
