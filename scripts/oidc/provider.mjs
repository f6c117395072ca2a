// An OIDC provider with keys of its own, on a loopback port. Whoever comes is logged in as whom the
// request hints at, so that a script can go the whole way of a browser.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(process.env.OIDC_PROVIDER).href);

/** The client's id is what `aud` must have: so its ID tokens have it, too. */
export const AUDIENCE = 'account';
export const REDIRECT = 'http://127.0.0.1/back';
/** The services that access tokens are for, and what their `aud` is. */
const RESOURCES = { 'urn:authority': AUDIENCE, 'urn:other': 'other' };

/** Makes a key that signs. */
export function signingKey(kid) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
}

function configuration(keys) {
  return {
    jwks: { keys },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600 },
    cookies: { keys: ['of-this-run-alone'] },
    clients: [
      {
        client_id: AUDIENCE,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: [REDIRECT],
      },
    ],
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    // What Keycloak says of an access token. An ID token does not.
    extraTokenClaims: () => ({ typ: 'Bearer' }),
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'api',
          audience: RESOURCES[resource],
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
        }),
      },
    },
  };
}

/** Starts one that signs with the first of these keys and publishes all. */
export async function start(keys) {
  let provider;
  const counted = { keys: 0 };
  const server = createServer((request, response) => {
    if (request.url === '/jwks') {
      counted.keys += 1;
    }
    if (request.url.startsWith('/interaction/')) {
      consent(provider, request, response).catch((error) => response.destroy(error));
    } else {
      provider.callback()(request, response);
    }
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const restart = (anew) => {
    provider = new Provider(issuer, configuration(anew));
    provider.on('server_error', (_, error) => console.error(error));
  };
  restart(keys);
  return { issuer, counted, restart, stop: () => server.close() };
}

/** Says yes to whatever the provider asks its user. */
async function consent(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const result = { login: { accountId: params.login_hint } };
    await provider.interactionFinished(request, response, result);
    return;
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid');
  for (const resource of Object.keys(RESOURCES)) {
    grant.addResourceScope(resource, 'api');
  }
  const result = { consent: { grantId: await grant.save() } };
  await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}
