// The story: a user's session makes the first token; what is no session of the product's is
// refused; the provider changes its key, and gives up the old one. Ends with 1 on any deviation.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';

import { login, said } from './login.mjs';
import { AUDIENCE, signingKey, start } from './provider.mjs';

const { TOKEN_AUTHORITY: program, WORK: work, CATALOG: catalog } = process.env;
/** How often the service asks for keys, at most. */
const PERIOD = 60_000;

const tell = (line) => console.log(`oidc: ${line}`);

/** Runs a command of the program with this token; returns what it says, or how it fails. */
async function command(address, token, ...given) {
  const env = { HOME: work, TA_ADDRESS: address, TA_TOKEN: token };
  try {
    const { stdout } = await promisify(execFile)(program, given, { env, cwd: work });
    return { ok: true, text: stdout.trim() };
  } catch (error) {
    return { ok: false, text: `${error.stderr}` };
  }
}

/** Starts the service; resolves when it serves. */
async function serve(issuer) {
  const config = join(work, 'config.toml');
  writeFileSync(
    config,
    `[server]
address = "127.0.0.1:0"
drain_seconds = 0
[ops]
address = "127.0.0.1:0"
[database]
directory = "${join(work, 'data')}"
[telemetry]
log_format = "json"
[trusts.main]
issuer = "${issuer}"
audience = "${AUDIENCE}"
jwks_url = "${issuer}/jwks"
required_claims = { typ = "Bearer" }
`,
  );
  const child = spawn(program, ['serve', '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { HOME: work },
  });
  const log = [];
  const serving = new Promise((resolve, reject) => {
    const read = (line) => {
      log.push(line);
      const event = line.startsWith('{') ? JSON.parse(line) : {};
      if (event.message === 'serving') {
        resolve(event['server.address']);
      }
    };
    createInterface(child.stdout).on('line', read);
    createInterface(child.stderr).on('line', read);
    child.on('exit', (code) => reject(new Error(`the service ended with ${code}:\n${log.join('\n')}`)));
  });
  const address = await serving;
  child.removeAllListeners('exit');
  const stop = async () => {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null], 'the service ends well');
  };
  return { address, log, stop, kill: () => child.kill('SIGKILL') };
}

/** Why the service refused sessions, by its log. */
function refusals(log) {
  const events = log.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  return events.map((event) => event['session.refusal']).filter((why) => why !== undefined);
}

