'use strict';
// Client workers are killed, and any process is paused, at random under load. Afterwards every client
// has every message that its mailbox accepted, in order, and the relay's accounts are exact:
// accepted = confirmed + pending + dropped. The relay itself is only paused: its memory store cannot
// outlive it.

const { Random } = require('../integration/lib/random');
const { Server, alive } = require('../integration/lib/server');
const { Swarm } = require('../integration/lib/swarm');
const { until } = require('../integration/lib/wait');

const KILLS = Number(process.argv[2]);
const WORKERS = 3;
const SESSIONS = 200;

function checkAccounts(status) {
    const dropped = Object.entries(status).filter(([name]) => name.startsWith('dropped_'))
        .reduce((sum, [, count]) => sum + count, 0);
    if (status.accepted !== status.confirmed + status.pending + dropped) {
        throw new Error(`the accounts do not balance: ${JSON.stringify(status)}`);
    }
}

// Sends until told to stop. A bulk whose worker dies may have been stored or not: the sender cannot
// know, and the mailboxes' own counts decide at the end.
async function send(server, swarm, random, state) {
    while (!state.stop) {
        const orders = Array.from({ length: 50 }, () => (
            { to: random.pick(swarm.members).key, message: [['tick', { n: state.orders++ }]] }));
        try {
            const lines = await server.backend.sendMany(orders);
            state.queued += lines.filter((line) => line.results[0].outcome === 'queued').length;
        } catch (error) {
            state.unknown += orders.length;
        }
        if (random.chance(0.3)) {
            random.pick(swarm.members).connect();
        }
    }
}

async function kill(server, random) {
    const victim = random.pick(server.pids('client-worker'));
    process.kill(victim, 'SIGKILL');
    await until('the worker is replaced', () => !alive(victim)
        && server.pids('client-worker').length === WORKERS, 90000);
}

// A paused process stays so until a message was refused or a client fell behind, or 300 ms.
async function pause(server, random, state) {
    const victim = random.pick([...server.pids('client-worker'), ...server.pids('relay-worker')]);
    const before = state.orders;
    process.kill(victim, 'SIGSTOP');
    await until('the others went on', () => state.orders > before + 500, 300).catch(() => {});
    process.kill(victim, 'SIGCONT');
}

async function settle(server, swarm) {
    await Promise.all(swarm.members.map(async (member) => {
        member.sent = (await server.backend.session(member.key)).lastId;
    }));
    await swarm.settle();
    return until('nothing is left', async () => {
        const status = await server.backend.status();
        return status.pending === 0 && status;
    });
}

async function main() {
    const random = new Random();
    console.log(`fault: seed ${random.seed}, ${KILLS} kills and as many pauses`);
    const server = await Server.start({ workers: WORKERS });
    const swarm = new Swarm(random, () => server.url);
    const state = { stop: false, orders: 0, queued: 0, unknown: 0 };
    try {
        await swarm.join(server.backend, SESSIONS);
        const sending = send(server, swarm, random, state);
        for (let i = 0; i < KILLS; i += 1) {
            await kill(server, random);
            await pause(server, random, state);
            checkAccounts(await until('the relay answers', () => server.backend.status()));
            swarm.check();
        }
        state.stop = true;
        await sending;
        const status = await settle(server, swarm);
        checkAccounts(status);
        const unset = swarm.members.filter((member) => member.inbox.unset);
        if (status.accepted < state.queued || unset.length > 0) {
            throw new Error(`${state.queued} were queued, ${status.accepted} accepted; ${unset.length} clients were unset`);
        }
        console.log(`fault: ${status.accepted} accepted, all received in order and confirmed; `
            + `${state.unknown} sends were cut off by a kill`);
        console.log('1 passed, 0 failed');
    } catch (error) {
        process.exitCode = 1;
        console.log(`fault: FAILED with seed ${random.seed}: ${error.stack}\n--- log\n${server.log.slice(-4000)}`);
        console.log('0 passed, 1 failed');
    } finally {
        state.stop = true;
        swarm.stop();
        await server.dispose();
    }
}

main();
