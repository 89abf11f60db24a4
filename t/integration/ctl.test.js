'use strict';
// msgserverctl: what it says of a store agrees with what the server said, it changes nothing that it
// should not, and compacting loses nothing, whenever it dies.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test } = require('node:test');
const zmq = require('zeromq');
const { droppedOf } = require('./lib/backend');
const { EXIT, run, start } = require('./lib/ctl');
const { Random } = require('./lib/random');
const { Server, get } = require('./lib/server');
const { until } = require('./lib/wait');

const PAGE = 4096;
const query = (parameters) => new URLSearchParams(parameters).toString();
const root = process.getuid() === 0;

async function json(args) {
    const { code, out, err } = await run(['store', ...args, '--json']);
    assert.equal(err, '');
    return { code, ...JSON.parse(out) };
}

const digest = (file) => crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex');

function scratch(t) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-test.'));
    t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
    return directory;
}

const poll = async (server, key, confirmIds) => {
    const { body } = await get(`${server.url}?${query({
        transport: 'shortpolling', sessionKey: key, ...(confirmIds ? { confirmIds } : {}),
    })}`);
    return body === '' ? {} : JSON.parse(body);
};

const ROOM = 100;
const LIMITED = { limits: { mailboxMessages: ROOM, mailboxPolicy: 'dropOldest', mailboxBytes: '32MiB' } };

// Sessions and messages of every kind. Returns what the server says of them.
async function fill(server) {
    const { backend } = server;
    const keys = [];
    for (const actor of ['ann', 'bob', 'cid', 'dan']) {
        keys.push(await backend.createSession(actor));
    }
    const send = (to, order) => backend.must('POST', '/messages', { to, message: [['tick']], ...order });
    const [ann, bob, cid, dan] = keys;
    await send(ann, { messages: Array.from({ length: 20 }, (_, n) => [['n', { n, pad: 'x'.repeat(n * 300) }]]), message: undefined });
    await poll(server, ann, '3');
    await send(ann, { message: [['long']], ttl: '1h', receipt: 'long' });
    await send(bob, { idempotencyKey: 'a', receipt: 'first' });
    await send(bob, { idempotencyKey: 'a' });
    await send(bob, { idempotencyKey: 'b', message: [['price', 1]], replaceKey: 'gold' });
    await send(bob, { message: [['price', 2]], replaceKey: 'gold' });
    await send(bob, { message: [['brief']], ttl: '100ms', receipt: 'brief' });
    await send(bob, { message: [['last']] });
    await send(cid, { receipt: 'deleted' });
    await backend.deleteSession(cid);
    await send(dan, { messages: Array.from({ length: ROOM }, (_, n) => [['n', n]]), message: undefined });
    await send(dan, { messages: [[['a']], [['b']]], message: undefined });
    await until('the brief one is dropped', async () => (await backend.status()).dropped_ttl === 1);
    const status = await backend.status();
    const sessions = await Promise.all([ann, bob, dan].map((key) => backend.session(key)));
    const { receipts } = await backend.must('GET', '/receipts');
    return { keys: [ann, bob, dan], status, sessions, receipts, dropped: droppedOf(status) };
}

async function filled(t, config) {
    const server = await Server.start({ ...LIMITED, store: { size: '16MiB' }, ...config });
    t.after(() => server.dispose());
    const before = await fill(server);
    const directory = path.join(server.directory, 'store');
    return { server, before, directory, file: path.join(directory, 'store.mdb') };
}

function agrees(found, { status, sessions, receipts, dropped }) {
    assert.equal(found.sound, true);
    assert.equal(found.sessions, status.sessions);
    assert.equal(found.messages, status.pending);
    assert.equal(found.messageBytes, status.pending_bytes);
    assert.equal(found.placeholders, 3, 'one whose time was over, two for want of room');
    assert.equal(found.idempotencyKeys, 2);
    assert.equal(found.receipts, receipts.length);
    assert.equal(found.clusterId, sessions[0].home);
    assert.equal(found.sizeBytes, status.store_size_bytes);
    assert.ok(found.usedBytes > found.messageBytes && found.usedBytes <= status.store_size_bytes);
    assert.equal(found.balanced, true);
    for (const name of ['accepted', 'confirmed', 'dropped_ttl', 'dropped_deleted', 'dropped_replaced', 'receipts']) {
        assert.equal(found.totals[name], status[name], name);
    }
    assert.equal(status.accepted, status.confirmed + found.messages + dropped);
}

