'use strict';
// What a relay takes for an envelope of another host, all its threads, and libzmq's among them:
// beside a bare ROUTER that reads the same frames and throws them away; and envelopes packed in one
// message, as two hosts of ours do it, beside single ones.
//
// A relay's figure for messages to clients includes all that it does for them: the envelope, the
// mailbox, the store, what goes to the client worker, and the clients' confirmations. Subjects stand
// side by side and take turns; a ratio is that of one turn.

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { BUILD, freePort } = require('../integration/lib/server');
const { clusterIdOf, peersUp, startHost } = require('../integration/lib/hosts');
const { until } = require('../integration/lib/wait');
const { ZooKeeper, missing } = require('../integration/lib/zookeeper');
const { cpuDuring, quantile } = require('./mesh_probe');

const SESSIONS = 200;
const ROUNDS = process.env.BENCH_QUICK ? 5 : 15;
const ENVELOPES = process.env.BENCH_QUICK ? 10000 : 30000; // a turn
const WINDOW = 4000; // on their way at most
const BODIES = 10; // of an envelope in bulk
const ONWARD = 8000; // a turn, to a peer that may be slow: its outbox holds so many

const median = (values) => quantile(values, 0.5);
const relayOf = (server) => server.pids('relay-worker')[0];
const figure = (value) => Number(value.toFixed(3));

// A process of bench-mesh, that answers lines with lines.
class Tool {
    constructor(...args) {
        this.process = spawn(path.join(BUILD, 'bench-mesh'), args, { stdio: ['pipe', 'pipe', 'inherit'] });
        this.process.stdin.on('error', () => {}); // the answer that does not come tells
        this.answers = readline.createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
        this.name = args.join(' ');
    }

    get pid() {
        return this.process.pid;
    }

    async answer() {
        const { value, done } = await this.answers.next();
        if (done) {
            throw new Error(`bench-mesh ${this.name} gave up`);
        }
        return value;
    }

    ask(line) {
        this.process.stdin.write(`${line}\n`);
        return this.answer();
    }

    stop() {
        this.process.kill('SIGKILL');
    }
}

const tools = [];
const servers = [];

function tool(...args) {
    tools.push(new Tool(...args));
    return tools[tools.length - 1];
}

async function startServer(zookeeper, host, engine) {
    const server = await startHost(zookeeper, { host }, {
        workers: 1,
        store: { engine },
        msgStream: { transports: { websocket: { pingInterval: '1h' } } },
        // The clients of the load generator come by 127.0.0.1.
        clientHost: { bind: { host: '127.0.0.1', port: await freePort() } },
    });
    servers.push(server);
    server.clusterId = await clusterIdOf(server);
    return server;
}

const uriOf = (server) => `tcp://${server.config.mmrp.bind.host}:${server.config.mmrp.bind.port}`;

async function sessionsOf(server) {
    const keys = [];
    for (let i = 0; i < SESSIONS; i += 1) {
        keys.push(await server.backend.createSession(`player-${i}`, { ttl: '1d' }));
    }
    return keys;
}

// A host that sends to `endpoint`. `port`: where the clients of the sessions attach.
let loads = 0;
async function load(endpoint, target, kind, keys, port) {
    loads += 1;
    const sender = tool('load', endpoint, target, `${'c'.repeat(16)}:${20000 + loads}`, kind, ...(port ? [String(port)] : []));
    await sender.ask(`${keys.join('\n')}\n`);
    return sender;
}

// Who is measured: the relays of `measured` while `sender` sends what `command` says. `after`: what
// else must have happened before it is over.
const subject = (name, measured, sender, command, after = async () => {}) => ({ name, measured, sender, command, after, costs: [] });

const sending = (what, form, { bodies = 1, envelopes = ENVELOPES, window = WINDOW } = {}) =>
    ({ line: `send ${what} ${form} ${envelopes} ${bodies} ${window}`, envelopes });

