// What the peer takes that is signed with the client's key, beyond what oidc-provider takes by itself: an assertion in
// place of a grant (RFC 7523 §2.1) and a JWT in place of the client's secret. Verified by `jose`.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

// Access token → for whom its assertion was.
export const subjectOf = new Map();

export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

// A key as consoles give it out, in each of its forms, and what is registered of it.
export function clientKey(kind) {
  const rsa = kind === 'rsa';
  const pair = rsa
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = (type) => pair.privateKey.export({ type, format: 'pem' });
  const kid = `${kind}-1`;
  return {
    public: { ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' },
    told: {
      pkcs8: pem('pkcs8'),
      traditional: pem(rsa ? 'pkcs1' : 'sec1'),
      jwk: JSON.stringify({ ...pair.privateKey.export({ format: 'jwk' }), kid }),
    },
  };
}

export const keysOfClient = (key) => createPublicKey({ key: key.public, format: 'jwk' });

// One audience, and a life of minutes: what strict servers want.
async function verified(jwt, key, expected) {
  const { payload, protectedHeader } = await jwtVerify(jwt, key, { ...expected, requiredClaims: ['iss', 'aud', 'exp', 'iat', 'jti'] });
  if (typeof payload.aud !== 'string') throw new Error('more than one audience');
  if (payload.exp - payload.iat > 300) throw new Error('it lives too long');
  if (!protectedHeader.kid) throw new Error('no kid');
  return payload;
}

export function takeJwtBearer(provider, key, issuer) {
  const seen = new Set();
  provider.registerGrantType(JWT_BEARER, async (ctx) => {
    const { client, params } = ctx.oidc;
    let claims;
    try {
      claims = await verified(params.assertion, key, { audience: issuer, issuer: client.clientId });
      if (seen.has(claims.jti)) throw new Error('seen before');
      seen.add(claims.jti);
    } catch (error) {
      throw new errors.InvalidGrant(`assertion: ${error.message}`);
    }
    if (claims.sub === 'nobody@example.com') throw new errors.CustomOIDCProviderError('invalid_grant', 'consent_required');
    const scope = claims.scope ?? params.scope;
    const token = new provider.ClientCredentials({ client, scope });
    const access_token = await token.save();
    subjectOf.set(access_token, claims.sub);
    ctx.body = { access_token, expires_in: token.expiration, token_type: 'Bearer', scope };
  }, ['assertion', 'scope']);
}

export function takeSignedSecret(provider, key, subject, audience) {
  provider.Client.prototype.compareClientSecret = async (secret) => {
    try {
      await verified(secret, key, { issuer: 'TEAM123456', subject, audience });
      return true;
    } catch {
      return false;
    }
  };
}
