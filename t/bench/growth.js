'use strict';
// Whether what a delivery costs grows: with the sessions that a host has, with its client workers,
// and with what waits in a mailbox. All of them stand side by side and take turns.

const { startMsgserver } = require('./lib/servers');
const { Comparison } = require('./lib/comparison');
const { withSubjects } = require('./lib/line_up');
const { writeKeys } = require('./lib/rounds');

const QUICK = Boolean(process.env.BENCH_QUICK);
const ROUNDS = QUICK ? 3 : 7;
const ROUND_MS = QUICK ? 250 : 500;
const BULK = 50;
const FEW = 20;
const MANY = 100000;
const WORKERS_FOR_MANY = 8; // a process has 20,000 descriptors where nobody raised that

// subjects: [[key, subject]], the first being what the others are compared with.
async function compareAll(comparison, prefix, title, subjects) {
    for (const [, subject] of subjects) {
        await subject.command('confirm 50');
    }
    await comparison.run(`growth_fanout_${prefix}`, `one broadcast at a time, ${title}`, subjects, `fanout ${ROUND_MS} 1`);
    for (const [, subject] of subjects) {
        await subject.command('confirm 1');
    }
    await comparison.run(`growth_unicast_${prefix}`, `to one session each, requests of ${BULK}, ${title}`, subjects, `saturate ${ROUND_MS} ${BULK} 100`);
}

const named = (subjects) => Object.entries(subjects).map(([name, subject]) => [name.replace(' ', '_'), subject]);

async function withSessions(comparison, prefix, counts, workers) {
    const wanted = counts.map((clients) => [`${clients} sessions`, startMsgserver, { workers }, { clients }]);
    await withSubjects(wanted, {}, (subjects) => compareAll(comparison, prefix, `${workers} client worker(s)`, named(subjects)));
}

async function withWorkers(comparison) {
    const wanted = [1, 2, 4].map((workers) => [`${workers} worker${workers > 1 ? 's' : ''}`, startMsgserver, { workers }]);
    await withSubjects(wanted, { clients: 1000 }, (subjects) => compareAll(comparison, '1_worker', '1000 sessions', named(subjects)));
}

// Clients leave that many of the newest messages unconfirmed, and confirm one for each that comes.
async function withPending(comparison) {
    const counts = [0, 100, 10000];
    const wanted = counts.map((count) => [`${count} pending`, startMsgserver,
        { limits: { mailboxMessages: 20000, mailboxBytes: '16MiB', hostBytes: '4GiB' } }]);
    await withSubjects(wanted, { clients: FEW }, async (subjects) => {
        for (const count of counts) {
            const subject = subjects[`${count} pending`];
            await subject.command(`confirm 1 ${count}`);
            for (let filled = 0; filled < FEW * count;) {
                filled += (await subject.command(`saturate 500 10 ${FEW}`)).messages;
            }
        }
        await comparison.run('growth_unicast_0_pending', `to one of ${FEW} sessions each, requests of 10`, named(subjects), `saturate ${ROUND_MS} 10 ${FEW}`);
    });
}

async function main() {
    const comparison = new Comparison({}, ROUNDS);
    console.log(`growth: messages of 100 bytes, medians of ${ROUNDS} rounds (half of the rounds lie between the figures in brackets)`);
    await withSessions(comparison, '1000_sessions', [1000, 100, ...(QUICK ? [] : [10000])], 1);
    await withWorkers(comparison);
    await withPending(comparison);
    if (!QUICK) {
        await withSessions(comparison, `1000_sessions_${WORKERS_FOR_MANY}_workers`, [1000, MANY], WORKERS_FOR_MANY);
    }
    writeKeys(process.argv[2], comparison.keys);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