// Every other round runs backwards, so that nobody is always the first.
async function takeTurns(subjects) {
    for (let round = -1; round < ROUNDS; round += 1) { // the first is for warming up
        for (const one of round % 2 ? [...subjects].reverse() : subjects) {
            const { used } = await cpuDuring(one.measured, async () => {
                const done = one.after();
                await one.sender.ask(one.command.line);
                await done;
            });
            if (round >= 0) {
                one.costs.push(used.map((microseconds) => microseconds / one.command.envelopes));
            }
        }
    }
}

const costsOf = (one) => one.costs.map((used) => used.reduce((sum, value) => sum + value, 0));
const ratios = (upper, lower) => costsOf(upper).map((cost, i) => cost / costsOf(lower)[i]);
const spread = (values) => `${median(values).toFixed(2)} (half of the rounds: ${quantile(values, 0.25).toFixed(2)} to ${quantile(values, 0.75).toFixed(2)})`;

function print(one, what, ...notes) {
    const each = one.measured.map((_, i) => median(one.costs.map((used) => used[i])).toFixed(2)).join(' + ');
    console.log(`  ${what}: ${each} µs an envelope${notes.length > 0 ? `; ${notes.join('; ')}` : ''}`);
}

// --- beside a bare ROUTER ------------------------------------------------------------------------

async function measureMage(zookeeper, figures) {
    const memory = await startServer(zookeeper, '127.0.1.1', 'memory');
    const lmdb = await startServer(zookeeper, '127.0.1.2', 'lmdb');
    const far = await startServer(zookeeper, '127.0.1.3', 'memory');
    await peersUp([memory, lmdb, far], 2);
    const sink = tool('sink');
    const endpoint = await sink.answer();
    const keys = { memory: await sessionsOf(memory), lmdb: await sessionsOf(lmdb), far: await sessionsOf(memory) };
    const toSink = await load(endpoint, memory.clusterId, 'ours', keys.memory);
    const toMemory = await load(uriOf(memory), memory.clusterId, 'mage', keys.memory, memory.port);
    const toLmdb = await load(uriOf(lmdb), lmdb.clusterId, 'mage', keys.lmdb, lmdb.port);
    const toFar = await load(uriOf(memory), memory.clusterId, 'mage', keys.far, far.port);
    const toNobody = await load(uriOf(memory), memory.clusterId, 'ours', keys.memory);
    const ways = [
        { suffix: '', what: `1 message of 100 bytes, ${WINDOW} on their way`, bodies: 1, envelopes: ENVELOPES, window: WINDOW },
        { suffix: '_at_once', what: '1 message of 100 bytes, all at once', bodies: 1, envelopes: ENVELOPES, window: ENVELOPES },
        { suffix: '_bulk', what: `${BODIES} messages of 100 bytes, ${WINDOW} envelopes on their way`, bodies: BODIES, envelopes: ENVELOPES / 5, window: WINDOW },
    ];
    for (const { suffix, what: wording, ...way } of ways) {
        const router = subject('router', [sink.pid], toSink, sending('reader', 'single', way));
        const mesh = subject('mesh', [relayOf(memory)], toNobody, sending('nobody', 'single', way));
        const inMemory = subject('memory', [relayOf(memory)], toMemory, sending('clients', 'single', way));
        const inLmdb = subject('lmdb', [relayOf(lmdb)], toLmdb, sending('clients', 'single', way));
        const elsewhere = subject('far', [relayOf(memory), relayOf(far)], toFar, sending('clients', 'single', way));
        await takeTurns([router, mesh, inMemory, inLmdb, elsewhere]);
        console.log(`mesh-relay: a MAGE host's envelopes of ${wording}; ${SESSIONS} sessions`);
        print(router, 'a bare ROUTER');
        const rows = [[mesh, 'mesh', 'a relay, to a session that is not there'], [inMemory, 'memory', 'a relay, to clients that confirm, store in memory'],
            [inLmdb, 'lmdb', 'a relay, to clients that confirm, store in LMDB'], [elsewhere, 'far', 'two relays, to clients at another host']];
        for (const [one, name, what] of rows) {
            const times = ratios(one, router);
            figures[`${name}_vs_router${suffix}`] = figure(median(times));
            figures[`${name}_us${suffix}`] = figure(median(costsOf(one)));
            print(one, what, `times the ROUTER's: ${spread(times)}`);
        }
        figures[`router_us${suffix}`] = figure(median(costsOf(router)));
    }
}

