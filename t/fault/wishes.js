'use strict';
// What a request may ask for beside delivery: {ttlMs, replaceKey, idempotencyKey, receipt}. Servers that
// do not know these members are not asked.

const { execFileSync } = require('child_process');
const path = require('path');
const { BUILD } = require('../integration/lib/server');

const TTLS_MS = [30, 300, 1500, 3600000];

// Whether the server knows them: its effective configuration says so.
function serverTakesWishes(directory) {
    const known = execFileSync(path.join(BUILD, 'msgserverd'), ['-T', '--config-dir', directory],
        { env: { MSGSERVER_LIBEXECDIR: BUILD }, stdio: ['ignore', 'pipe', 'ignore'] });
    return /^\s*mailboxPolicy:/m.test(known.toString());
}

// Messages that may vanish get a key: once they are gone, nobody could tell whose they were.
function makeWish(world, random, sessions, messages) {
    const wish = {};
    if (!world.takesWishes) {
        return wish;
    }
    if (random.chance(0.15)) {
        wish.ttlMs = random.pick(TTLS_MS);
    }
    // Of two that are under way, nobody could tell which took the other's place.
    if (messages === 1 && random.chance(0.2) && !sessions.some((session) => world.replacing.has(session))) {
        sessions.forEach((session) => world.replacing.add(session));
        wish.replaceKey = `replace-${random.below(2)}`;
    }
    if (random.chance(0.4)) {
        wish.receipt = `receipt-${world.serial}`;
    }
    if (wish.ttlMs || wish.replaceKey || wish.receipt || world.policy.dropOldest || random.chance(0.4)) {
        wish.idempotencyKey = `key-${world.serial}`;
    }
    return wish;
}

function wishJson({ ttlMs, ...others }) {
    const members = { ...(ttlMs ? { ttl: `${ttlMs}ms` } : {}), ...others };
    return Object.entries(members).map(([name, value]) => `,"${name}":${JSON.stringify(value)}`).join('');
}

module.exports = { makeWish, serverTakesWishes, wishJson };