async function story(provider, service, keys) {
  const { address, log } = service;
  const call = (token, ...given) => command(address, token, ...given);
  const operator = readFileSync(join(work, 'data', 'operator-token'), 'utf8').trim();
  const must = async (token, ...given) => {
    const answer = await call(token, ...given);
    assert.ok(answer.ok, `${given.join(' ')}: ${answer.text}`);
    return answer.text;
  };
  const refused = async (token, why, what) => {
    const before = refusals(log).length;
    const answer = await call(token, 'whoami');
    assert.ok(!answer.ok && answer.text.includes('not authenticated'), `${what}: ${answer.text}`);
    assert.ok(!answer.text.includes(why), `${what}: its caller is told why`);
    // The line may still be on its way here.
    for (let tries = 0; refusals(log).length === before && tries < 100; tries += 1) {
      await wait(50);
    }
    assert.deepEqual(refusals(log).slice(before), [why], what);
    tell(`refused, and the log alone says ${why}: ${what}`);
  };
  const period = async (what) => {
    tell(`waiting a minute: ${what}`);
    await wait(PERIOD + 1_000);
  };

  await must(operator, 'tenant', 'create', '--from', catalog);
  await must(operator, 'catalog', 'apply', catalog, '--yes');
  const admits = join(work, 'admits.toml');
  writeFileSync(admits, 'tenant = "sk-platform"\n\n[policy]\nadmitted_trusts = ["main"]\n');
  await must(operator, 'catalog', 'apply', admits, '--yes');
  tell(`a tenant takes the users of ${provider.issuer}`);

  const alice = await login(provider.issuer, 'alice', 'urn:authority');
  const [header, claims] = said(alice.access);
  assert.deepEqual(
    [header.alg, header.typ, header.kid, claims.typ, claims.aud, claims.sub],
    ['RS256', 'at+jwt', 'key-1', 'Bearer', AUDIENCE, 'alice'],
  );
  const [, ofId] = said(alice.id);
  assert.deepEqual([ofId.aud, ofId.sub, ofId.typ], [AUDIENCE, 'alice', undefined]);
  tell('alice logged in: an access token with typ Bearer, an ID token for the same audience');

  const name = ['--tenant', 'sk-platform', 'first', '--ttl', '1h'];
  const value = await must(alice.access, 'token', 'create', ...name);
  assert.match(value, /^sk-[0-9A-Za-z]{61}$/);
  const whose = JSON.parse(await must(value, 'whoami', '--json'));
  assert.deepEqual([whose.user.externalId, whose.user.vouchingTrust], ['alice', 'main']);
  const session = JSON.parse(await must(alice.access, 'whoami', '--json'));
  assert.equal(session.session.trust, 'installation/main');
  assert.equal(session.user.userId, whose.user.userId);
  assert.equal(provider.counted.keys, 1);
  tell('her session made her first token, sk-…, which acts as her; the keys were asked for once');

  await refused(alice.id, 'required_claim', 'an ID token of hers');
  const other = await login(provider.issuer, 'alice', 'urn:other');
  await refused(other.access, 'no_trust', 'her access token for another audience');
  const [head, body, signature] = alice.access.split('.');
  const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'key-1' })).toString('base64url');
  await refused(`${none}.${body}.`, 'algorithm', 'her claims, unsigned');
  const bob = Buffer.from(JSON.stringify({ ...claims, sub: 'bob' })).toString('base64url');
  await refused(`${head}.${bob}.${signature}`, 'signature', 'her signature below claims of bob');
  assert.equal(provider.counted.keys, 1);

  provider.restart([keys[1], keys[0]]);
  const anew = await login(provider.issuer, 'alice', 'urn:authority');
  assert.equal(said(anew.access)[0].kid, 'key-2');
  await period('the provider signs with a new key, and keys were asked for a moment ago');
  const again = JSON.parse(await must(anew.access, 'whoami', '--json'));
  assert.equal(again.user.userId, whose.user.userId);
  await must(alice.access, 'whoami');
  assert.equal(provider.counted.keys, 2);
  tell('the new key was taken up by asking once; the old one still does, as it is published');

  provider.restart([keys[2]]);
  const last = await login(provider.issuer, 'alice', 'urn:authority');
  await must(alice.access, 'whoami');
  await period('the provider gave up both keys for a third');
  await must(last.access, 'whoami');
  await refused(alice.access, 'unknown_key', 'her first session, whose key is withdrawn');
  await refused(anew.access, 'unknown_key', 'her second one, alike');
  await must(last.access, 'whoami');
  assert.equal(provider.counted.keys, 3);
  tell('the third key was taken up by asking once, and the withdrawn ones are good for nothing');

  await must(value, 'whoami');
  const all = log.join('\n');
  for (const secret of [alice.access, alice.id, anew.access, last.access, value]) {
    const [, middle] = secret.split('.');
    assert.ok(!all.includes(middle ?? secret), 'the log has a credential');
  }
  assert.ok(all.includes('"caller.trust":"installation/main"'), 'the log names the trust');
  tell('her token outlives them all; no credential is in the log');
}

const keys = ['key-1', 'key-2', 'key-3'].map(signingKey);
const provider = await start([keys[0]]);
let service;
try {
  service = await serve(provider.issuer);
  await story(provider, service, keys);
  await service.stop();
  tell('as it should be');
} catch (error) {
  console.error(error);
  process.exitCode = 1;
  service?.kill();
} finally {
  provider.stop();
}