// --- packed beside single ------------------------------------------------------------------------

async function measurePacked(zookeeper, figures) {
    const server = await startServer(zookeeper, '127.0.2.1', 'memory');
    const keys = await sessionsOf(server);
    const peers = {};
    for (const form of ['single', 'packed']) {
        const host = form === 'single' ? '127.0.2.2' : '127.0.2.3';
        const port = await freePort(host);
        const id = `${form === 'single' ? 'd'.repeat(16) : 'e'.repeat(16)}:${port}`;
        peers[form] = tool('peer', id, host, String(port), form);
        peers[form].id = id;
        await peers[form].answer();
        await zookeeper.announce(id, { ips: [host], game: 'game', version: '1.2.3' });
    }
    await until('both are up', async () => {
        const up = (await server.backend.must('GET', '/peers')).peers.filter((peer) => peer.state === 'up').map((peer) => peer.clusterId);
        return Object.values(peers).every((peer) => up.includes(peer.id));
    });
    const relay = [relayOf(server)];
    const toNobody = await load(uriOf(server), server.clusterId, 'ours', keys);
    const toClients = await load(uriOf(server), server.clusterId, 'ours', keys, server.port);
    const onward = (form) => subject(`to-${form}`, relay, toNobody, sending(peers[form].id, 'packed', { envelopes: ONWARD }), () => peers[form].ask(String(ONWARD)));
    const subjects = {
        single: subject('single', relay, toNobody, sending('nobody', 'single')),
        packed: subject('packed', relay, toNobody, sending('nobody', 'packed')),
        clients: subject('clients', relay, toClients, sending('clients', 'single')),
        clientsPacked: subject('clients-packed', relay, toClients, sending('clients', 'packed')),
        toSingle: onward('single'),
        toPacked: onward('packed'),
    };
    await takeTurns(Object.values(subjects));
    console.log('mesh-relay: envelopes of a host of ours, single and packed');
    const pair = (name, single, packed, what, less) => {
        const others = less ? costsOf(less) : costsOf(single).map(() => 0);
        const times = costsOf(single).map((cost, i) => (cost - others[i]) / (costsOf(packed)[i] - others[i]));
        figures[`${name}_single_us`] = figure(median(costsOf(single)));
        figures[`${name}_packed_us`] = figure(median(costsOf(packed)));
        figures[`${name}_packed_vs_single`] = figure(median(times));
        print(single, `${what}, single`);
        print(packed, `${what}, packed`, `envelopes per CPU-second, times single: ${spread(times)}`);
    };
    pair('received', subjects.single, subjects.packed, 'received, to a session that is not there');
    pair('passed_on', subjects.toSingle, subjects.toPacked, 'received packed, and sent on');
    pair('sent', subjects.toSingle, subjects.toPacked, 'the sending alone (less what the receiving took)', subjects.packed);
    pair('delivered', subjects.clients, subjects.clientsPacked, 'received, to clients that confirm, store in memory');
}

async function main() {
    if (missing()) {
        throw new Error(missing());
    }
    const figures = {};
    const zookeeper = await ZooKeeper.start({ tick: 1000 });
    try {
        await measureMage(zookeeper, figures);
        await measurePacked(zookeeper, figures);
    } finally {
        tools.forEach((each) => each.stop());
        await Promise.all(servers.map((server) => server.dispose()));
        await zookeeper.dispose();
    }
    fs.appendFileSync(process.argv[2], `${JSON.stringify({ mesh_relay: figures })}\n`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