test('check says what the server said, and changes nothing', async (t) => {
    const { server, before, directory, file } = await filled(t);
    const running = await run(['store', 'check', '-c', server.directory]);
    assert.deepEqual([running.code, running.out], [EXIT.IN_USE, '']);
    assert.match(running.err, /a running server is using this store: stop it first, or check a copy/);
    const started = Date.now();
    await server.stop();
    const sum = digest(file);
    for (const where of [['-c', server.directory], [directory], [file]]) {
        const found = await json(['check', ...where]);
        assert.equal(found.code, EXIT.OK);
        agrees(found, before);
        assert.ok(Math.abs(found.lastUsed - started) < 60000, `${found.lastUsed}`);
    }
    const { code, out, err } = await run(['store', 'check', '--config-dir', server.directory]);
    assert.deepEqual([code, err], [EXIT.OK, '']);
    assert.match(out, /store\.mdb is sound\n/);
    assert.match(out, new RegExp(`waiting messages +${before.status.pending}, of ${before.status.pending_bytes} bytes`));
    assert.match(out, new RegExp(`accepted ${before.status.accepted} = confirmed ${before.status.confirmed} \\+ ` +
        `pending ${before.status.pending} \\+ dropped ${before.dropped}\n`));
    // A copy elsewhere, from where nothing can be written.
    const copy = path.join(scratch(t), 'copy');
    fs.copyFileSync(file, copy);
    fs.chmodSync(copy, 0o400);
    agrees(await json(['check', copy]), before);
    assert.equal(digest(file), sum);
    assert.deepEqual(fs.readdirSync(path.dirname(copy)), ['copy']);
    assert.deepEqual(fs.readdirSync(directory).sort(), ['lock', 'store.mdb']);
});

// As a kill between two instructions of a commit leaves it: its number is there, and its root is an old one.
function cutOffLastCommit(bytes) {
    const [ROOT, NUMBER] = [16 + 0x70, 16 + 0x80];
    const number = (page) => bytes.readBigUInt64LE(page * PAGE + NUMBER);
    const newest = number(1) > number(0) ? 1 : 0;
    bytes.copy(bytes, newest * PAGE + ROOT, (1 - newest) * PAGE + ROOT, (1 - newest) * PAGE + ROOT + 8);
    return Number(number(newest));
}

test('a commit that was cut off: check tells, compact leaves it out, and the server undoes it', async (t) => {
    const { server, before, directory, file } = await filled(t);
    await server.stop();
    const bytes = fs.readFileSync(file);
    const number = cutOffLastCommit(bytes);
    fs.writeFileSync(file, bytes);
    const found = await json(['check', directory]);
    assert.deepEqual([found.code, found.sound, found.cutOffCommit], [EXIT.OK, true, number]);
    assert.ok(found.why.length > 0);
    assert.match(found.next, /at its next start, the server undoes that commit/);
    assert.equal(found.sessions, before.status.sessions);
    const { code, out } = await run(['store', 'check', directory]);
    assert.equal(code, EXIT.OK);
    assert.match(out, new RegExp(`store\\.mdb is sound, but for its last commit, ${number}: .+\n  what now: at its next start, .*undoes`));
    assert.ok(fs.readFileSync(file).equals(bytes), 'untouched');
    const compacted = await run(['store', 'compact', directory]);
    assert.equal(compacted.code, EXIT.OK);
    assert.match(compacted.err, new RegExp(`the last commit, ${number}, is not in the new file`));
    const after = await json(['check', directory]);
    assert.equal(after.cutOffCommit, undefined);
    for (const name of ['sessions', 'messages', 'messageBytes', 'broadcasts', 'placeholders', 'receipts', 'lastUsed', 'totals']) {
        assert.deepEqual(after[name], found[name], name);
    }
    fs.writeFileSync(file, bytes);
    await server.start();
    assert.match(server.log, new RegExp(`warning: event=store-commit-undone transaction=${number} why=`));
    assert.doesNotMatch(server.log, /store-set-aside/);
    assert.equal((await server.backend.status()).sessions, found.sessions);
    await server.backend.balanced();
    await server.stop();
    assert.equal((await json(['check', directory])).cutOffCommit, undefined);
});

