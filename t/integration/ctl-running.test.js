'use strict';
// msgserverctl and a running server: how it is found, and each way in which it does not answer.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const { EXIT, run } = require('./lib/ctl');
const { Server, freePort, withServer } = require('./lib/server');
const { until } = require('./lib/wait');

const root = process.getuid() === 0;

function scratch(t) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-test.'));
    t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
    return directory;
}

async function refused(args, code, pattern, options) {
    const result = await run(args, options);
    assert.deepEqual([result.code, result.out], [code, ''], `${args}: ${result.err}`);
    assert.match(result.err, /^msgserverctl: [^\n]+\n$/);
    assert.match(result.err, pattern);
}

test('one host alone: no peers; a session, as text and as JSON; and what is no session', async () => {
    await withServer({}, async (server, backend) => {
        const config = ['-c', server.directory];
        const { code, out } = await run(['peers', ...config]);
        assert.equal(code, EXIT.OK);
        assert.match(out, /^\S+:0  msgserver \S+ at no address \(server\.mmrp\.bind\.port is not set\), game msgserver, version 0\.0\.0\nno peers\n$/);

        const key = await backend.createSession('b%b "ö"/:~', { ttl: '2h' });
        await backend.send(key, [['a']], [['b']]);
        const text = await run(['session', key, ...config]);
        assert.deepEqual([text.code, text.err], [EXIT.OK, '']);
        const { home } = await backend.session(key);
        assert.equal(text.out.replace(/age {7}\ds/, 'age       0s'), [key, `  home      ${home}`, '  client    none',
            '  age       0s; ends 2h after its client left', '  waiting   2, of 14 bytes',
            '  messages  accepted 2 = confirmed 0 + waiting 2 + dropped 0; highest ID 2', ''].join('\n'));
        const json = JSON.parse((await run(['session', '--json', key, ...config])).out);
        assert.deepEqual({ ...json, age: 0 }, { ...await backend.session(key), age: 0 });

        await backend.deleteSession(key);
        await refused(['session', key, ...config], EXIT.NO_INPUT, /No such session/);
        await refused(['session', 'nonsense', ...config], EXIT.USAGE, /Not a session key/);
        await refused(['session', 'bob:secret~other.1', ...config], EXIT.UNAVAILABLE, /home host cannot be reached/);
        fs.chmodSync(server.backendSocket, 0);
        if (root) {
            await refused(['peers', ...config], EXIT.OS, /backend\.sock cannot be connected to: Permission denied; be the server's user/, { obedient: true });
        }
        fs.chmodSync(server.backendSocket, 0o660);
        // While the relay is away, either it is waited for, or the answer is a sentence.
        server.pids('relay-worker').forEach((pid) => process.kill(pid, 'SIGKILL'));
        await until('the relay is back', async () => {
            const meanwhile = await run(['peers', ...config]);
            assert.ok(meanwhile.code === EXIT.OK || /^msgserverctl: The relay is restarting/.test(meanwhile.err), meanwhile.err);
            return meanwhile.code === EXIT.OK;
        });
        await server.stop();
        await refused(['peers', ...config], EXIT.UNAVAILABLE, /no server answers at unix:.*backend\.sock: No such file.*is it running, with this configuration\?/);
        await server.start();
    });
});

test('over TCP: with the token of the configuration, and with another', async (t) => {
    const port = await freePort();
    const server = new Server({ backendHost: { bind: { host: '0.0.0.0', port }, tokenFile: 'token' } },
        { ready: false, files: { token: 'correct-horse\n' } });
    t.after(() => server.dispose());
    await server.start();
    const config = ['-c', server.directory];
    const token = path.join(server.directory, 'token');
    fs.chmodSync(token, 0o600);
    const found = await until('it answers', async () => {
        const result = await run(['peers', '--json', ...config], { env: { http_proxy: 'http://127.0.0.1:1' } });
        return result.code === EXIT.OK && result;
    });
    assert.deepEqual(JSON.parse(found.out).peers, []);
    fs.writeFileSync(token, 'another\n');
    await refused(['peers', ...config], EXIT.REFUSED, /refuses the token in .*\/token: it was changed after the server started/);
    fs.writeFileSync(token, 'correct-horse\n');
    if (root) {
        fs.chmodSync(token, 0);
        const unreadable = await run(['peers', ...config], { obedient: true });
        assert.equal(unreadable.code, EXIT.CONFIGURATION);
        assert.match(unreadable.err, /the token file .*\/token cannot be read: Permission denied[^]*does not tell where the server's backend API is/);
        fs.chmodSync(token, 0o600);
    }
    await server.stop();
    await refused(['peers', ...config], EXIT.UNAVAILABLE, /no server answers at http:\/\/0\.0\.0\.0:\d+: Connection refused/);
});

test('an encrypted mesh: whoever may not read the key asks all the same, and also while its list is broken', async (t) => {
    const directory = scratch(t);
    const [keyFile, peersFile] = ['mesh.key', 'mesh.peers'].map((name) => path.join(directory, name));
    fs.writeFileSync(peersFile, (await run(['mesh', 'keygen', keyFile])).out);
    await withServer({ mmrp: { bind: { host: '127.0.0.1', port: await freePort() }, curve: { keyFile, peersFile } } }, async (server) => {
        const asked = async (options) => {
            const { code, out, err } = await run(['peers', '-c', server.directory], options);
            assert.deepEqual([code, err], [EXIT.OK, '']);
            assert.match(out, /\nno peers\n$/);
        };
        await until('it serves', () => /event=serving .* curve=on /.test(server.log));
        await asked();
        fs.chmodSync(keyFile, 0);
        if (root) {
            await asked({ obedient: true });
        }
        fs.chmodSync(keyFile, 0o600);
        fs.writeFileSync(peersFile, 'no key\n');
        await until('the list is refused', () => /event=mesh-keys-broken/.test(server.log));
        await asked();
        fs.rmSync(peersFile);
        await asked();
    });
});

test('what answers there is something else, or older, or cuts the line', async (t) => {
    const directory = scratch(t);
    const socket = path.join(directory, 'backend.sock');
    const config = ['-c', directory];
    fs.writeFileSync(path.join(directory, 'default.yaml'), JSON.stringify({ server: {
        clientHost: { bind: { host: '127.0.0.1', port: 8080 } }, backendHost: { bind: { file: socket } } } }));
    let answer;
    const pretended = http.createServer((request, response) => answer(request, response));
    await new Promise((resolve) => { pretended.listen(socket, resolve); });
    const error = (status, code, message) => (request, response) => {
        response.writeHead(status);
        response.end(JSON.stringify({ error: { code, message } }));
    };
    for (const [pretend, code, pattern] of [
        [(request, response) => response.end('hello'), EXIT.PROTOCOL, /the answer is not understood/],
        [(request, response) => response.end('[]'), EXIT.PROTOCOL, /the answer is not understood/],
        [(request, response) => response.end('{"host":1,"peers":[]}'), EXIT.PROTOCOL, /the answer is not understood/],
        [(request, response) => { response.writeHead(302, { location: 'http://127.0.0.1:1/' }); response.end(); }, EXIT.PROTOCOL, /is no msgserver: HTTP status 302/],
        [error(404, 'notFound', 'No such path. There is GET /status.'), EXIT.PROTOCOL, /No such path/],
        [error(401, 'unauthorized', 'Send the token.'), EXIT.REFUSED, /Send the token/],
        [error(503, 'relayDown', 'The relay is restarting.'), EXIT.UNAVAILABLE, /The relay is restarting/],
        [error(504, 'timedOut', 'No answer.'), EXIT.UNAVAILABLE, /No answer/],
        [(request) => request.socket.destroy(), EXIT.UNAVAILABLE, /gave no whole answer/],
        [(request) => request.socket.end('SSH-2.0-OpenSSH\r\n'), EXIT.PROTOCOL, /is no msgserver/],
        [(request, response) => { response.writeHead(200, { 'content-length': 100 }); response.write('{'); request.socket.end(); }, EXIT.UNAVAILABLE, /gave no whole answer/],
    ]) {
        answer = pretend;
        await refused(['peers', ...config], code, pattern);
    }
    answer = error(400, 'invalidSessionKey', 'Not a session key.');
    await refused(['session', 'x', ...config], EXIT.USAGE, /Not a session key/);
    let asked;
    answer = (request, response) => {
        asked = request;
        response.end('{"host":{},"peers":[]}');
    };
    assert.equal((await run(['peers', ...config])).code, EXIT.OK);
    assert.deepEqual([asked.method, asked.url, asked.headers.authorization], ['GET', '/peers', undefined]);
    await run(['session', 'a b/c?d#e%:x~h.1', ...config]);
    assert.equal(decodeURIComponent(asked.url), '/sessions/a b/c?d#e%:x~h.1');
    assert.match(asked.url, /^\/sessions\/[^/?#]+$/);
    await new Promise((resolve) => { pretended.close(resolve); });
    // A socket that nobody listens at any more.
    const dead = net.createServer();
    await new Promise((resolve) => { dead.listen(`${socket}.dead`, resolve); });
    fs.linkSync(`${socket}.dead`, socket);
    await new Promise((resolve) => { dead.close(resolve); });
    await refused(['peers', ...config], EXIT.UNAVAILABLE, /Connection refused; is it running/);
    fs.writeFileSync(path.join(directory, 'default.yaml'), 'server: {workers: many}\n');
    const wrong = await run(['peers', ...config]);
    assert.equal(wrong.code, EXIT.CONFIGURATION);
    assert.match(wrong.err, /default\.yaml:1:[^]*server\.workers[^]*does not tell where the server's backend API is/);
});
