'use strict';
// How many connections fit: what the server says at start, and a crowd that comes back at once after
// its worker died.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Server } = require('./lib/server');

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