test('a damaged store: exit status 1, why, and what now; then the same as a file set aside', async (t) => {
    const { server, before, directory, file } = await filled(t);
    await server.stop();
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const sound = fs.readFileSync(file);
    const { usedBytes } = await json(['check', directory]);
    let damaged = 0;
    // Four bytes on each page; pages in use begin at the file's begin, but a few may be free.
    for (let n = 0; n < 30; n += 1) {
        const bytes = Buffer.from(sound);
        for (let at = 0; at < usedBytes; at += PAGE / 4) {
            bytes[at + random.below(PAGE / 4)] ^= 1 + random.below(255);
        }
        fs.writeFileSync(file, bytes);
        const found = await json(['check', directory]);
        assert.equal(found.code, found.sound ? EXIT.OK : EXIT.DAMAGED);
        damaged += found.sound ? 0 : 1;
        const refused = await run(['store', 'compact', directory]);
        assert.equal(refused.code === EXIT.DAMAGED, !found.sound, refused.err);
        assert.ok(found.sound || fs.readFileSync(file).equals(bytes), 'untouched');
    }
    assert.ok(damaged === 30, `${damaged} of 30 were found damaged`);
    sound.fill(0x5a, 2 * PAGE, usedBytes - 2 * PAGE);
    fs.writeFileSync(file, sound);
    const { code, out } = await run(['store', 'check', directory]);
    assert.equal(code, EXIT.DAMAGED);
    assert.match(out, /store\.mdb is damaged: .+\n.*at its next start, the server sets it aside as store\.damaged-/);
    await server.start();
    const [aside] = fs.readdirSync(directory).filter((name) => name.startsWith('store.damaged-'));
    const later = await run(['store', 'check', path.join(directory, aside)]); // while the server runs
    assert.equal(later.code, EXIT.DAMAGED);
    assert.match(later.out, /no server reads this file/);
    assert.equal((await server.backend.session(before.keys[0]).catch(() => null)), null);
});

test('a sound file that was set aside: checked, and left as it is by compact', async (t) => {
    const { server, before, directory } = await filled(t, { mmrp: { clusterId: 'host-one:1' } });
    await server.stop();
    server.config.mmrp = { clusterId: 'host-two:1' };
    await server.start();
    const [aside] = fs.readdirSync(directory).filter((name) => name.startsWith('store.other-host-'));
    const file = path.join(directory, aside);
    const sum = digest(file);
    const found = await json(['check', file]);
    agrees(found, before);
    assert.equal(found.clusterId, 'host-one:1');
    const { code, err } = await run(['store', 'compact', file]);
    assert.equal(code, EXIT.USAGE);
    assert.match(err, /stays as it is/);
    assert.equal(digest(file), sum);
});

// Many messages, most of which go: holes.
async function fillWithHoles(server) {
    const { backend } = server;
    const gone = await backend.createSession('gone');
    for (let n = 0; n < 20; n += 1) {
        await backend.must('POST', '/messages', { to: gone,
            messages: Array.from({ length: 5 }, () => [['pad', 'x'.repeat(50000)]]) });
    }
    const filledWith = await fill(server);
    await backend.deleteSession(gone);
    return { ...filledWith, status: await backend.status(), packs: await Promise.all(filledWith.keys.map((key) => poll(server, key))) };
}

const holding = { ...LIMITED, store: { size: '32MiB' } };

