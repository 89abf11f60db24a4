'use strict';
// The command line, configuration files through the real binary, and signals.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { after, test } = require('node:test');
const { BUILD, Server, freePort, get } = require('./lib/server');
const { Raw } = require('./lib/raw');
const { until } = require('./lib/wait');

const EXIT = { OK: 0, USAGE: 64, UNAVAILABLE: 69, OS: 71, CONFIGURATION: 78 };
const CONFIG_TESTS = path.join(__dirname, '../unit/config');
const fragment = (name) => fs.readFileSync(path.join(CONFIG_TESTS, `fragment-${name}.yaml`), 'utf8');

const directories = [];
after(() => directories.forEach((directory) => fs.rmSync(directory, { recursive: true, force: true })));

// A configuration directory with these files.
function directory(files) {
    const made = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-config.'));
    directories.push(made);
    for (const [name, text] of Object.entries(files)) {
        fs.writeFileSync(path.join(made, name), text);
    }
    return made;
}

// Resolves with {code, out, err}.
function run(args, env = {}) {
    return new Promise((resolve) => {
        execFile(path.join(BUILD, 'msgserverd'), args, {
            env: { PATH: process.env.PATH, MSGSERVER_LIBEXECDIR: BUILD, ...env }, timeout: 20000,
        }, (error, out, err) => resolve({ code: error ? error.code : 0, out, err }));
    });
}

test('--help, -V and a wrong command line', async () => {
    for (const option of ['--help', '-h']) {
        const help = await run([option]);
        assert.equal(help.code, EXIT.OK);
        for (const word of ['Usage:', '-t', '-T', '-V', '--public-config', '--setting', '--config-dir', 'SIGTERM', '78']) {
            assert.ok(help.out.includes(word), word);
        }
        assert.equal(help.err, '');
    }
    for (const option of ['-V', '--version']) {
        const version = await run([option]);
        assert.equal(version.code, EXIT.OK);
        assert.match(version.out, /^msgserverd \d+\.\d+/);
        for (const library of ['libev', 'libyaml', 'ZooKeeper', 'OpenSSL', 'czmq', 'libzmq', 'client-worker']) {
            assert.match(version.out, new RegExp(`${library}.* \\d+\\.\\d+`), library);
        }
    }
    for (const wrong of [['--nonsense'], ['-x'], ['serve'], ['-c'], ['--config-dir='], ['-t', 'file.yaml']]) {
        const usage = await run(wrong);
        assert.equal(usage.code, EXIT.USAGE, wrong.join(' '));
        assert.match(usage.err, /--help/);
        assert.equal(usage.out, '');
    }
});

test('-t, -T and --public-config of a good configuration', async () => {
    const made = directory({ 'default.yaml': fragment('any-port'),
        'custom.yaml': 'server: {workers: 3, clientHost: {expose: "https://a.example"}, sessions: {ttl: 90s}}\n' });
    const check = await run(['-t', '-c', made]);
    assert.deepEqual([check.code, check.err], [EXIT.OK, '']);
    assert.match(check.out, /valid/);
    const printed = await run(['-T', '--config-dir', made]);
    assert.deepEqual([printed.code, printed.err], [EXIT.OK, '']);
    assert.match(printed.out, /^ {4}workers: 3$/m);
    assert.match(printed.out, /^ {8}ttl: 90s$/m);
    assert.match(printed.out, /192\.168\.2/);
    const again = await run(['-T', '-c', directory({ 'default.yaml': printed.out })]);
    assert.deepEqual([again.code, again.err, again.out], [EXIT.OK, '', printed.out], 'what -T prints is a configuration');
    const config = await run(['--public-config', '-c', made]);
    assert.equal(config.out, '{"transports":{"longpolling":{"url":"https://a.example/msgstream","heartbeat":60},' +
        '"shortpolling":{"url":"https://a.example/msgstream"},"websocket":{"url":"https://a.example/msgstream"}},' +
        '"detect":["websocket","longpolling","shortpolling"]}\n');
    const value = async (key, where = made) => (await run(['--setting', key, '-c', where])).out;
    assert.equal(await value('server.clientHost.expose'), 'https://a.example\n');
    assert.equal(await value('server.store.size'), '1GiB\n');
    assert.equal(await value('server.store.path'), '\n', 'not set');
    for (const key of ['server.store', 'derived.backendToken', '']) {
        const unknown = await run(['--setting', key, '-c', made]);
        assert.deepEqual([unknown.code, unknown.out], [EXIT.USAGE, '']);
        assert.match(unknown.err, /no key/);
    }
    assert.equal((await run(['-t', '-c', '/nonexistent/msgserver'])).code, EXIT.CONFIGURATION);
    const empty = await run(['-t', '-c', directory({})]);
    assert.equal(empty.code, EXIT.OK, 'missing layers are no error');
});

