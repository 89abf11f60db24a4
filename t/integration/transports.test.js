'use strict';
// Polling, event streams by curl, HEAD, OPTIONS, CORS, routes and the public configuration: what
// existing clients expect of an answer, to the byte.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { after, before, test } = require('node:test');
const { Raw } = require('./lib/raw');
const { Server, get } = require('./lib/server');
const { until } = require('./lib/wait');

const NO_SUCH_KEY = 'bob:AAAAAAAAAAAAAAAAAAAAAA';
const UNSET = (reason) => `{"0":[["session.unset","${reason}"]]}`;
const query = (parameters) => new URLSearchParams(parameters).toString();

let server;
let backend;
let raw;
let hopeless; // a poll for a session of another home, which is given some seconds to come back

const target = (parameters) => `/msgstream?${query(parameters)}`;
const poll = (transport, sessionKey, more = {}) => get(`${server.url}?${query({ transport, sessionKey, ...more })}`);
const attached = (key) => until('the client is attached', async () => (await backend.session(key)).attached);

async function ask(text, options) {
    raw.write(text);
    return raw.response(options);
}

before(async () => {
    server = await Server.start({ msgStream: { pollPace: '100ms' } });
    ({ backend } = server);
    raw = await Raw.open(server);
    hopeless = poll('shortpolling', 'bob:AAAAAAAAAAAAAAAAAAAAAA~0123456789abcdef.1');
});
after(async () => {
    raw.destroy();
    await server.dispose();
});