async function everythingIsDelivered(server, { keys, packs }) {
    const now = await Promise.all(keys.map((key) => poll(server, key)));
    assert.deepEqual(now, packs);
    const [result] = await server.backend.send(keys[0], [['more']]);
    assert.equal(result.outcome, 'queued');
}

test('compact: fewer pages, the same contents, the size as configured', async (t) => {
    const server = await Server.start(holding);
    t.after(() => server.dispose());
    const before = await fillWithHoles(server);
    const directory = path.join(server.directory, 'store');
    const file = path.join(directory, 'store.mdb');
    const running = await run(['store', 'compact', directory]);
    assert.equal(running.code, EXIT.IN_USE);
    await server.stop();
    const found = await json(['check', directory]);
    if (root) {
        fs.chownSync(file, 12345, 12345);
    }
    fs.writeFileSync(path.join(directory, 'store.compacting'), 'left by one that was killed');
    const compacted = await json(['compact', directory]);
    assert.equal(compacted.code, EXIT.OK);
    assert.ok(compacted.pagesBefore > 1000, JSON.stringify(compacted));
    assert.ok(compacted.pagesAfter < 100 && compacted.pagesAfter <= compacted.usedBefore, JSON.stringify(compacted));
    const state = fs.statSync(file);
    assert.equal(state.size, 32 << 20);
    assert.ok(state.blocks * 512 >= 32 << 20, 'allocated');
    assert.equal(state.mode & 0o777, 0o600);
    if (root) {
        assert.deepEqual([state.uid, state.gid], [12345, 12345], 'still that of its owner');
    }
    assert.deepEqual(fs.readdirSync(directory).sort(), ['lock', 'store.mdb']);
    assert.deepEqual({ ...await json(['check', directory]), usedBytes: 0 }, { ...found, usedBytes: 0 });
    // Another size; also a smaller one.
    for (const [size, bytes] of [['48MiB', 48 << 20], ['16MiB', 16 << 20]]) {
        fs.writeFileSync(path.join(server.directory, 'custom.yaml'), `server: {store: {size: ${size}}}\n`);
        const { code, out } = await run(['store', 'compact', '-c', server.directory]);
        assert.equal(code, EXIT.OK);
        assert.match(out, new RegExp(`compacted\n +before .*\n +after .*\n +size +${bytes} bytes`));
        assert.equal(fs.statSync(file).size, bytes);
    }
    await server.start();
    assert.equal((await server.backend.status()).store_size_bytes, 16 << 20);
    await everythingIsDelivered(server, before);
});

test('compact is killed at random instants: the old or the new store is there, and the server takes it', async (t) => {
    const random = new Random();
    t.diagnostic(`SEED=${random.seed}`);
    const server = await Server.start(holding);
    t.after(() => server.dispose());
    const before = await fillWithHoles(server);
    const directory = path.join(server.directory, 'store');
    await server.stop();
    const { usedBytes, ...found } = await json(['check', directory]);
    const holes = fs.readFileSync(path.join(directory, 'store.mdb'));
    const begun = Date.now();
    await run(['store', 'compact', directory]);
    const takes = Date.now() - begun;
    let killed = 0;
    let litter = 0;
    for (let n = 0; n < 40; n += 1) {
        fs.writeFileSync(path.join(directory, 'store.mdb'), holes);
        const compacting = start(['store', 'compact', directory]);
        setTimeout(() => compacting.child.kill('SIGKILL'), random.below(takes + 1));
        killed += (await compacting.ended).signal === 'SIGKILL' ? 1 : 0;
        litter += fs.existsSync(path.join(directory, 'store.compacting')) ? 1 : 0;
        const { usedBytes: ignored, ...now } = await json(['check', directory]);
        assert.deepEqual(now, found);
    }
    t.diagnostic(`a run takes ${takes} ms; ${killed} of 40 were killed, ${litter} left a file behind`);
    assert.ok(killed > 0);
    fs.writeFileSync(path.join(directory, 'store.compacting'), 'left by one that was killed');
    await server.start();
    assert.deepEqual(fs.readdirSync(directory).sort(), ['lock', 'store.mdb']);
    await everythingIsDelivered(server, before);
});

