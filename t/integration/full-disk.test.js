'use strict';
// A disk of its own, a small tmpfs, that has no room: at the start the server says so; later it does
// the server no harm. Also disks that may not be written.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const { BUILD, Server, alive, children, get } = require('./lib/server');
const { until } = require('./lib/wait');

const MIB = 1 << 20;
const query = (parameters) => new URLSearchParams(parameters).toString();

function mount(...args) {
    const { status, stderr } = spawnSync('mount', args, { encoding: 'utf8' });
    return status === 0 ? null : `mount ${args.join(' ')}: ${stderr}`;
}

// Why there can be no disk of our own, or false.
function noDisk() {
    if (process.getuid() !== 0) {
        return 'only root mounts a file system';
    }
    const probe = fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'msgserver-disk.'));
    const why = mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', probe);
    if (!why) {
        spawnSync('umount', [probe]);
    }
    fs.rmdirSync(probe);
    return why || false;
}

const skip = noDisk();

// A tmpfs that is gone after the test, however that ends, and a server whose store lies on it.
class Disk {
    constructor(t, size, store = {}) {
        this.server = new Server({ limits: { mailboxBytes: '64MiB', mailboxMessages: 100000 } });
        this.directory = path.join(this.server.directory, 'disk');
        this.store = path.join(this.directory, 'store');
        this.server.config.store = { path: this.store, size: '16MiB', ...store };
        fs.mkdirSync(this.directory);
        assert.equal(mount('-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', this.directory), null);
        this.onExit = () => this.unmount();
        process.on('exit', this.onExit);
        t.after(async () => {
            await this.server.stop().catch(() => {});
            this.unmount();
            process.removeListener('exit', this.onExit);
            this.server.exit = this.server.exit || { code: null };
            await this.server.dispose();
        });
    }

    unmount() {
        spawnSync('umount', ['--lazy', this.directory]);
    }

    remount(...options) {
        assert.equal(mount('-o', `remount,${options.join()}`, this.directory), null);
    }

    // To the last byte.
    fill() {
        const file = fs.openSync(path.join(this.directory, 'filler'), 'a');
        for (const block of [MIB, 4096, 1]) {
            try {
                for (;;) {
                    fs.writeSync(file, Buffer.alloc(block));
                }
            } catch (error) {
                assert.equal(error.code, 'ENOSPC');
            }
        }
        fs.closeSync(file);
        assert.equal(fs.statfsSync(this.directory).bfree, 0);
    }

    free() {
        fs.rmSync(path.join(this.directory, 'filler'));
    }

    files() {
        return fs.readdirSync(this.store).sort();
    }

    // Starts the server, which is to give up; returns the sentence.
    async refused() {
        this.server.log = '';
        await assert.rejects(this.server.start(), /msgserverd ended/);
        assert.deepEqual(this.server.exit, { code: 69, signal: null });
        assert.match(this.server.log, /master error: event=start-failed why="relay-worker: .*"\n/);
        assert.doesNotMatch(this.server.log, /link-failed|store-set-aside/);
        return /event=start-failed why="relay-worker: (.*)"\n/.exec(this.server.log)[1];
    }
}

const poll = async (server, key, confirmIds) => {
    const { status, body } = await get(`${server.url}?${query({
        transport: 'shortpolling', sessionKey: key, ...(confirmIds ? { confirmIds } : {}),
    })}`);
    assert.ok(status === 200 || status === 204, `${status} ${body}`);
    return body === '' ? {} : JSON.parse(body);
};

function saysWhatToDo(why, disk) {
    assert.ok(why.startsWith('there is no room for the store (No space left on device): make room for 16MiB in ' +
        `${disk.store}, or lower server.store.size, or set another server.store.path`), why);
}