test('a short poll with messages waiting: 200, and the pack', async () => {
    const key = await backend.createSession('short');
    await backend.send(key, [['a.b', { x: 1 }], ['c']], [['d']]);
    const answer = await ask(`GET ${target({ transport: 'shortpolling', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"1":[["a.b",{"x":1}],["c"]],"2":[["d"]]}');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers.pragma, 'no-cache');
    assert.ok(answer.names.includes('pragma') && answer.names.includes('content-type'), 'lower case, as MAGE');
    assert.equal(answer.headers['access-control-allow-origin'], undefined);
});

test('a short poll with nothing waiting: 204 at once, no body', async () => {
    const key = await backend.createSession('short-empty');
    const start = Date.now();
    const answer = await ask(`GET ${target({ transport: 'shortpolling', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.pragma, 'no-cache');
    assert.equal(answer.headers['content-length'], undefined);
    assert.equal(answer.headers['content-type'], undefined);
    assert.ok(Date.now() - start < 1500);
});

test('a long poll with messages waiting answers at once, else with the first message', async () => {
    const key = await backend.createSession('long');
    await backend.send(key, [['first']]);
    assert.equal((await poll('longpolling', key)).body, '{"1":[["first"]]}');
    const hanging = poll('longpolling', key, { confirmIds: '1' });
    await attached(key);
    await backend.send(key, [['second']]);
    const answer = await hanging;
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers.pragma, 'no-cache');
    assert.equal(answer.body, '{"2":[["second"]]}');
});

test('a second long poll for the address: the first gets 204 at once, the new one hangs', async () => {
    const key = await backend.createSession('long-twice');
    const first = poll('longpolling', key);
    await attached(key);
    const second = poll('longpolling', key);
    const answer = await first;
    assert.equal(answer.status, 204);
    assert.equal(answer.headers.pragma, 'no-cache');
    await backend.send(key, [['for the second']]);
    assert.equal((await second).body, '{"1":[["for the second"]]}');
});

test('styles mix per address: short poll, long poll, WebSocket, event stream', async () => {
    const key = await backend.createSession('mixed');
    const long = poll('longpolling', key);
    await attached(key);
    assert.equal((await poll('shortpolling', key)).status, 204);
    assert.equal((await long).status, 204);
    await backend.send(key, [['x']]);
    const stream = await Raw.open(server);
    stream.write(`GET ${target({ transport: 'sse', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('the event', () => stream.input.includes('"1":[["x"]]'));
    const ws = await Raw.websocket(server, target({ sessionKey: key }));
    assert.equal((await ws.frame()).payload.toString(), '{"1":[["x"]]}');
    await stream.closed();
    ws.destroy();
});

test('HEAD with a known transport: 200 with headers alone, no session needed', async () => {
    for (const transport of ['shortpolling', 'longpolling']) {
        const answer = await ask(`HEAD /msgstream?transport=${transport} HTTP/1.1\r\nHost: x\r\n\r\n`, { noBody: true });
        assert.equal(answer.status, 200);
        assert.equal(answer.headers['content-type'], 'application/json');
        assert.equal(answer.headers.pragma, 'no-cache');
    }
    const bad = await ask('HEAD /msgstream?transport=zz HTTP/1.1\r\nHost: x\r\n\r\n', { noBody: true });
    assert.equal(bad.status, 400);
    assert.equal((await ask('GET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n')).body, 'OK');
});

test('unknown or missing transport: 400 as text that names it', async () => {
    const key = await backend.createSession('unknown-transport');
    const unknown = await ask(`GET ${target({ transport: 'zz', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal(unknown.status, 400);
    assert.equal(unknown.headers['content-type'], 'text/plain; charset=UTF-8');
    assert.equal(unknown.body, 'Unknown HTTP transport: zz');
    const missing = await get(`${server.url}?${query({ sessionKey: key })}`);
    assert.equal(missing.status, 400);
    assert.match(missing.body, /^Unknown HTTP transport: /);
    for (const odd of ['__proto__', 'LongPolling', 'longpolling ', '<script>', '']) {
        assert.equal((await poll(odd, key)).status, 400, odd);
    }
});

test('no or empty sessionKey, transport=websocket without upgrade, repeated parameters: 400', async () => {
    const key = encodeURIComponent(await backend.createSession('bad-queries'));
    for (const bad of [
        'transport=shortpolling', 'transport=shortpolling&sessionKey=', 'transport=longpolling',
        'transport=longpolling&sessionKey=', 'transport=sse', 'transport=sse&sessionKey=',
        `transport=websocket&sessionKey=${key}`,
        `transport=shortpolling&sessionKey=${key}&confirmIds=1&confirmIds=2`,
        `transport=longpolling&sessionKey=${key}&confirmIds=1&confirmIds=2`,
        `transport=shortpolling&sessionKey=${key}&sessionKey=${key}`,
        `transport=shortpolling&transport=shortpolling&sessionKey=${key}`,
    ]) {
        const answer = await get(`${server.url}?${bad}`);
        assert.equal(answer.status, 400, bad);
        assert.equal(answer.headers['content-type'], 'text/plain; charset=UTF-8', bad);
    }
});

test('OPTIONS: 200 and content-length 0; 404 on an unknown path', async () => {
    const known = await ask('OPTIONS /msgstream HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\n\r\n');
    assert.equal(known.status, 200);
    assert.equal(known.headers['content-length'], '0');
    assert.ok(!known.names.some((name) => name.startsWith('access-control')), 'CORS is off');
    assert.equal((await ask('OPTIONS /nothing HTTP/1.1\r\nHost: x\r\n\r\n')).status, 404);
    assert.equal((await ask('GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n')).status, 404);
    assert.equal((await ask('GET /msgstreams HTTP/1.1\r\nHost: x\r\n\r\n')).status, 404);
    assert.equal((await ask('GET / HTTP/1.1\r\nHost: x\r\n\r\n')).status, 404);
});

test('a bad session on a poll: 200 with session.unset and the reason', async () => {
    for (const transport of ['shortpolling', 'longpolling']) {
        const unknown = await poll(transport, `${transport}:AAAAAAAAAAAAAAAAAAAAAA`);
        assert.deepEqual([unknown.status, unknown.body], [200, UNSET('noSession')]);
        assert.equal(unknown.headers['content-type'], 'application/json');
        assert.equal(unknown.headers.pragma, 'no-cache');
        for (const malformed of ['x', 'no colon', ':secret', `${transport}:`, `${transport}:a~b`,
            `${'a'.repeat(300)}:b`]) {
            const answer = await poll(transport, malformed);
            assert.deepEqual([answer.status, answer.body], [200, UNSET('invalidSessionKey')], malformed);
        }
    }
});

test('a client that repeats a refused poll cannot spin', async () => {
    const text = `GET ${target({ transport: 'shortpolling', sessionKey: NO_SUCH_KEY })} HTTP/1.1\r\nHost: x\r\n\r\n`;
    await ask(text);
    const start = Date.now();
    for (let i = 0; i < 3; i++) {
        assert.equal((await ask(text)).body, UNSET('noSession'));
    }
    assert.ok(Date.now() - start >= 3 * 95, `three refusals in ${Date.now() - start} ms`);
});

test('a client that polls again without confirming cannot spin, one that confirms is not delayed', async () => {
    const key = await backend.createSession('pace');
    await backend.send(key, [['1']], [['2']], [['3']], [['4']]);
    const pack = (await poll('shortpolling', key)).body;
    let start = Date.now();
    for (let i = 0; i < 3; i++) {
        assert.equal((await poll('longpolling', key)).body, pack);
    }
    assert.ok(Date.now() - start >= 3 * 95, `three identical packs in ${Date.now() - start} ms`);
    start = Date.now();
    for (let id = 1; id <= 4; id++) {
        await poll('shortpolling', key, { confirmIds: String(id) });
    }
    assert.ok(Date.now() - start < 600, `four confirming polls took ${Date.now() - start} ms`);
});

test('routes with slashes, absolute form, percent signs; any other method is a GET', async () => {
    const key = await backend.createSession('a b+c:d/é');
    await backend.send(key, [['x']]);
    const parameters = query({ transport: 'shortpolling', sessionKey: key });
    for (const [method, path] of [
        ['GET', '/msgstream/'], ['GET', '//msgstream'], ['GET', '//msgstream//'], ['POST', '/msgstream'],
        ['PUT', '/msgstream'], ['DELETE', '/msgstream'], ['PATCH', '/msgstream/'], ['BREW', '/msgstream'],
        ['GET', `http://x:${server.port}/msgstream`], ['POST', '//msgstream'],
    ]) {
        const answer = await ask(`${method} ${path}?${parameters} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.deepEqual([answer.status, answer.body], [200, '{"1":[["x"]]}'], `${method} ${path}`);
    }
    const body = await ask(`POST /msgstream?${parameters} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`);
    assert.equal(body.body, '{"1":[["x"]]}');
});

test('the query is decoded: %XX in either case, + and %20 are blanks', async () => {
    const key = await backend.createSession('sp ace:1/é');
    await backend.send(key, [['x']]);
    const [, secret] = /^sp ace:1\/é:(.*)$/.exec(key);
    const tail = secret.replace('~', '%7e');
    for (const actor of ['sp+ace%3A1%2F%C3%A9', 'sp%20ace%3a1%2f%c3%a9', '%73p+ace:1/%c3%A9']) {
        const answer = await get(`${server.url}?transport=%73hortpolling&sessionKey=${actor}:${tail}`);
        assert.equal(answer.body, '{"1":[["x"]]}', actor);
    }
    for (const broken of ['%', '%4', '%zz', 'a%0']) {
        const answer = await ask(`GET /msgstream?transport=shortpolling&sessionKey=${broken} HTTP/1.1\r\nHost: x\r\n\r\n`);
        assert.equal(answer.status, 400, broken);
    }
});

test('keep-alive and pipelining: answers in the order of the requests', async () => {
    const key = await backend.createSession('pipeline');
    await backend.send(key, [['p']]);
    const short = target({ transport: 'shortpolling', sessionKey: key });
    const pipeline = await Raw.open(server);
    pipeline.write(`GET ${short} HTTP/1.1\r\nHost: x\r\n\r\nGET /check.txt HTTP/1.1\r\nHost: x\r\n\r\n` +
        `GET ${short}&confirmIds=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n` +
        'POST /check.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n' +
        'GET /check.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /check.txt HTTP/1.1\r\n\r\n');
    const answers = [];
    for (let i = 0; i < 6; i++) {
        answers.push(await pipeline.response());
    }
    assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 204, 404, 200, 200]);
    assert.equal(answers[0].body, '{"1":[["p"]]}');
    assert.equal(answers[5].headers.connection, 'close');
    await pipeline.closed();
    assert.equal(pipeline.input.length, 0, 'nothing after Connection: close');
    const old = await Raw.open(server);
    old.write('GET /check.txt HTTP/1.0\r\n\r\n');
    assert.equal((await old.response()).body, 'OK');
    await old.closed();
});

test('a client that leaves a long poll is detached; one that ends its side of a short poll is answered', async () => {
    const key = await backend.createSession('leaving');
    const leaving = await Raw.open(server);
    leaving.write(`GET ${target({ transport: 'longpolling', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await attached(key);
    leaving.destroy();
    await until('it is detached', async () => !(await backend.session(key)).attached);
    const half = await Raw.open({ host: server.host, port: server.port, allowHalfOpen: true });
    half.socket.end(`GET ${target({ transport: 'shortpolling', sessionKey: key })} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await half.response()).status, 204);
    half.destroy();
});

test('/check.txt tells a load balancer that the relay is there', async () => {
    const answer = await get(`http://${server.host}:${server.port}/check.txt`);
    assert.deepEqual([answer.status, answer.body], [200, 'OK']);
});

test('the public configuration is served to clients and backends', async () => {
    const expected = '{"transports":{"longpolling":{"url":"/msgstream","heartbeat":60},"shortpolling":{"url":"/msgstream"},' +
        '"websocket":{"url":"/msgstream"}},"detect":["websocket","longpolling","shortpolling"]}';
    const answer = await get(`${server.url}/config`);
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/json']);
    assert.equal(answer.body, expected);
    assert.equal((await backend.call('GET', '/config')).text.trim(), expected);
});

test('an event stream as curl sees it', async () => {
    const key = await backend.createSession('curl');
    await backend.send(key, [['one']], [['two', 'a\nb']]);
    const output = await new Promise((resolve, reject) => {
        const curl = execFile('curl', ['-sSiN', '--no-buffer', `${server.url}?${query({ transport: 'sse', sessionKey: key })}`],
            (error, stdout) => (error ? reject(error) : resolve(stdout)));
        until('curl is attached', async () => (await backend.session(key)).attached)
            .then(() => backend.deleteSession(key), () => curl.kill());
    });
    const [head, body] = output.split('\r\n\r\n');
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(head, /\r\ncontent-type: text\/event-stream(\r\n|$)/i);
    assert.ok(body.startsWith('id: 1\ndata: {"1":[["one"]]}\n\nid: 2\ndata: {"2":[["two","a\\nb"]]}\n\n'), body);
    assert.match(body, /data: \{"0":\[\["session\.unset","[a-zA-Z]+"\]\]\}\n\n/);
});

test('CORS: the configured origin, * and credentials', async () => {
    const cases = [
        [{ origin: 'https://game.example' }, { 'access-control-allow-origin': 'https://game.example' }],
        [{ origin: '*' }, { 'access-control-allow-origin': '*' }],
        [{ origin: '*', credentials: true }, { 'access-control-allow-origin': 'http://o.example', vary: 'Origin',
            'access-control-allow-credentials': 'true' }],
        [{ origin: 'https://game.example', credentials: true, methods: 'GET, POST', maxAge: 60 },
            { 'access-control-allow-origin': 'https://game.example', 'access-control-allow-credentials': 'true' }],
    ];
    for (const [cors, expected] of cases) {
        const other = await Server.start({ workers: 1, clientHost: { cors } });
        try {
            const key = await other.backend.createSession('cors');
            const url = (parameters) => `${other.url}?${query(parameters)}`;
            const origin = { headers: { origin: 'http://o.example' } };
            for (const answer of [
                await get(url({ transport: 'shortpolling', sessionKey: key }), origin),
                await get(url({ transport: 'shortpolling', sessionKey: NO_SUCH_KEY }), origin),
                await get(url({ transport: 'zz', sessionKey: key }), origin),
                await get(url({ transport: 'longpolling' }), { ...origin, method: 'HEAD' }),
                await get(other.url, { ...origin, method: 'OPTIONS' }),
            ]) {
                for (const name of ['access-control-allow-origin', 'access-control-allow-credentials', 'vary']) {
                    assert.equal(answer.headers[name], expected[name], `${JSON.stringify(cors)}: ${name}`);
                }
            }
            const preflight = await get(other.url, { method: 'OPTIONS',
                headers: { origin: 'http://o.example', 'access-control-request-headers': 'X-A, x-b' } });
            assert.equal(preflight.status, 200);
            assert.equal(preflight.headers['content-length'], '0');
            assert.equal(preflight.headers['access-control-max-age'], cors.maxAge ? '60' : '1728000');
            assert.ok(preflight.headers['access-control-allow-methods'].includes('GET'));
            assert.equal(preflight.headers['access-control-allow-headers'], 'X-A, x-b');
        } finally {
            await other.dispose();
        }
    }
});

test('routes of one\'s own, expose and detect', async () => {
    const other = await Server.start({
        workers: 1,
        clientHost: { expose: 'https://msg.example.com/' },
        msgStream: {
            transports: { longpolling: { route: '/lp', heartbeat: 20, afterErrorInterval: 5000 },
                shortpolling: { route: '/deep/sp' }, websocket: { route: '/ws' }, sse: { route: '/events' } },
            detect: ['sse', 'longpolling'],
        },
    });
    try {
        const key = await other.backend.createSession('routes');
        await other.backend.send(key, [['x']]);
        const base = `http://${other.host}:${other.port}`;
        const parameters = (transport) => query({ transport, sessionKey: key });
        assert.equal((await get(`${base}/lp?${parameters('longpolling')}`)).body, '{"1":[["x"]]}');
        assert.equal((await get(`${base}/deep//sp/?${parameters('shortpolling')}`)).body, '{"1":[["x"]]}');
        assert.equal((await get(`${base}/lp?${parameters('shortpolling')}`)).status, 400);
        assert.equal((await get(`${base}/msgstream?${parameters('longpolling')}`)).status, 404);
        const ws = await Raw.websocket(other, `/ws?${query({ sessionKey: key })}`);
        assert.equal((await ws.frame()).payload.toString(), '{"1":[["x"]]}');
        ws.destroy();
        const config = (await other.backend.call('GET', '/config')).body;
        assert.equal(config.transports.longpolling.url, 'https://msg.example.com/lp');
        assert.equal(config.transports.longpolling.heartbeat, 20);
        assert.equal(config.transports.longpolling.afterErrorInterval, 5000);
        assert.equal(config.transports.websocket.url, 'https://msg.example.com/ws');
        assert.deepEqual(config.detect, ['sse', 'longpolling']);
    } finally {
        await other.dispose();
    }
});

test('a session of a home that cannot be reached: hostGone', async () => {
    const answer = await hopeless;
    assert.deepEqual([answer.status, answer.body], [200, UNSET('hostGone')]);
});
