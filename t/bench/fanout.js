'use strict';
// Broadcasts to WebSockets, beside a raw server that only frames and sends, and beside Nchan and
// Pushpin. All servers stand side by side and take turns in short rounds.

const { startLimit, startMsgserver, startNchan, startPushpin } = require('./lib/servers');
const { Comparison } = require('./lib/comparison');
const { withSubjects } = require('./lib/line_up');
const { writeKeys } = require('./lib/rounds');

const QUICK = Boolean(process.env.BENCH_QUICK);
const ROUNDS = QUICK ? 5 : 11;
const CONFIRM_AFTER = 50; // a confirmation covers all before it
const FLIGHT = 8;

async function confirmAfter(count, ...subjects) {
    for (const subject of subjects.filter(Boolean)) {
        await subject.command(`confirm ${count}`);
    }
}

// One broadcast at a time: the next goes when all have this one.
async function oneAtATime(comparison, clients, ms, s) {
    await confirmAfter(CONFIRM_AFTER, s.msgserver, s['msgserver, memory']);
    await comparison.run(`fanout_${clients}`,
        `one broadcast at a time to ${clients} WebSockets; msgserver's confirm every ${CONFIRM_AFTER} messages`,
        [['msgserver', s.msgserver], ['memory', s['msgserver, memory']], ['limit', s.limit], ['nchan', s['Nchan, 1 worker']],
            ['nchan_2workers', s['Nchan, 2 workers']], ['pushpin', s.Pushpin]], `fanout ${ms} 1`);
}

// The raw server has to read what its clients send, then.
async function eachConfirmed(comparison, clients, ms, s) {
    await confirmAfter(1, s.msgserver, s['msgserver, memory'], s.limit);
    await comparison.run(`fanout_${clients}_confirmed`,
        `one broadcast at a time to ${clients} WebSockets; all confirm each message`,
        [['msgserver', s.msgserver], ['memory', s['msgserver, memory']], ['limit', s.limit]], `fanout ${ms} 1`);
    await confirmAfter(0, s.limit);
}

async function inFlight(comparison, clients, ms, s) {
    await confirmAfter(CONFIRM_AFTER, s.msgserver, s['msgserver, memory']);
    await comparison.run(`fanout_${clients}_flight${FLIGHT}`,
        `${FLIGHT} broadcasts in flight to ${clients} WebSockets; msgserver's confirm every ${CONFIRM_AFTER} messages`,
        [['msgserver', s.msgserver], ['memory', s['msgserver, memory']], ['limit', s['limit, coalescing']],
            ['limit_each', s.limit], ['nchan', s['Nchan, 1 worker']]], `fanout ${ms} ${FLIGHT}`);
}

async function fanOut(comparison, clients, ms, more) {
    const wanted = [
        ['msgserver', startMsgserver, {}],
        ['limit', startLimit, { modes: ['read'] }],
        ['Nchan, 1 worker', startNchan, { workers: 1 }],
        ...(QUICK ? [] : [
            ['msgserver, memory', startMsgserver, { store: { engine: 'memory' } }],
            ['Nchan, 2 workers', startNchan, { workers: 2 }],
        ]),
        ...more,
    ];
    await withSubjects(wanted, { clients, oneChannel: true }, async (subjects) => {
        await oneAtATime(comparison, clients, ms, subjects);
        if (!QUICK) {
            await eachConfirmed(comparison, clients, ms, subjects);
            await inFlight(comparison, clients, ms, subjects);
        }
    });
}

async function main() {
    const keys = {};
    const comparison = new Comparison(keys, ROUNDS);
    console.log(`fanout: messages of 100 bytes, medians of ${ROUNDS} rounds (half of the rounds lie between the figures in brackets)`);
    if (QUICK) {
        await fanOut(comparison, 1000, 250, []);
    } else {
        await fanOut(comparison, 1000, 500, [['limit, coalescing', startLimit, { modes: ['coalesce', 'read'] }],
            ['Pushpin', startPushpin, {}]]);
        await fanOut(comparison, 10000, 1000, [['limit, coalescing', startLimit, { modes: ['coalesce', 'read'] }]]);
    }
    writeKeys(process.argv[2], keys);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
