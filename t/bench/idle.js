'use strict';
// The user memory of an idle WebSocket: what all processes of the server hold privately, with and
// without N sessions whose clients are attached and silent, and once they left and their sessions
// are gone. Kernel memory (socket buffers) is not in it. Each client has received and confirmed one
// message first, as a live client has. `run.sh --connections N` takes more of them.

const fs = require('fs');
const { Server, children } = require('../integration/lib/server');
const { until } = require('../integration/lib/wait');
const { Crowd } = require('./crowd');

const COUNT = Number(process.env.BENCH_CONNECTIONS) || (process.env.BENCH_QUICK ? 4000 : 100000);
const PER_WORKER = 15000; // connections: descriptors are often limited to 20,000
const AT_ONCE = 1000;

// Anonymous memory in bytes, by program; what is shared with others counts by its share.
function memoryOf(server) {
    const found = { total: 0 };
    for (const { pid, name } of [{ pid: server.process.pid, name: 'msgserverd' }, ...children(server.process.pid)]) {
        const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
        const bytes = Number(/^Pss_Anon:\s+(\d+) kB/m.exec(rollup)[1]) * 1024;
        found[name] = (found[name] || 0) + bytes;
        found.total += bytes;
    }
    return found;
}

const mebibytes = (bytes) => (bytes / (1 << 20)).toFixed(1);

// The server gives memory back a second or two after the last change; it tells nobody.
const calm = () => new Promise((resolve) => { setTimeout(resolve, 4000); });

async function attached(server, count) {
    let status;
    await until(`${count} clients are attached, and all is confirmed`, async () => {
        status = await server.backend.status();
        return status.attached_stream === count && status.pending === 0;
    }, 120000);
    return status;
}

async function measure(server, crowd) {
    const before = memoryOf(server);
    await crowd.command('create');
    await crowd.command('greet');
    const { failures, ms } = await crowd.open(AT_ONCE);
    await attached(server, COUNT);
    await calm();
    const during = memoryOf(server);
    console.log(`idle: ${COUNT} idle WebSockets, ${server.workers} client workers; opened in ${Math.round(ms)} ms, ${failures} failures`);
    for (const name of Object.keys(during).filter((key) => key !== 'total')) {
        console.log(`  ${name}: ${Math.round((during[name] - before[name]) / COUNT)} bytes per session`);
    }
    await crowd.command('close');
    await attached(server, 0);
    await crowd.command('delete');
    await calm();
    const after = memoryOf(server);
    console.log(`  MiB before, during and after: ${['total', 'relay-worker', 'client-worker'].map((name) =>
        `${name} ${[before, during, after].map((memory) => mebibytes(memory[name])).join(' ')}`).join(', ')}`);
    return {
        idle_user_bytes_per_session: Math.round((during.total - before.total) / COUNT),
        idle_connections: COUNT,
        idle_failures: failures,
        idle_memory_after_vs_before: Number((after.total / before.total).toFixed(3)),
        idle_memory_given_back: Number(((during.total - after.total) / (during.total - before.total)).toFixed(3)),
    };
}

async function main() {
    const server = await Server.start({
        workers: Math.max(process.env.BENCH_QUICK ? 2 : 8, Math.ceil(COUNT / PER_WORKER)),
        store: { size: `${Math.max(64, Math.ceil(COUNT / 1000))}MiB` },
        limits: { connections: PER_WORKER + 4000, sessions: 2 * COUNT, hostBytes: '8GiB' },
        msgStream: { transports: { websocket: { pingInterval: '1h' } } },
    });
    const crowd = new Crowd(server.port, COUNT, server.backendSocket);
    try {
        const figures = await measure(server, crowd);
        for (const [name, figure] of Object.entries(figures)) {
            console.log(`  ${name}: ${figure}`);
        }
        fs.appendFileSync(process.argv[2], `${JSON.stringify(figures)}\n`);
    } finally {
        await crowd.stop();
        await server.dispose();
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