test('layers: default, production, marathon, custom, environment', async () => {
    const made = directory({
        'default.yaml': 'server: {serviceName: default, workers: 1, limits: {sessions: 1, connections: 1, mailboxMessages: 1}}\n',
        'production.yaml': 'server: {workers: 2, limits: {connections: 2, mailboxMessages: 2}}\n',
        'marathon.json': '{"server": {"workers": 3, "limits": {"mailboxMessages": 3}}}\n',
        'custom.yaml': 'server: {workers: 4}\n',
        'environment.yaml': 'server: {workers: "WORKERS:int", serviceName: NAME}\n',
    });
    const values = async (args, env) => {
        const { out, err, code } = await run(['-T', '-c', made, ...args], env);
        assert.equal(code, EXIT.OK);
        assert.ok(err === '' || /^[^\n]*config-layer-missing[^\n]*absent\.yaml[^\n]*\n$/.test(err), err);
        return ['serviceName', 'workers', 'sessions', 'connections', 'mailboxMessages']
            .map((key) => new RegExp(`^ *${key}: "?(\\w+)"?$`, 'm').exec(out)[1]).join(' ');
    };
    assert.equal(await values([], {}), 'default 4 1 1 1');
    assert.equal(await values([], { NODE_ENV: 'production' }), 'default 4 1 2 2');
    assert.equal(await values([], { NODE_ENV: ' production , marathon ' }), 'default 4 1 2 3');
    assert.equal(await values(['-e', 'marathon,production'], {}), 'default 4 1 2 2');
    assert.equal(await values([], { MSGSERVER_ENV: 'production,marathon', WORKERS: '5', NAME: 'n' }), 'n 5 1 2 3');
    assert.equal(await values(['-e', 'absent'], { WORKERS: '' }), 'default 4 1 1 1');
});

test('every malformed file: file:line:column, what is wrong, what is accepted; status 78', async () => {
    const bad = path.join(CONFIG_TESTS, 'bad');
    const expected = new Map(fs.readdirSync(bad).filter((name) => name.endsWith('.yaml')).map((name) => [name, '']));
    for (const line of fs.readFileSync(path.join(CONFIG_TESTS, 'bad.expected'), 'latin1').trimEnd().split('\n')) {
        const [name] = line.split(':');
        expected.set(name, `${expected.get(name)}${line}\n`);
    }
    assert.ok(expected.size >= 50);
    const names = [...expected.keys()];
    const check = async () => {
        for (let name = names.pop(); name; name = names.pop()) {
            const made = directory({});
            const file = path.join(made, 'default.yaml');
            fs.copyFileSync(path.join(bad, name), file);
            const { code, err } = await run(['-t', '-c', made]);
            const text = Buffer.from(err).toString('utf8').replaceAll(file, name);
            assert.equal(text, Buffer.from(expected.get(name), 'latin1').toString('utf8'), name);
            assert.equal(code, /: error: /.test(err) ? EXIT.CONFIGURATION : EXIT.OK, name);
        }
    };
    await Promise.all([check(), check(), check()]);
});

