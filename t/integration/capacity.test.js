'use strict';
// How many connections fit: what the server says at start, and a crowd that comes back at once after
// its worker died.

const assert = require('node:assert/strict');
const net = require('node:net');
const { test } = require('node:test');
const { Server } = require('./lib/server');
const { until } = require('./lib/wait');

const capacityIn = (log) => /master (\w+): event=capacity connections=(\d+) bound="([^"]*)".*/.exec(log) || [];

test('the server says at start how many connections fit', async (t) => {
    const server = await Server.start({ workers: 2, limits: { connections: 50 } });
    t.after(() => server.dispose());
    const [line, level, connections, bound] = capacityIn(server.log);
    assert.deepEqual([level, connections, bound], ['notice', '100', 'server.limits.connections'], server.log);
    assert.ok(!line.includes('hint='), line);
});

test('it warns, with a hint, when the machine has fewer descriptors than the configuration wants', async (t) => {
    const server = await Server.start({ workers: 2, limits: { connections: 5000 } }, { descriptors: 300 });
    t.after(() => server.dispose());
    const [line, level, connections, bound] = capacityIn(server.log);
    assert.deepEqual([level, bound], ['warning', 'open files'], server.log);
    assert.ok(connections > 0 && connections < 2 * 300, line);
    assert.match(line, /wanted_per_worker=5000 .*hint="raise LimitNOFILE/);
});

// A WebSocket that is back at once, with the same key, whenever the server closes it.
class Stayer {
    constructor(server, key) {
        this.server = server;
        this.key = key;
        this.opened = 0; // upgrades that succeeded
        this.failures = [];
        this.connect();
    }

    connect() {
        const socket = net.connect(this.server.port, this.server.host);
        let received = '';
        this.socket = socket;
        this.text = '';
        socket.on('data', (data) => {
            received += data.toString('latin1');
            const end = received.indexOf('\r\n\r\n');
            if (end >= 0 && !this.upgraded) {
                this.upgraded = received.startsWith('HTTP/1.1 101');
                this.opened += this.upgraded ? 1 : 0;
                this.fails(!this.upgraded, received);
            }
            this.text = received.slice(end + 4);
        });
        socket.on('error', (error) => this.fails(!this.upgraded, error.code));
        socket.on('close', () => {
            this.fails(!this.upgraded && !this.stopped, 'closed before it was open');
            this.upgraded = false;
            if (!this.stopped) {
                this.connect();
            }
        });
        socket.write(`GET /msgstream?sessionKey=${encodeURIComponent(this.key)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n` +
            'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    }

    fails(failed, why) {
        if (failed) {
            this.failures.push(why);
        }
    }

    stop() {
        this.stopped = true;
        this.socket.destroy();
    }
}

test('a crowd that comes back at once after its worker\'s death is served without a failure', async (t) => {
    const count = process.env.FULL ? 10000 : 1000;
    const server = await Server.start({ workers: 1, limits: { connections: 15000 } });
    const { backend } = server;
    const crowd = [];
    t.after(async () => {
        crowd.forEach((stayer) => stayer.stop());
        await server.dispose();
    });
    const attached = () => until('all are attached', async () => (await backend.status()).attached_stream === count, 30000);
    const keys = await Promise.all(Array.from({ length: count }, (_, i) => backend.createSession(`fan-${i}`)));
    crowd.push(...keys.map((key) => new Stayer(server, key)));
    await attached();
    const [worker] = server.pids('client-worker');
    process.kill(worker, 'SIGKILL');
    await until('all came back', () => crowd.every((stayer) => stayer.opened === 2), 30000);
    await attached();
    for (let i = 0; i < count; i += 500) {
        await backend.send(keys.slice(i, i + 500), [['hello']]);
    }
    await until('each gets its message', () => crowd.every((stayer) => stayer.text.includes('{"1":[["hello"]]}')), 30000);
    assert.deepEqual(crowd.flatMap((stayer) => stayer.failures), []);
    assert.notDeepEqual(server.pids('client-worker'), [worker]);
});