test('a disk too small for the store: the server says what, where and what to do', { skip }, async (t) => {
    const disk = new Disk(t, '12m');
    saysWhatToDo(await disk.refused(), disk);
    assert.deepEqual(disk.files(), ['lock'], 'and takes no room meanwhile');
    disk.fill();
    saysWhatToDo(await disk.refused(), disk);
    assert.deepEqual(disk.files(), ['lock']);
    disk.free();
    disk.remount('size=24m');
    await disk.server.start();
    const key = await disk.server.backend.createSession('bob');
    assert.equal((await disk.server.backend.send(key, [['one']]))[0].outcome, 'queued');
    // A file that lost its room, as a copy without its holes.
    await disk.server.stop();
    const file = path.join(disk.store, 'store.mdb');
    assert.equal(spawnSync('fallocate', ['--punch-hole', '--offset', `${8 * MIB}`, '--length', `${8 * MIB}`, file]).status, 0);
    disk.fill();
    saysWhatToDo(await disk.refused(), disk);
    disk.free();
    await disk.server.start();
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});

test('a damaged store keeps its room when it is set aside: the new one is smaller, and the server starts', { skip }, async (t) => {
    const disk = new Disk(t, '23m');
    await disk.server.start();
    await disk.server.stop();
    const file = fs.openSync(path.join(disk.store, 'store.mdb'), 'r+');
    fs.writeSync(file, Buffer.alloc(16 * MIB, 'damage')); // all of its room is used
    fs.closeSync(file);
    await disk.server.start();
    const aside = disk.files().find((name) => /^store\.damaged-/.test(name));
    assert.ok(aside);
    assert.match(disk.server.log, /warning: event=store-smaller bytes=4194304 of=16777216 why=".*" action="make room/);
    const { backend } = disk.server;
    assert.equal((await backend.status()).store_size_bytes, 4 * MIB);
    const key = await backend.createSession('bob');
    assert.equal((await backend.send(key, [['one']]))[0].outcome, 'queued');
    await disk.server.stop();
    await disk.server.start();
    assert.equal((await disk.server.backend.status()).store_size_bytes, 4 * MIB, 'it stays so while there is no room');
    // With room again, it has its size again, and what it held.
    fs.rmSync(path.join(disk.store, aside));
    await disk.server.stop();
    await disk.server.start();
    assert.equal((await disk.server.backend.status()).store_size_bytes, 16 * MIB);
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});

test('a store that is set aside gives back what it never used', { skip }, async (t) => {
    const disk = new Disk(t, '24m');
    await disk.server.start();
    const key = await disk.server.backend.createSession('bob');
    await disk.server.backend.send(key, [['one']]);
    await disk.server.stop();
    const { config } = disk.server;
    disk.server.config = { ...config, mmrp: { clusterId: 'another-host:1' } };
    await disk.server.start();
    const aside = disk.files().find((name) => /^store\.other-host-/.test(name));
    const { size, blocks } = fs.statSync(path.join(disk.store, aside));
    assert.equal(size, 16 * MIB);
    assert.ok(blocks * 512 < MIB, `${blocks} blocks`);
    assert.equal((await disk.server.backend.status()).store_size_bytes, 16 * MIB);
    // Put back, it is what it was.
    await disk.server.stop();
    fs.renameSync(path.join(disk.store, aside), path.join(disk.store, 'store.mdb'));
    disk.server.config = config;
    await disk.server.start();
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});

for (const durability of ['process', 'disk']) {
    test(`the disk is full to the last byte, durability ${durability}: all goes on as before`, { skip }, async (t) => {
        const disk = new Disk(t, '32m', { durability });
        const { server } = disk;
        await server.start();
        const key = await server.backend.createSession('bob');
        disk.fill();
        const expected = {};
        const send = async (count) => {
            for (let n = 0; n < count; n += 1) {
                const message = [['n', { n, pad: 'x'.repeat(n % 7 * 2000) }]];
                const [result] = await server.backend.send(key, message);
                assert.equal(result.outcome, 'queued', JSON.stringify(result));
                expected[result.ids[0]] = message;
            }
        };
        // Packs are limited, so that it takes several.
        const confirm = async (count) => {
            const left = Object.keys(expected).length - count;
            let ids = [];
            do {
                const pack = await poll(server, key, ids.join());
                ids = Object.keys(pack);
                assert.ok(ids.length > 0, 'there is more');
                for (const id of ids) {
                    assert.equal(JSON.stringify(pack[id]) === JSON.stringify(expected[id]), true, `message ${id}`);
                    delete expected[id];
                }
            } while (Object.keys(expected).length > left);
            await poll(server, key, ids.join());
            assert.equal((await server.backend.session(key)).pending, Object.keys(expected).length);
        };
        const confirmAll = () => confirm(Object.keys(expected).length);
        await send(300);
        await confirm(100);
        const [relay] = server.pids('relay-worker');
        process.kill(relay, 'SIGKILL');
        await until('a new relay has everything', async () => !alive(relay) &&
            (await server.backend.session(key)).pending === Object.keys(expected).length, 20000);
        await send(100);
        await confirm(100);
        const pids = [server.process.pid, ...children(server.process.pid).map((child) => child.pid)];
        pids.forEach((pid) => process.kill(pid, 'SIGKILL'));
        await server.exited;
        await until('all are gone', () => !pids.some(alive));
        await server.start();
        await send(100);
        await confirm(100);
        await server.stop();
        await server.start();
        // The store, not the disk, says when it is full; and has room again when messages are confirmed.
        let outcome = 'queued';
        const big = [['big', 'x'.repeat(60000)]];
        for (let n = 0; n < 1000 && outcome === 'queued'; n += 1) {
            const [result] = await server.backend.send(key, big);
            ({ outcome } = result);
            if (outcome === 'queued') {
                expected[result.ids[0]] = big;
            } else {
                assert.equal(result.limit, 'store');
            }
        }
        assert.equal(outcome, 'overLimit');
        await confirmAll();
        await send(10);
        assert.equal(fs.statfsSync(disk.directory).bfree, 0);
        disk.free();
        await send(10);
        await confirmAll();
        const status = await server.backend.status();
        assert.deepEqual([status.accepted, status.pending], [status.confirmed, 0]);
        assert.doesNotMatch(server.log, /store-failed|store-set-aside|store-unbalanced/);
    });
}

test('a disk that may not be written: the server says so, and touches nothing', { skip }, async (t) => {
    const disk = new Disk(t, '24m');
    disk.remount('ro');
    assert.equal(await disk.refused(), `the store's directory ${disk.store} cannot be used: Read-only file system`);
    disk.remount('rw');
    await disk.server.start();
    const key = await disk.server.backend.createSession('bob');
    await disk.server.backend.send(key, [['one']]);
    await disk.server.stop();
    disk.remount('ro');
    assert.equal(await disk.refused(), `the store's directory ${disk.store} cannot be used: Read-only file system`);
    disk.remount('rw');
    await disk.server.start();
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});

test('permissions that lack: the server says so, and a store that it may not read is not set aside', { skip }, async (t) => {
    const disk = new Disk(t, '24m');
    await disk.server.start();
    const key = await disk.server.backend.createSession('bob');
    await disk.server.backend.send(key, [['one']]);
    await disk.server.stop();
    disk.server.options.obedient = true;
    const file = path.join(disk.store, 'store.mdb');
    fs.chmodSync(file, 0);
    assert.equal(await disk.refused(), `the store ${file} cannot be read: Permission denied`);
    fs.chmodSync(file, 0o400);
    assert.equal(await disk.refused(), `the store ${file} cannot be made 16MiB large: Permission denied`);
    fs.rmSync(path.join(disk.store, 'lock'));
    fs.chmodSync(disk.store, 0o500);
    assert.equal(await disk.refused(), `the store's directory ${disk.store} cannot be used: Permission denied`);
    fs.chmodSync(disk.store, 0o700);
    fs.chmodSync(file, 0o600);
    assert.deepEqual(disk.files(), ['store.mdb']);
    await disk.server.start();
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});

test('store compact without room for a second file: says so, and leaves the first one alone', { skip }, async (t) => {
    const disk = new Disk(t, '24m');
    await disk.server.start();
    const key = await disk.server.backend.createSession('bob');
    await disk.server.backend.send(key, [['one']]);
    await disk.server.stop();
    const compact = () => spawnSync(path.join(BUILD, 'msgserverctl'), ['store', 'compact', disk.store], { encoding: 'utf8' });
    const { status, stderr } = compact();
    assert.equal(status, 71);
    assert.match(stderr, /not compacted: the disk needs room for a second file of 16777216 bytes in .*: No space left on device\n$/);
    assert.deepEqual(disk.files(), ['lock', 'store.mdb']);
    disk.remount('size=40m');
    assert.equal(compact().status, 0);
    await disk.server.start();
    assert.deepEqual(await poll(disk.server, key), { 1: [['one']] });
});