test('a wrong configuration starts nothing, and the log says where it is wrong', async () => {
    const server = new Server({ workers: 'many', clientHost: { bind: '0.0.0.0:8080' } }, { ready: false });
    await server.start();
    const { code } = await server.exited;
    assert.equal(code, EXIT.CONFIGURATION);
    assert.match(server.log, /default\.yaml:1:\d+/);
    const quoted = server.log.split('\n').filter((line) => line.includes('0.0.0.0:8080'));
    assert.match(quoted.join('\n'), /what="(?:[^"\\]|\\.)*\\"0\.0\.0\.0:8080\\"(?:[^"\\]|\\.)*"$/);
    assert.doesNotMatch(server.log, /worker-ready/);
    await server.dispose();
});

// Nothing listens on this port of 127.0.0.1: it stands for the fragment's ZooKeeper at 192.168.2.21.
const closedPort = () => freePort();
const onLoopback = (more = {}) => JSON.stringify({ server: { workers: 2, clientHost: { bind: { host: '127.0.0.1' } },
    mmrp: { bind: { host: '127.0.0.1' } }, ...more } });

// A server whose default.yaml is the given text.
async function startWith(text, files, env) {
    const server = new Server({}, { env, ready: false, files: { 'default.yaml': text, ...files } });
    await server.start();
    server.backend.socketPath = await until('the server is serving', () => {
        if (server.exit) {
            throw new Error(server.log);
        }
        const serving = /serving .*clients=(\S+) backends=unix:(\S+)/.exec(server.log);
        server.served = serving && serving[1];
        return serving && serving[2];
    }, 20000);
    return server;
}

test('the deployment\'s fragment runs unchanged: PORT0, PORT1, zookeeper that is not there', async () => {
    const [port0, port1, zookeeper] = [await freePort(), await freePort(), await closedPort()];
    const server = await startWith(fragment('deployment'), {
        'custom.yaml': onLoopback({ serviceDiscovery: { options: { hosts: `127.0.0.1:${zookeeper}` } } }),
        'production.yaml': 'logging: {server: }\n', // an empty section wipes nothing; it is only unknown
    }, { PORT0: String(port0), PORT1: String(port1), PORT: String(port0), PORTS: `${port0},${port1}`,
        NODE_ENV: 'production,marathon', MESOS_TASK_ID: 'a.b', HOST: 'x' });
    try {
        assert.equal(server.served.includes(`:${port0}`), true, server.served);
        const key = await server.backend.createSession('marathon');
        await server.backend.send(key, [['x']]);
        const url = `http://127.0.0.1:${port0}`;
        const answer = await get(`${url}/msgstream?${new URLSearchParams({ transport: 'shortpolling', sessionKey: key })}`);
        assert.equal(answer.body, '{"1":[["x"]]}');
        assert.equal((await get(`${url}/check.txt`)).status, 200, 'Marathon\'s health check');
        for (let i = 0; i < 3; i++) {
            const probe = await Raw.open({ host: '127.0.0.1', port: port1 }); // Marathon's TCP check
            probe.destroy();
        }
        await until('the log says that ZooKeeper is not there', () => /zookeeper|discovery/i.test(server.log));
        assert.ok(key.endsWith(`.${port1}`), 'the home is named by its MMRP port');
        assert.equal(server.exit, null);
    } finally {
        const { code, ms } = await server.stop();
        await server.dispose();
        assert.equal(code, 0);
        assert.ok(ms < 3000, `stopped after ${ms} ms`);
    }
});

test('the other fragment runs unchanged: any MMRP port', async () => {
    const port = await freePort();
    const server = await startWith(fragment('any-port'), {
        'custom.yaml': onLoopback({ clientHost: { bind: { host: '127.0.0.1', port } } }) });
    try {
        const mmrp = /serving .*mmrp=tcp:\/\/127\.0\.0\.1:(\d+)/.exec(server.log);
        assert.ok(mmrp && Number(mmrp[1]) > 0, server.log);
        const key = await server.backend.createSession('any');
        assert.ok(key.endsWith(`.${mmrp[1]}`));
    } finally {
        await server.dispose();
    }
});

