'use strict';
// What a connection costs until its client is attached: WebSockets that open, and do nothing more,
// beside Nchan's, in turns; and a crowd that comes back at once after its worker was killed.

const fs = require('fs');
const { Crowd } = require('./crowd');
const { Server } = require('../integration/lib/server');
const { until } = require('../integration/lib/wait');
const { cpuWhenQuiet, family } = require('./lib/processes');
const { median, spread } = require('./lib/statistics');
const { startNchan } = require('./peers/nchan');

const QUICK = Boolean(process.env.BENCH_QUICK);
const COUNT = QUICK ? 2000 : 5000;
const ROUNDS = QUICK ? 5 : 9;
const STORM = QUICK ? 2000 : 10000;
const AT_ONCE = 200;
const WORKERS = 1;

const startServer = (workers, count) => Server.start({
    workers,
    limits: { connections: count + 1000, hostBytes: '4GiB' },
    msgStream: { transports: { websocket: { pingInterval: '1h' } } },
});

const attached = (server, count) => until(`${count} clients are attached`,
    async () => (await server.backend.status()).attached_stream === count, 60000);

// The rounds of one server: `settle(count)` resolves once so many clients are what they should be.
class Subject {
    constructor(name, pid, crowd, settle) {
        Object.assign(this, { name, pid, crowd, settle, cpu: [] });
    }

    // Processor time per connection, in microseconds.
    async measure(remember) {
        const members = family(this.pid);
        const before = await cpuWhenQuiet(members);
        await this.crowd.open(AT_ONCE);
        await this.settle(COUNT);
        const after = await cpuWhenQuiet(members);
        await this.crowd.command('close');
        await this.settle(0);
        if (remember) {
            this.cpu.push((after.total - before.total) / COUNT);
            this.parts = Object.fromEntries(Object.keys(after).map((name) => [name, ((after[name] - before[name]) / COUNT).toFixed(1)]));
        }
    }
}

async function compare(keys) {
    const server = await startServer(WORKERS, COUNT);
    const nchan = await startNchan({ workers: WORKERS });
    const crowds = [];
    try {
        const crowd = new Crowd(server.port, COUNT, server.backendSocket);
        crowds.push(crowd);
        await crowd.command('create');
        const subjects = [new Subject('msgserver', server.process.pid, crowd, (count) => attached(server, count))];
        if (nchan) {
            crowds.push(new Crowd(nchan.port, COUNT, '/subscribe?id=c'));
            subjects.push(new Subject('nchan', nchan.pid, crowds[1], () => {}));
        } else {
            console.log('  nchan: not installed, and left out');
        }
        for (let round = -1; round < ROUNDS; round += 1) {
            for (let i = 0; i < subjects.length; i += 1) {
                await subjects[(i + round + 1) % subjects.length].measure(round >= 0);
            }
        }
        console.log(`connect: ${COUNT} WebSockets opened and attached, ${AT_ONCE} at a time, ${WORKERS} worker`);
        for (const { name, cpu, parts } of subjects) {
            console.log(`  ${name}: ${median(cpu).toFixed(1)} µs of processor time per connection; ${JSON.stringify(parts)}`);
        }
        keys.connect_cpu_us = Number(median(subjects[0].cpu).toFixed(2));
        if (nchan) {
            const ratio = spread(subjects[0].cpu.map((cpu, i) => subjects[1].cpu[i] / cpu));
            console.log(`  per processor second, times Nchan's: ${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`);
            keys.connect_vs_nchan = Number(ratio.median.toFixed(3));
            keys.connect_nchan_cpu_us = Number(median(subjects[1].cpu).toFixed(2));
        }
    } finally {
        await Promise.all(crowds.map((crowd) => crowd.stop()));
        await server.dispose();
        if (nchan) {
            await nchan.stop();
        }
    }
}

// All clients of a host whose only worker is killed.
async function storm(keys) {
    const server = await startServer(1, STORM);
    const crowd = new Crowd(server.port, STORM, server.backendSocket);
    try {
        await crowd.command('create');
        await crowd.open(AT_ONCE);
        await attached(server, STORM);
        process.kill(server.pids('client-worker')[0], 'SIGKILL');
        await crowd.command(`lost ${STORM}`);
        const { failures, ms } = await crowd.open(STORM);
        await attached(server, STORM);
        console.log(`  ${STORM} clients that come back at once after their worker's death: ${failures} failures, all open after ${Math.round(ms)} ms`);
        keys.reconnect_clients = STORM;
        keys.reconnect_failures = failures;
        keys.reconnect_ms = Math.round(ms);
    } finally {
        await crowd.stop();
        await server.dispose();
    }
}

async function main() {
    const keys = {};
    await compare(keys);
    await storm(keys);
    fs.appendFileSync(process.argv[2], `${JSON.stringify(keys)}\n`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
