// The authorization code flow with PKCE, as a browser and its application go through it.

import { createHash, randomBytes } from 'node:crypto';

import { AUDIENCE, REDIRECT } from './provider.mjs';

const base64url = (bytes) => bytes.toString('base64url');

/** Returns the tokens of a user, the access token for this service. */
export async function login(issuer, user, resource) {
  const verifier = base64url(randomBytes(32));
  const asked = new URL(`${issuer}/auth`);
  asked.search = new URLSearchParams({
    client_id: AUDIENCE,
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'openid api',
    resource,
    login_hint: user,
    code_challenge_method: 'S256',
    code_challenge: base64url(createHash('sha256').update(verifier).digest()),
  });
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    client_id: AUDIENCE,
    redirect_uri: REDIRECT,
    code: await code(asked),
    code_verifier: verifier,
    resource,
  });
  const response = await fetch(`${issuer}/token`, { method: 'POST', body });
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(`the provider gives no tokens: ${JSON.stringify(answer)}`);
  }
  return { access: answer.access_token, id: answer.id_token };
}

/** Follows the redirects that a browser would, to the one that leads back. */
async function code(asked) {
  const cookies = new Map();
  let next = asked;
  for (let step = 0; step < 10; step += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) {
      throw new Error(`the provider answered ${response.status}: ${await response.text()}`);
    }
    next = new URL(location, next);
    if (next.href.startsWith(REDIRECT)) {
      const found = next.searchParams.get('code');
      if (found === null) {
        throw new Error(`the provider gave no code: ${next.search}`);
      }
      return found;
    }
  }
  throw new Error('the provider redirects for ever');
}

/** Returns what a JWT says in its header and in its claims. */
export function said(jwt) {
  const [header, claims] = jwt.split('.', 2);
  return [header, claims].map((part) => JSON.parse(Buffer.from(part, 'base64url')));
}