test('what is no store, is not there, or may not be read', async (t) => {
    const directory = scratch(t);
    const at = (name) => path.join(directory, name);
    const expect = async (args, code, pattern, options) => {
        for (const command of ['check', 'compact']) {
            const result = await run(['store', command, ...args], options);
            assert.equal(result.code, code, `${command} ${args}: ${result.out}${result.err}`);
            assert.match(result.out + result.err, pattern);
        }
    };
    await expect([at('absent')], EXIT.NO_INPUT, /absent: No such file/);
    await expect([directory], EXIT.NO_INPUT, /there is no store; a server would begin with an empty one/);
    assert.deepEqual(fs.readdirSync(directory), []);
    fs.writeFileSync(at('store.mdb'), '');
    await expect([directory], EXIT.NO_INPUT, /it is empty/);
    fs.writeFileSync(at('store.mdb'), 'no store at all '.repeat(1000));
    await expect([directory], EXIT.DAMAGED, /no LMDB file of this machine's kind/);
    await expect([at('store.mdb')], EXIT.DAMAGED, /no LMDB file of this machine's kind/);
    fs.mkdirSync(at('directory/store.mdb'), { recursive: true });
    await expect([at('directory')], EXIT.DAMAGED, /it is no file/);
    fs.chmodSync(at('store.mdb'), 0);
    await expect([directory], EXIT.OS, /store\.mdb: Permission denied/, { obedient: root });
    fs.chmodSync(at('lock'), 0);
    await expect([directory], EXIT.OS, /lock cannot be opened: Permission denied/, { obedient: root });
});

test('the configuration tells where the store is', async (t) => {
    const directory = scratch(t);
    const configured = (text) => {
        fs.writeFileSync(path.join(directory, 'default.yaml'), text);
        return run(['store', 'check', '-c', directory], { env: { STATE_DIRECTORY: '/nonexistent/state' } });
    };
    const missing = await configured('server: {workers: 1}\n');
    assert.deepEqual([missing.code, missing.out], [EXIT.NO_INPUT, '']);
    assert.match(missing.err, /\/nonexistent\/state\/store\/store\.mdb: there is no store/);
    const memory = await configured('server: {store: {engine: memory}}\n');
    assert.equal(memory.code, EXIT.NO_INPUT);
    assert.match(memory.err, /keeps nothing on the disk/);
    const wrong = await configured('server: {store: {size: much}}\n');
    assert.equal(wrong.code, EXIT.CONFIGURATION);
    assert.match(wrong.err, /default\.yaml:1:[^]*server\.store\.size[^]*name its directory as PATH/);
    fs.writeFileSync(path.join(directory, 'other.yaml'), 'server: {store: {path: /nonexistent/other, size: 1GiB}}\n');
    const layered = await run(['store', 'check', '-c', directory, '-e', 'other']);
    assert.match(layered.err, /size|other/);
    fs.writeFileSync(path.join(directory, 'default.yaml'), 'server: {workers: 1}\n');
    assert.match((await run(['store', 'check', '-c', directory, '-e', 'other'])).err, /^msgserverctl: \/nonexistent\/other\/store\.mdb: /);
});

test('keys of the mesh are those of libzmq, for their owner alone, and never overwritten', async (t) => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'msgserver-keys.'));
    t.after(() => fs.rmSync(directory, { recursive: true, force: true }));
    const file = path.join(directory, 'mesh.key');
    const made = await run(['mesh', 'keygen', file]);
    assert.deepEqual([made.code, made.err], [EXIT.OK, '']);
    assert.match(made.out, /^[^\s"'\\]{40}\n$/);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const secret = fs.readFileSync(file, 'utf8');
    assert.match(secret, /^[^\s"'\\]{40}\n$/);
    assert.notEqual(secret, made.out);
    const again = await run(['mesh', 'keygen', file]);
    assert.deepEqual([again.code, again.out], [EXIT.OS, '']);
    assert.match(again.err, /it is there already, and stays as it is/);
    assert.equal(fs.readFileSync(file, 'utf8'), secret);
    const shown = await run(['mesh', 'public-key', file]);
    assert.deepEqual([shown.code, shown.out, shown.err], [EXIT.OK, made.out, '']);

    fs.chmodSync(file, 0o644);
    const open = await run(['mesh', 'public-key', file]);
    assert.deepEqual([open.code, open.out], [EXIT.OK, made.out]);
    assert.match(open.err, /open to others.*chmod 600/);
    const { publicKey, secretKey } = zmq.curveKeyPair();
    fs.writeFileSync(file, `${secretKey}\r\n`);
    assert.equal((await run(['mesh', 'public-key', file])).out, `${publicKey}\n`);

    for (const text of ['', 'x\n', secret.repeat(2), 'a'.repeat(5000)]) {
        fs.writeFileSync(file, text);
        const { code, out, err } = await run(['mesh', 'public-key', file]);
        assert.deepEqual([code, out], [EXIT.DAMAGED, '']);
        assert.match(err, /it holds no secret key/);
    }
    assert.equal((await run(['mesh', 'public-key', `${file}.none`])).code, EXIT.NO_INPUT);
    assert.equal((await run(['mesh', 'public-key', directory])).code, EXIT.OS);
    assert.equal((await run(['mesh', 'keygen', path.join(directory, 'none', 'key')])).code, EXIT.OS);
    const full = await run(['mesh', 'keygen', '/dev/full']); // it is there, too
    assert.equal(full.code, EXIT.OS);
});

test('help, version, and what makes no sense', async () => {
    for (const args of [['help'], ['-h'], ['--help'], ['store', '--help'], ['store', 'check', '--help'], ['store', 'compact', '-h'], ['peers', '-h'], ['session', '--help'], ['mesh', '--help'], ['mesh', 'keygen', '-h']]) {
        const { code, out, err } = await run(args);
        assert.deepEqual([code, err], [EXIT.OK, ''], args.join(' '));
        for (const word of ['Usage:', 'peers', 'session KEY', 'store check', 'store compact', 'mesh keygen', 'mesh public-key', '--config-dir', '--environment', '--json', '66', '69', '75', '77']) {
            assert.ok(out.includes(word), word);
        }
    }
    assert.match((await run(['-V'])).out, /^msgserverctl \d+\.\d+\.\d+\n$/);
    const wrong = [
        [[], /a command is missing; it has peers, session, store check/], [['sotre'], /'sotre' is no command; it has peers, session, store check/],
        [['peers', 'x'], /takes no 'x'/], [['peers', '-x'], /'-x' is no option/], [['session'], /KEY is missing/], [['session', ''], /KEY is missing/],
        [['store'], /store what\?.*'store check' and 'store compact'/], [['store', 'chekc'], /'store chekc' is no command.*'store check'/],
        [['store', 'check', '--jsno'], /'--jsno' is no option/], [['store', 'check', '-c'], /'-c'.* lacks its value/],
        [['store', 'check', 'a', 'b'], /too many: 'b'/], [['store', 'check', ''], /PATH is empty/],
        [['store', 'check', '-c', '/etc', 'a'], /exclude each other/],
        [['mesh'], /mesh what\?.*'mesh keygen FILE'/], [['mesh', 'keys'], /'mesh keys' is no command.*'mesh keygen FILE'/],
        [['mesh', 'keygen'], /mesh keygen takes one FILE/], [['mesh', 'public-key', 'a', 'b'], /takes one FILE/],
        [['mesh', 'keygen', ''], /takes one FILE/],
    ];
    for (const [args, pattern] of wrong) {
        const { code, out, err } = await run(args);
        assert.deepEqual([code, out], [EXIT.USAGE, ''], args.join(' '));
        assert.match(err, pattern);
        assert.match(err, /--help/);
    }
});
