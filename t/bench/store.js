'use strict';
// What the store costs: messages from backends through mailboxes to clients that confirm them, with
// each engine. The servers stand side by side, and take turns in short rounds, so that what else the
// machine does meets them alike. The load comes from bench-load.

const fs = require('fs');
const { startMsgserver } = require('./lib/servers');
const { median, quantile } = require('./lib/statistics');
const { Subject } = require('./lib/subject');
const { until } = require('../integration/lib/wait');

const SESSIONS = 1000;
const WORKERS = 2;
const ROUNDS = process.env.BENCH_QUICK ? 8 : 32;
const ROUND_MS = process.env.BENCH_QUICK ? 250 : 500; // short, so that neighbours meet the same machine
const WINDOW = 1000; // messages on their way at most, over all sessions
const BULK = 50;
const MODERATE = 0.4; // of the lowest throughput with single messages, for latencies
const ENGINES = {
    memory: { engine: 'memory' },
    lmdb: { engine: 'lmdb', durability: 'process' },
    'lmdb, disk': { engine: 'lmdb', durability: 'disk' },
};

// A server with one engine, and its load.
class Engine extends Subject {
    static async startWith(name) {
        const server = await startMsgserver({ store: ENGINES[name], workers: WORKERS });
        const engine = await Engine.start(name, server, { clients: SESSIONS });
        await engine.command('confirm 1');
        return engine;
    }

    // One run; afterwards every mailbox must be empty, and every message confirmed.
    async measure(kind, command) {
        const { backend } = this.server;
        const { confirmed: confirmedBefore } = await backend.status();
        const result = await super.measure(kind, command);
        const status = await until('every mailbox is empty', async () => {
            const now = await backend.status();
            return now.pending === 0 && now;
        });
        if (status.confirmed - confirmedBefore !== result.messages) {
            throw new Error(`${this.name}: ${result.messages} sent, ${status.confirmed - confirmedBefore} confirmed`);
        }
        Object.assign(result, result.parts);
    }

    median(kind, figure) {
        return median(this.figures(kind, figure));
    }
}

// Every other round runs backwards, so that no engine is always the first.
async function takeTurns(subjects, kind, command) {
    for (let round = 0; round < ROUNDS; round += 1) {
        for (const subject of round % 2 ? [...subjects].reverse() : subjects) {
            await subject.measure(kind, command);
        }
    }
}

// Those that are compared. What one of them has the disk do would disturb the next, so the engine
// that waits for the disk is measured by itself.
async function measureTogether(...subjects) {
    for (const subject of subjects) {
        await subject.measure('warm-up', `saturate 1000 ${BULK} ${WINDOW}`);
    }
    await takeTurns(subjects, 'bulk', `saturate ${ROUND_MS} ${BULK} ${WINDOW}`);
    await takeTurns(subjects, 'single', `saturate ${ROUND_MS} 1 ${WINDOW}`);
    const lowest = Math.min(...subjects.map((subject) => subject.median('single', 'rate')));
    await takeTurns(subjects, 'pace', `pace ${ROUND_MS} ${Math.round(MODERATE * lowest)}`);
}

// A figure of lmdb over the same of memory, in the same round: the median and the quartiles.
function ratioOf(subjects, kind, figure) {
    const ratios = subjects.lmdb.results[kind].map((result, i) => result[figure] / subjects.memory.results[kind][i][figure]);
    return { median: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
}

const spread = ({ median: middle, low, high }) => `${middle.toFixed(2)} (half of the rounds: ${low.toFixed(2)} to ${high.toFixed(2)})`;

function printThroughput(subjects, kind, title) {
    console.log(`  ${title}`);
    for (const subject of Object.values(subjects)) {
        const [relay, client, load] = ['relay-worker', 'client-worker', 'loadCpu'].map((figure) => subject.median(kind, figure).toFixed(2));
        console.log(`    ${subject.name.padEnd(10)} ${String(Math.round(subject.median(kind, 'rate'))).padStart(7)} messages/s;`
            + ` processor time per message: relay ${relay} µs, client workers ${client} µs, load generator ${load} µs`);
    }
    console.log(`    lmdb/memory: throughput ${spread(ratioOf(subjects, kind, 'rate'))}; processor time of`
        + ` the server ${spread(ratioOf(subjects, kind, 'cpu'))}, of its relay ${spread(ratioOf(subjects, kind, 'relay-worker'))}`);
}

function printLatency(subjects) {
    console.log('  at a moderate rate, one message a request, from POST to receipt');
    for (const subject of Object.values(subjects)) {
        const [p50, p99] = ['p50', 'p99'].map((figure) => Math.round(subject.median('pace', figure)));
        const p99s = subject.results.pace.map((result) => result.p99);
        console.log(`    ${subject.name.padEnd(10)} ${String(Math.round(subject.median('pace', 'rate'))).padStart(7)} messages/s:`
            + ` p50 ${p50} µs, p99 ${p99} µs (half of the rounds: ${quantile(p99s, 0.25)} to ${quantile(p99s, 0.75)})`);
    }
}

async function main() {
    const subjects = {};
    try {
        for (const name of Object.keys(ENGINES)) {
            subjects[name] = await Engine.startWith(name);
        }
        await measureTogether(subjects.memory, subjects.lmdb);
        await measureTogether(subjects['lmdb, disk']);
        console.log(`store: ${SESSIONS} sessions, messages of 100 bytes, ${WORKERS} client workers, medians of ${ROUNDS} rounds`);
        printThroughput(subjects, 'bulk', `requests of ${BULK} messages`);
        printThroughput(subjects, 'single', 'requests of one message');
        printLatency(subjects);
        const ratio = ratioOf(subjects, 'bulk', 'rate');
        const rate = (name) => Math.round(subjects[name].median('bulk', 'rate'));
        const p99 = (name) => Math.round(subjects[name].median('pace', 'p99'));
        console.log(`  store_throughput_ratio lmdb/memory: ${spread(ratio)}`);
        console.log(`  store_p99_us: memory ${p99('memory')}, lmdb ${p99('lmdb')}`);
        fs.appendFileSync(process.argv[2], `${JSON.stringify({
            store_throughput_ratio: Number(ratio.median.toFixed(3)),
            store_cpu_ratio: Number(ratioOf(subjects, 'bulk', 'cpu').median.toFixed(3)),
            store_relay_cpu_ratio: Number(ratioOf(subjects, 'bulk', 'relay-worker').median.toFixed(3)),
            store_messages_per_second: { memory: rate('memory'), lmdb: rate('lmdb') },
            store_p99_us: { memory: p99('memory'), lmdb: p99('lmdb') },
        })}\n`);
    } finally {
        for (const subject of Object.values(subjects)) {
            await subject.stop();
        }
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
