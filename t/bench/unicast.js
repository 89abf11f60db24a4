'use strict';
// Messages to one session each, through the backend API, beside Nchan with a channel per client and
// a raw server. msgserver's clients confirm each message; the others' have nothing to confirm.

const { startLimit, startMsgserver, startNchan } = require('./lib/servers');
const { Comparison } = require('./lib/comparison');
const { withSubjects } = require('./lib/line_up');
const { rounded, takeTurns, writeKeys } = require('./lib/rounds');
const { median, spread } = require('./lib/statistics');

const QUICK = Boolean(process.env.BENCH_QUICK);
const ROUNDS = QUICK ? 5 : 11;
const ROUND_MS = QUICK ? 250 : 500;
const PACE_MS = QUICK ? 250 : 1000;
const BULK = 50;
const WINDOW = 500; // messages on their way at most; requests, there are 16
const RAW_WINDOW = 64; // the raw server does not answer: as many as the others have requests
const RATE = 2000;

const windowOf = (subject) => (subject.server.kind === 'limit' ? RAW_WINDOW : WINDOW);

async function compareLatency(keys, clients, named) {
    const there = named.filter(([, subject]) => subject);
    const kind = `pace_${clients}`;
    await takeTurns(there.map(([, subject]) => subject), ROUNDS, kind, () => `pace ${PACE_MS} ${RATE}`);
    console.log(`  ${RATE} messages/s to ${clients} sessions, one a request, from when each was due to its receipt`);
    for (const [key, subject] of there) {
        const [p50, p99] = ['p50', 'p99'].map((figure) => spread(subject.figures(kind, figure)));
        const cpu = median(subject.figures(kind, 'cpu'));
        console.log(`    ${subject.name.padEnd(22)} p50 ${p50.median} µs, p99 ${p99.median} µs (${p99.low} to ${p99.high}); ${cpu.toFixed(1)} µs of processor time each`);
        keys[`unicast_${clients}${key}_p50_us`] = p50.median;
        keys[`unicast_${clients}${key}_p99_us`] = p99.median;
        keys[`unicast_${clients}${key}_paced_cpu_us`] = rounded(cpu);
    }
}

async function unicast(comparison, clients) {
    const wanted = [
        ['msgserver', startMsgserver, { workers: 1 }],
        ['limit', startLimit, {}],
        ['Nchan, 1 worker', startNchan, { workers: 1 }],
        ...(QUICK ? [] : [
            ['msgserver, memory', startMsgserver, { store: { engine: 'memory' } }],
            ['msgserver, 2 workers', startMsgserver, { workers: 2 }],
            ['Nchan, 2 workers', startNchan, { workers: 2 }],
        ]),
    ];
    await withSubjects(wanted, { clients }, async (s) => {
        const ours = [s.msgserver, s['msgserver, memory'], s['msgserver, 2 workers']].filter(Boolean);
        for (const subject of ours) {
            await subject.command('confirm 1');
        }
        const prefix = `unicast_${clients}`;
        const single = (subject) => `saturate ${ROUND_MS} 1 ${windowOf(subject)}`;
        await comparison.run(prefix, `to one of ${clients} sessions each, one message a request`,
            [['msgserver', s.msgserver], ['memory', s['msgserver, memory']], ['limit', s.limit], ['nchan', s['Nchan, 1 worker']]], single);
        const bulk = (subject) => (subject.server.kind === 'msgserver' ? `saturate ${ROUND_MS} ${BULK} ${WINDOW}` : single(subject));
        await comparison.run(`${prefix}_bulk`, `the same, requests of ${BULK} messages (Nchan takes one a request)`,
            [['msgserver', s.msgserver], ['memory', s['msgserver, memory']], ['nchan', s['Nchan, 1 worker']]], bulk);
        if (!QUICK) {
            await comparison.run(`${prefix}_2workers`, 'the same with two workers, one message a request',
                [['msgserver', s['msgserver, 2 workers']], ['nchan', s['Nchan, 2 workers']]], single);
        }
        await compareLatency(comparison.keys, clients, [['', s.msgserver], ['_memory', s['msgserver, memory']], ['_limit', s.limit],
            ['_nchan', s['Nchan, 1 worker']]]);
    });
}

async function main() {
    const comparison = new Comparison({}, ROUNDS);
    console.log(`unicast: messages of 100 bytes, medians of ${ROUNDS} rounds (half of the rounds lie between the figures in brackets)`);
    await unicast(comparison, 1000);
    if (!QUICK) {
        await unicast(comparison, 10000);
    }
    writeKeys(process.argv[2], comparison.keys);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
