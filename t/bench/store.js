'use strict';
// What the store costs: messages from backends through mailboxes to clients that confirm them, with
// each engine. All servers stand side by side, and one after the other has its turn, round by round,
// so that what else the machine does meets them alike. The load comes from bench-client.

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { BUILD, Server, children } = require('../integration/lib/server');
const { until } = require('../integration/lib/wait');

const SESSIONS = 1000;
const WORKERS = 2;
const ROUNDS = process.env.BENCH_QUICK ? 3 : 7;
const SECONDS = process.env.BENCH_QUICK ? 1 : 3;
const WINDOW = 1000; // messages on their way at most, over all sessions
const BULK = 50;
const MODERATE = 0.4; // of the throughput, for latencies
const ENGINES = {
    memory: { engine: 'memory' },
    lmdb: { engine: 'lmdb', durability: 'process' },
    'lmdb, disk': { engine: 'lmdb', durability: 'disk' },
};

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// Processor time that each kind of process has taken, in microseconds.
function cpuOf(server) {
    const used = {};
    for (const { pid, name } of children(server.process.pid)) {
        for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
            const [nanoseconds] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
            used[name] = (used[name] || 0) + Number(nanoseconds) / 1000;
        }
    }
    return used;
}

// A server with one engine, and its load.
class Subject {
    static async start(name) {
        const subject = new Subject(name);
        try {
            await subject.start();
        } catch (error) {
            await subject.stop();
            throw error;
        }
        return subject;
    }

    constructor(name) {
        this.name = name;
        this.results = { 'warm-up': [], bulk: [], single: [], pace: [] };
    }

    async start() {
        this.server = new Server({
            workers: WORKERS,
            msgStream: { transports: { websocket: { pingInterval: '1h' } } },
        });
        this.server.config.store = { ...ENGINES[this.name], path: path.join(this.server.directory, 'store') };
        await this.server.start();
        const keys = [];
        for (let i = 0; i < SESSIONS; i += 1) {
            keys.push(await this.server.backend.createSession(`player-${i}`, { ttl: '1d' }));
        }
        this.load = spawn(path.join(BUILD, 'bench-client'), [this.server.backendSocket, this.server.port],
            { stdio: ['pipe', 'pipe', 'inherit'] });
        this.load.stdin.on('error', () => {}); // the answer that does not come tells
        this.answers = readline.createInterface({ input: this.load.stdout })[Symbol.asyncIterator]();
        this.load.stdin.write(`${keys.join('\n')}\n\n`);
        await this.answer();
    }

    async answer() {
        const { value, done } = await this.answers.next();
        if (done) {
            throw new Error(`bench-client gave up on ${this.name}\n--- log\n${this.server.log}`);
        }
        return value;
    }

    // One run; afterwards every mailbox must be empty, and every message confirmed.
    async measure(kind, command) {
        const { confirmed: confirmedBefore } = await this.server.backend.status();
        const before = cpuOf(this.server);
        this.load.stdin.write(`${command}\n`);
        const result = JSON.parse(await this.answer());
        const status = await until('every mailbox is empty', async () => {
            const now = await this.server.backend.status();
            return now.pending === 0 && now;
        });
        const after = cpuOf(this.server);
        if (status.confirmed - confirmedBefore !== result.messages) {
            throw new Error(`${this.name}: ${result.messages} sent, ${status.confirmed - confirmedBefore} confirmed`);
        }
        result.rate = result.messages / result.seconds;
        result.loadCpu = result.ownSeconds * 1e6 / result.messages;
        for (const [name, used] of Object.entries(after)) {
            result[name] = (used - before[name]) / result.messages;
        }
        result.cpu = result['relay-worker'] + result['client-worker'];
        this.results[kind].push(result);
    }

    median(kind, figure) {
        return median(this.results[kind].map((result) => result[figure]));
    }

    async stop() {
        if (this.load) {
            this.load.stdin.end();
        }
        await this.server.dispose();
    }
}

async function measureAll(subjects) {
    for (const subject of Object.values(subjects)) {
        await subject.measure('warm-up', `saturate 1 ${BULK} ${WINDOW}`);
    }
    for (let round = 0; round < ROUNDS; round += 1) {
        for (const subject of Object.values(subjects)) {
            await subject.measure('bulk', `saturate ${SECONDS} ${BULK} ${WINDOW}`);
            await subject.measure('single', `saturate ${SECONDS} 1 ${WINDOW}`);
        }
    }
    const paceOf = (...names) => Math.round(MODERATE * Math.min(...names.map((name) => subjects[name].median('single', 'rate'))));
    const pace = paceOf('memory', 'lmdb');
    const paces = { memory: pace, lmdb: pace, 'lmdb, disk': Math.min(pace, paceOf('lmdb, disk')) };
    for (let round = 0; round < ROUNDS; round += 1) {
        for (const subject of Object.values(subjects)) {
            await subject.measure('pace', `pace ${SECONDS} ${paces[subject.name]}`);
        }
    }
}

// A figure of lmdb over the same of memory, in the same round: the median, the least and the most.
function ratioOf(subjects, kind, figure) {
    const ratios = subjects.lmdb.results[kind].map((result, i) => result[figure] / subjects.memory.results[kind][i][figure]);
    return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
}

const spread = ({ median: middle, least, most }) => `${middle.toFixed(2)} (rounds: ${least.toFixed(2)} to ${most.toFixed(2)})`;

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
            + ` p50 ${p50} µs, p99 ${p99} µs (rounds: ${Math.min(...p99s)} to ${Math.max(...p99s)})`);
    }
}

async function main() {
    const subjects = {};
    try {
        for (const name of Object.keys(ENGINES)) {
            subjects[name] = await Subject.start(name);
        }
        await measureAll(subjects);
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
