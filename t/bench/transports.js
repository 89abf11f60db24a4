'use strict';
// Broadcasts over each transport, beside Nchan's. Event streams confirm between the rounds, when they
// come back; each long poll confirms what the one before brought.

const { startMsgserver, startNchan } = require('./lib/servers');
const { Comparison } = require('./lib/comparison');
const { withSubjects } = require('./lib/line_up');
const { writeKeys } = require('./lib/rounds');

const ROUNDS = process.env.BENCH_QUICK ? 3 : 7;
const ROUND_MS = process.env.BENCH_QUICK ? 250 : 500;
const CLIENTS = 1000;
const CONFIRM_AFTER = 50;
const TRANSPORTS = {
    websocket: 'WebSocket',
    sse: 'server-sent events',
    longpolling: 'long-polling',
};

async function overOne(comparison, transport) {
    const wanted = [
        ['msgserver', startMsgserver, {}],
        ...(transport === 'longpolling' ? [] : [['Nchan, 1 worker', startNchan, { workers: 1 }]]),
    ];
    await withSubjects(wanted, { clients: CLIENTS, oneChannel: true, transport }, async (subjects) => {
        await subjects.msgserver.command(`confirm ${CONFIRM_AFTER}`);
        await comparison.run(`fanout_${CLIENTS}_${transport}`, `one broadcast at a time to ${CLIENTS} clients over ${TRANSPORTS[transport]}`,
            [['msgserver', subjects.msgserver], ['nchan', subjects['Nchan, 1 worker']]], async (subject) => {
                if (transport === 'sse' && subject === subjects.msgserver) {
                    await subject.command('reconnect');
                }
                return `fanout ${ROUND_MS} 1`;
            });
    });
}

async function main() {
    const comparison = new Comparison({}, ROUNDS);
    console.log(`transports: messages of 100 bytes, medians of ${ROUNDS} rounds`);
    for (const transport of Object.keys(TRANSPORTS)) {
        await overOne(comparison, transport);
    }
    writeKeys(process.argv[2], comparison.keys);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