test('a PORT that the environment does not give is an error with its place', async () => {
    const made = directory({ 'default.yaml': fragment('deployment') });
    const missing = await run(['-t', '-c', made], { PORT0: '15000' });
    assert.equal(missing.code, EXIT.CONFIGURATION);
    assert.match(missing.err, /default\.yaml:12:19: error: .*PORT1/);
    assert.equal((await run(['-t', '-c', made], { PORT0: '15000', PORT1: '15001' })).code, EXIT.OK);
    assert.equal((await run(['-t', '-c', made], { PORT0: '15000', PORT1: 'x' })).code, EXIT.CONFIGURATION);
    const sed = fragment('deployment').replace('PORT0', '15000').replace('PORT1', '15001');
    assert.equal((await run(['-t', '-c', directory({ 'default.yaml': sed })])).code, EXIT.OK);
});

test('a port in use: status 71 and a sentence', async () => {
    const taken = net.createServer();
    await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address();
    for (const config of [
        { clientHost: { bind: { host: '127.0.0.1', port } } },
        { mmrp: { bind: { host: '127.0.0.1', port } } },
    ]) {
        const server = new Server(config, { ready: false });
        await server.start();
        const start = Date.now();
        const { code } = await server.exited;
        const name = Object.keys(config)[0];
        assert.equal(code, name === 'clientHost' ? EXIT.OS : EXIT.UNAVAILABLE, name); // the relay binds MMRP
        assert.ok(Date.now() - start < 8000);
        assert.match(server.log, new RegExp(`${port}.*(in use|taken)|(in use|taken).*${port}`, 'i'), name);
        await server.dispose();
    }
    await new Promise((resolve) => taken.close(resolve));
});

test('SIGTERM and SIGINT stop with 0 in under 3 s, a repeated SIGTERM is harmless', async () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
        const server = await Server.start({});
        const { code, ms } = await server.stop(signal);
        assert.equal(code, 0, signal);
        assert.ok(ms < 3000);
        await server.dispose();
    }
    const server = await Server.start({});
    const key = await server.backend.createSession('stopping');
    const poll = get(`${server.url}?${new URLSearchParams({ transport: 'longpolling', sessionKey: key })}`);
    await until('the client is attached', async () => (await server.backend.session(key)).attached);
    // Marathon signals the whole tree, and sends more than one.
    for (const pid of [...server.pids('client-worker'), ...server.pids('relay-worker'), server.process.pid]) {
        process.kill(pid, 'SIGTERM');
    }
    server.process.kill('SIGTERM');
    assert.equal((await poll).status, 204, 'the client is told');
    const { code } = await server.exited;
    assert.equal(code, 0);
    await server.dispose();
});

test('a second SIGINT exits at once', async () => {
    const server = await Server.start({});
    // A stopped worker cannot end in good order, so that the second signal comes in time.
    const [worker] = server.pids('client-worker');
    process.kill(worker, 'SIGSTOP');
    server.process.kill('SIGINT');
    await until('the first is seen', () => server.log.includes('stopping'));
    const start = Date.now();
    server.process.kill('SIGINT');
    const { code } = await server.exited;
    assert.equal(code, 130);
    assert.ok(Date.now() - start < 500);
    process.kill(worker, 'SIGKILL');
    await server.dispose();
});

test('SIGHUP checks the configuration, and everybody lives', async () => {
    const server = await Server.start({ workers: 1 });
    const pids = () => [server.process.pid, ...server.pids('client-worker'), ...server.pids('relay-worker')].join();
    const before = pids();
    const file = path.join(server.directory, 'default.yaml');
    const good = fs.readFileSync(file, 'utf8');
    for (const [text, said] of [
        [good, /configuration-checked.*valid/],
        [good.replace('"workers":1', '"workers":2'), /configuration-changed.*server\.workers/],
        ['server: [', /configuration-checked.*wrong/],
    ]) {
        fs.writeFileSync(file, text);
        server.process.kill('SIGHUP');
        await until(`the log says ${said}`, () => said.test(server.log));
        assert.equal(pids(), before);
        await server.backend.createSession('after SIGHUP');
    }
    await server.dispose();
});
