'use strict';
// Every message sent three times with its idempotency key, while connections are cut, packets are lost
// and relays are killed: one copy per mailbox.

const assert = require('node:assert/strict');
const { spawn, spawnSync } = require('node:child_process');
const http = require('node:http');
const net = require('node:net');
const { test } = require('node:test');
const { impossible } = require('./lib/namespaces');
const { Random } = require('./lib/random');
const { alive, get, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

const CUT = 0.2; // so many requests are cut off by their sender
const LOST_PERCENT = 4; // of all packets, in the namespace

const query = (parameters) => new URLSearchParams(parameters).toString();
const poll = (server, key) => get(`${server.url}?${query({ transport: 'shortpolling', sessionKey: key })}`);

async function killRelay(server) {
    const [relay] = server.pids('relay-worker');
    process.kill(relay, 'SIGKILL');
    await until('there is a new relay', () => !alive(relay) && server.pids('relay-worker').length === 1, 20000);
}

// A way to the backend API over TCP, whose packets get lost: what a Unix socket takes never does.
function lossyWay(server) {
    const proxy = net.createServer({ allowHalfOpen: true }, (near) => {
        const far = net.connect({ path: server.backendSocket, allowHalfOpen: true });
        near.pipe(far).pipe(near);
        near.on('error', () => far.destroy());
        far.on('error', () => near.destroy());
    });
    proxy.unref();
    return new Promise((resolve) => {
        proxy.listen(0, '127.0.0.1', () => resolve({ host: '127.0.0.1', port: proxy.address().port }));
    });
}

async function sendAllThrice(random, lossy, diagnostic) {
    await withServer({}, async (server) => {
        const through = lossy ? await lossyWay(server) : { socketPath: server.backendSocket };
        const keys = [];
        for (let i = 0; i < 20; i += 1) {
            keys.push(await server.backend.createSession(`player-${i}`, { ttl: '1h' }));
        }
        const MESSAGES = lossy && !process.env.FULL ? 120 : 400;
        const ids = new Map(); // what was answered, per message and recipient
        let answers = 0;
        let repeated = 0;
        const send = async (n) => {
            const order = { to: [keys[n % 20], keys[(n * 7 + 3) % 20]], message: [['n', n]], idempotencyKey: `order-${n}` };
            const cut = random.chance(CUT);
            const answer = await new Promise((resolve) => {
                const request = http.request({ ...through, method: 'POST', path: '/messages', agent: false }, (response) => {
                    let text = '';
                    response.on('data', (data) => { text += data; });
                    response.on('error', () => resolve(null));
                    response.on('end', () => resolve(response.statusCode === 200 ? JSON.parse(text) : null));
                });
                request.on('error', () => resolve(null));
                request.end(JSON.stringify(order), () => cut && setImmediate(() => request.destroy()));
            });
            (answer ? answer.results : []).forEach((result, i) => {
                if (result.outcome !== 'queued') {
                    return;
                }
                answers += 1;
                repeated += result.repeated ? 1 : 0;
                const name = `${n} ${i}`;
                assert.deepEqual(result.ids, ids.get(name) || result.ids, `message ${name} got another ID`);
                ids.set(name, result.ids);
            });
            return answer && answer.results.every((result) => result.outcome === 'queued');
        };
        const sendThrice = async (n) => {
            for (let tries = 0, answered = 0; tries < 3 || answered === 0; tries += 1) {
                answered += await send(n) ? 1 : 0;
            }
        };
        let kills = 0;
        let done = false;
        const killer = (async () => {
            while (!done && kills < 3) {
                const before = ids.size;
                await until('some were sent', () => done || ids.size >= before + 60, 30000);
                if (!done) {
                    await killRelay(server);
                    kills += 1;
                }
            }
        })();
        for (let n = 0; n < MESSAGES; n += 8) {
            await Promise.all(Array.from({ length: 8 }, (_, i) => sendThrice(n + i)));
        }
        done = true;
        await killer;
        const copies = new Map();
        for (const key of keys) {
            const { body } = await poll(server, key);
            for (const [[, n]] of Object.values(JSON.parse(body))) {
                copies.set(`${n} ${key}`, (copies.get(`${n} ${key}`) || 0) + 1);
            }
        }
        const expected = new Set();
        for (let n = 0; n < MESSAGES; n += 1) {
            expected.add(`${n} ${keys[n % 20]}`);
            expected.add(`${n} ${keys[(n * 7 + 3) % 20]}`);
        }
        assert.deepEqual([...copies.values()].filter((count) => count !== 1), []);
        assert.equal(copies.size, expected.size);
        diagnostic(`${MESSAGES} messages, ${copies.size} copies in 20 mailboxes, ${answers} answers, ${repeated} of them repetitions, ${kills} relay kills`);
        const [{ outcome, message }] = (await server.backend.must('POST', '/messages',
            { to: keys[0], message: [['other']], idempotencyKey: 'order-0' })).results;
        assert.equal(outcome, 'keyReused');
        assert.match(message, /used for other messages/);
    });
}

// Why packets cannot be lost here, or false.
function lossImpossible() {
    return impossible() || (spawnSync('nft', ['--version']).status !== 0 && 'there is no nft');
}

// A namespace of its own, on whose loopback packets get lost.
class LossyNamespace {
    constructor() {
        this.name = `msgserver-${process.pid}-lossy`;
        const run = (...command) => {
            const { status, stderr } = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
            assert.equal(status, 0, `${command.join(' ')}: ${stderr}`);
        };
        run('ip', 'netns', 'add', this.name);
        run('ip', '-n', this.name, 'link', 'set', 'lo', 'up');
        const inside = ['ip', 'netns', 'exec', this.name];
        run(...inside, 'nft', 'add table inet loss');
        run(...inside, 'nft', 'add chain inet loss in { type filter hook input priority 0; }');
        run(...inside, 'nft', `add rule inet loss in meta l4proto tcp numgen random mod 100 < ${LOST_PERCENT} counter drop`);
    }

    lost() {
        const { stdout } = spawnSync('ip', ['netns', 'exec', this.name, 'nft', 'list ruleset'], { encoding: 'utf8' });
        return Number(/counter packets (\d+)/.exec(stdout)[1]);
    }

    dispose() {
        spawnSync('ip', ['netns', 'del', this.name]);
    }
}

if (process.env.IN_LOSSY_NAMESPACE) {
    const random = new Random();
    sendAllThrice(random, true, console.log).then(() => process.exit(0), (error) => {
        console.log(error);
        process.exit(1);
    });
} else {
    test('every message sent three times with its idempotency key, over cut connections and relay kills: one copy per mailbox', async (t) => {
        const random = new Random();
        t.diagnostic(`SEED=${random.seed}`);
        await sendAllThrice(random, false, (text) => t.diagnostic(text));
    });

    test('the same while packets are lost', { skip: lossImpossible() }, async (t) => {
        const namespace = new LossyNamespace();
        t.after(() => namespace.dispose());
        const random = new Random();
        t.diagnostic(`SEED=${random.seed}`);
        const child = spawn('ip', ['netns', 'exec', namespace.name, process.execPath, __filename],
            { env: { ...process.env, IN_LOSSY_NAMESPACE: '1', SEED: String(random.seed), NODE_TEST_CONTEXT: '' } });
        t.after(() => child.kill());
        let said = '';
        child.stdout.on('data', (data) => { said += data; });
        child.stderr.on('data', (data) => { said += data; });
        const status = await new Promise((resolve) => { child.on('close', resolve); });
        assert.equal(status, 0, said);
        const lost = namespace.lost();
        assert.ok(lost > 0, 'no packet was lost');
        t.diagnostic(`${said.trim()}, ${lost} packets lost`);
    });
}
