'use strict';
// A mailbox limit that is reached, for each policy: the sender, the client and the metrics tell the
// same number. Messages with a time to live, and messages that take the place of others.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { get, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

const query = (parameters) => new URLSearchParams(parameters).toString();

// Everything that waits, as a poll gives it; confirms it when asked to.
async function poll(server, key, confirmIds) {
    const { body } = await get(`${server.url}?${query({
        transport: 'shortpolling', sessionKey: key, ...(confirmIds ? { confirmIds } : {}),
    })}`);
    return body === '' ? {} : JSON.parse(body);
}

// What a pack says was dropped for want of room.
function noticed(pack) {
    return Object.values(pack).flat().filter(([name]) => name === 'mailbox.dropped').map(([, { total }]) => total);
}

const LIMITS = [
    ['messages', { mailboxMessages: 10 }, 10],
    ['bytes', { mailboxBytes: 1024, messageBytes: 1024 }, 1024 / 64],
];
const SIZE = 64;
const body = (n) => [['n', { n, pad: 'x'.repeat(SIZE - JSON.stringify([['n', { n, pad: '' }]]).length) }]];

for (const [what, limits, room] of LIMITS) {
    test(`reject, by ${what}: the sender is told how many, and the client gets all the others`, async () => {
        await withServer({ limits }, async (server, backend) => {
            const key = await backend.createSession('bob');
            let refused = 0;
            for (let n = 0; n < 25; n += 1) {
                const [result] = await backend.send(key, body(n));
                if (result.outcome === 'overLimit') {
                    assert.equal(result.limit, 'mailbox');
                    assert.match(result.message, /mailbox has no room/);
                    refused += 1;
                }
            }
            assert.equal(refused, 25 - room);
            const pack = await poll(server, key);
            assert.equal(25 - Object.keys(pack).length, refused);
            const status = await backend.balanced();
            assert.equal(status.refused_mailbox_full, refused);
            assert.equal((await backend.session(key)).pending, room);
            await poll(server, key, Object.keys(pack).join());
            assert.equal((await backend.send(key, body(0)))[0].outcome, 'queued');
        });
    });

    test(`dropOldest, by ${what}: sender, client and figures tell the same number`, async () => {
        await withServer({ limits: { ...limits, mailboxPolicy: 'dropOldest' } }, async (server, backend) => {
            const key = await backend.createSession('bob');
            let dropped = 0;
            for (let n = 0; n < 25; n += 1) {
                const [result] = await backend.send(key, body(n));
                assert.equal(result.outcome, 'queued');
                assert.deepEqual(result.ids, [n + 1]);
                dropped += result.dropped || 0;
            }
            assert.equal(dropped, 25 - room);
            const pack = await poll(server, key);
            // No hole: clients hang on one.
            assert.deepEqual(Object.keys(pack).map(Number), Array.from({ length: 25 }, (_, i) => i + 1));
            assert.deepEqual(noticed(pack), [dropped]);
            assert.equal(Object.values(pack).filter(([event]) => event && event[0] === 'n').length, room);
            const status = await backend.balanced();
            assert.equal(status.dropped_mailbox_full, dropped);
            const session = await backend.session(key);
            assert.equal(session.overflowed, dropped);
            assert.equal(session.dropped, dropped);
            assert.equal(session.pending, room);
            // Once confirmed it is over; the total stays.
            assert.deepEqual(await poll(server, key, '25'), {});
            assert.equal((await backend.balanced()).confirmed, room);
            for (let n = 0; n < room + 2; n += 1) {
                await backend.send(key, body(n));
            }
            assert.deepEqual(noticed(await poll(server, key)), [dropped + 2]);
        });
    });
}

test('the age of the oldest message: refused or dropped, as the policy says', async () => {
    await withServer({ limits: { mailboxAge: '300ms' } }, async (server, backend) => {
        const key = await backend.createSession('bob');
        await backend.send(key, [['a']]);
        const [refused] = await until('its time is over', async () => {
            const results = await backend.send(key, [['b']]);
            return results[0].outcome === 'overLimit' && results;
        });
        assert.equal(refused.limit, 'mailbox');
        const pack = await poll(server, key);
        await poll(server, key, Object.keys(pack).join());
        assert.equal((await backend.send(key, [['c']]))[0].outcome, 'queued');
    });
    await withServer({ limits: { mailboxAge: '300ms', mailboxPolicy: 'dropOldest' } }, async (server, backend) => {
        const key = await backend.createSession('bob');
        await backend.send(key, [['a']], [['b']]);
        const status = await until('they are dropped', async () => {
            const figures = await backend.balanced();
            return figures.dropped_age === 2 && figures;
        });
        assert.equal(status.pending, 0);
        assert.deepEqual(await poll(server, key), { 1: [], 2: [['mailbox.dropped', { total: 2 }]] });
    });
});

test('the host is full: refused or dropped, as the policy says', async () => {
    const message = [['pad', 'x'.repeat(50000)]];
    const config = { hostBytes: '1MiB', mailboxBytes: '1MiB' };
    await withServer({ limits: config }, async (server, backend) => {
        const keys = await Promise.all(['a', 'b'].map((actor) => backend.createSession(actor)));
        let refused = 0;
        for (let n = 0; n < 40; n += 1) {
            const [result] = await backend.send(keys[n % 2], message);
            if (result.outcome === 'overLimit') {
                assert.equal(result.limit, 'host');
                refused += 1;
            }
        }
        assert.ok(refused > 10);
        assert.equal((await backend.balanced()).refused_host_full, refused);
    });
    await withServer({ limits: { ...config, hostPolicy: 'dropOldest' } }, async (server, backend) => {
        const keys = await Promise.all(['a', 'b'].map((actor) => backend.createSession(actor)));
        for (let n = 0; n < 40; n += 1) {
            assert.equal((await backend.send(keys[n % 2], message))[0].outcome, 'queued');
        }
        const status = await backend.balanced();
        assert.ok(status.dropped_host_full > 10);
        const sessions = await Promise.all(keys.map((key) => backend.session(key)));
        assert.equal(sessions[0].overflowed + sessions[1].overflowed, status.dropped_host_full);
        assert.ok(Math.abs(sessions[0].overflowed - sessions[1].overflowed) <= 1, 'the oldest of the host, not of a mailbox');
        for (const [i, key] of keys.entries()) {
            assert.equal(noticed(await poll(server, key))[0], sessions[i].overflowed);
        }
    });
});

test('the store is full: senders are told, what was stored stays, and work goes on', async () => {
    const message = [['pad', 'x'.repeat(60000)]];
    await withServer({ store: { size: '16MiB' }, limits: { mailboxBytes: '64MiB' } }, async (server, backend) => {
        const key = await backend.createSession('bob');
        let queued = 0;
        const [refused] = await until('the store is full', async () => {
            const results = await backend.send(key, message);
            queued += results[0].outcome === 'queued' ? 1 : 0;
            return results[0].outcome === 'overLimit' && results;
        });
        assert.equal(refused.limit, 'store');
        assert.match(refused.message, /store is full/);
        const status = await backend.balanced();
        assert.equal(status.refused_store_full, 1);
        assert.ok(status.store_used_bytes > 8 * 1024 * 1024 && status.store_size_bytes === 16 * 1024 * 1024);
        let received = 0;
        for (let pack = await poll(server, key); Object.keys(pack).length > 0;) {
            assert.equal(Number(Object.keys(pack)[0]), received + 1);
            received += Object.keys(pack).length;
            pack = await poll(server, key, String(received));
        }
        assert.equal(received, queued);
        await until('there is room again', async () => (await backend.send(key, message))[0].outcome === 'queued');
    });
});

test('a message with a time to live is gone when it is over, and its ID is not', async () => {
    await withServer({}, async (server, backend) => {
        const key = await backend.createSession('bob');
        const send = (message, more) => backend.must('POST', '/messages', { to: key, message, ...more });
        await send([['kept']]);
        await send([['short']], { ttl: '200ms' });
        await send([['long']], { ttl: 3600 });
        assert.deepEqual(await poll(server, key), { 1: [['kept']], 2: [['short']], 3: [['long']] });
        await until('its time is over', async () => (await backend.status()).dropped_ttl === 1);
        assert.deepEqual(await poll(server, key), { 1: [['kept']], 2: [], 3: [['long']] });
        assert.equal((await backend.session(key)).pending, 2);
        assert.deepEqual(await poll(server, key, '3'), {});
        const status = await backend.balanced();
        assert.equal(status.confirmed, 2);
        assert.equal((await backend.session(key)).overflowed, 0);
    });
});

test('a replaceKey: the newest of what was not sent yet', async () => {
    await withServer({}, async (server, backend) => {
        const key = await backend.createSession('bob');
        const tick = (price, replaceKey = 'gold') => backend.must('POST', '/messages',
            { to: key, message: [['price', { replaceKey, price }]], replaceKey });
        assert.deepEqual((await tick(1)).results[0].ids, [1]);
        await tick(5, 'silver');
        const [{ ids, replaced }] = (await tick(2)).results;
        assert.deepEqual([ids, replaced], [[1], true]);
        assert.deepEqual(await poll(server, key), {
            1: [['price', { replaceKey: 'gold', price: 2 }]], 2: [['price', { replaceKey: 'silver', price: 5 }]],
        });
        // Sent: it stays, and the next one comes after it.
        assert.deepEqual((await tick(3)).results[0].ids, [3]);
        assert.deepEqual((await tick(4)).results[0].ids, [3]);
        const session = await backend.session(key);
        assert.deepEqual([session.lastId, session.accepted, session.replaced, session.pending], [3, 5, 2, 3]);
        assert.equal((await backend.balanced()).dropped_replaced, 2);
        const several = await backend.call('POST', '/messages', { to: key, messages: [[['a']], [['b']]], replaceKey: 'k' });
        assert.equal(several.status, 400);
        assert.match(several.text, /replaceKey.* takes one message/);
    });
});

test('what makes no sense is refused with what, where and what to do', async () => {
    await withServer({}, async (server, backend) => {
        const key = await backend.createSession('bob');
        const wrong = [
            [{ ttl: 0 }, /ttl.* must be above 0/], [{ ttl: -5 }, /ttl/], [{ ttl: '5 parsecs' }, /ttl/], [{ ttl: '366d' }, /ttl/],
            [{ ttl: null }, /ttl/], [{ replaceKey: '' }, /replaceKey.* 1 to 128/], [{ replaceKey: 7 }, /replaceKey/],
            [{ receipt: 'x'.repeat(129) }, /receipt.* 1 to 128/], [{ receipt: true }, /receipt/],
            [{ idempotencyKey: 'a\nb' }, /idempotencyKey.* control/], [{ idempotencyKey: ['a'] }, /idempotencyKey/],
            [{ idempotency: 'x' }, /Unknown member.*"idempotencyKey"/],
        ];
        for (const [more, expected] of wrong) {
            const answer = await backend.call('POST', '/messages', { to: key, message: [['a']], ...more });
            assert.equal(answer.status, 400, JSON.stringify(more));
            assert.match(answer.body.error.message, expected);
        }
        assert.equal((await backend.status()).accepted, 0);
    });
});
