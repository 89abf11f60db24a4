'use strict';
// What a mesh costs: hosts with a relay and one client worker each, on addresses of their own on one
// machine, that find each other through one ZooKeeper. The first host is alone at first, which tells
// what a relay takes without peers. All hosts share the machine's processors: times say how long
// they take together, processor time is each process's own.

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { BUILD, children, freePort } = require('../integration/lib/server');
const { newClient } = require('../integration/lib/clients');
const { killHost, startHost } = require('../integration/lib/hosts');
const { until } = require('../integration/lib/wait');
const { ZooKeeper, missing } = require('../integration/lib/zookeeper');
const { cpuDuring, cpuOf, descriptorsOf, mean, memoryOf, quantile, sentBy } = require('./mesh_probe');

const HOSTS = Number(process.env.BENCH_HOSTS || (process.env.BENCH_QUICK ? 20 : 100));
const AT_ONCE = 4; // hosts that start side by side
const REST_MS = process.env.BENCH_QUICK ? 10000 : 20000;
const LOAD_MS = process.env.BENCH_QUICK ? 1000 : 4000;
const BROADCASTS = 20;
const UNICASTS = 2000;
const BULK = 1000; // messages a request
const MANY_SESSIONS = 100;
const LOAD_SESSIONS = 200;
const SESSION_TIMEOUT_S = 10; // of ZooKeeper: how long it announces a host that was killed
const BODY = [['news', { text: 'x'.repeat(100) }]];

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const relayOf = (server) => server.pids('relay-worker')[0];
const addressOf = (i) => `127.0.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`;

async function start(zookeeper, i) {
    // The load generator comes by 127.0.0.1.
    const first = i === 0 ? { clientHost: { bind: { host: '127.0.0.1', port: await freePort() } } } : {};
    return startHost(zookeeper, { host: addressOf(i) }, {
        workers: 1,
        store: { engine: 'memory' },
        msgStream: { transports: { websocket: { pingInterval: '1h' } } },
        serviceDiscovery: {
            engine: 'zookeeper',
            options: { hosts: zookeeper.hosts, options: { sessionTimeout: `${SESSION_TIMEOUT_S}s` } },
        },
        ...first,
    });
}

// Those that are done are not asked again, so that asking disturbs little.
async function everyHostSees(servers, count, figure = 'mesh_peers_up') {
    let waiting = servers;
    await until(() => `${waiting.length} of ${servers.length} hosts: ${figure} is not ${count}`, async () => {
        const seen = await Promise.all(waiting.slice(0, 8).map(async (server) => (await server.backend.status())[figure]));
        waiting = waiting.filter((server, i) => i >= seen.length || seen[i] !== count);
        return waiting.length === 0;
    }, 120000, 1);
}

// Microseconds that each relay takes while work() runs, without what it takes at rest anyway. With many
// hosts, what one of them takes for a message is a small difference of large figures.
let restShare = 0;
async function cpuBeyondRest(relays, work) {
    const began = process.hrtime.bigint();
    const { used } = await cpuDuring(relays, work);
    const rest = (Number(process.hrtime.bigint() - began) / 1000) * restShare;
    return used.map((microseconds) => microseconds - rest);
}

// --- load on one host ----------------------------------------------------------------------------

// Messages to 200 sessions of one host and their confirmations: microseconds of its relay for each.
async function loadOn(server) {
    const load = spawn(path.join(BUILD, 'bench-load'), ['msgserver', server.port, server.backendSocket, LOAD_SESSIONS],
        { stdio: ['pipe', 'pipe', 'inherit'] });
    const answers = readline.createInterface({ input: load.stdout })[Symbol.asyncIterator]();
    const answer = async () => {
        const { value, done } = await answers.next();
        if (done) {
            throw new Error('bench-load gave up');
        }
        return value;
    };
    await answer();
    load.stdin.write('confirm 1\n');
    await answer();
    const costs = {};
    for (const bulk of [1, 50]) {
        const { result, used: [used] } = await cpuDuring([relayOf(server)], async () => {
            load.stdin.write(`saturate ${LOAD_MS} ${bulk} ${LOAD_SESSIONS}\n`);
            return JSON.parse(await answer());
        });
        costs[bulk] = { us: used / result.messages, rate: result.messages / result.seconds };
    }
    load.stdin.end('leave\n');
    await until('the load generator is gone', () => load.exitCode !== null);
    return costs;
}

// --- a mesh at rest --------------------------------------------------------------------------------

async function measureRest(servers, zookeeperPid, alone) {
    const relays = servers.map(relayOf);
    const masters = servers.map((server) => server.process.pid);
    await delay(8000); // the handshakes and their repetitions are over
    const segments = sentBy(relays[1]).segments;
    const began = Date.now();
    const { used } = await cpuDuring([...relays, ...masters, zookeeperPid], () => delay(REST_MS));
    const elapsed = Date.now() - began;
    const sent = sentBy(relays[1]).segments - segments;
    const share = (microseconds) => microseconds / elapsed / 10;
    restShare = mean(used.slice(0, servers.length)) / elapsed / 1000;
    const memories = relays.slice(1).map(memoryOf); // the first was under load
    const peers = servers.length - 1;
    const figures = {
        anonymous_kib: Math.round(mean(memories.map((memory) => memory.anonymous))),
        pss_kib: Math.round(mean(memories.map((memory) => memory.pss))),
        descriptors: Math.max(...relays.slice(1).map(descriptorsOf)),
        relay_cpu_percent: Number(share(mean(used.slice(0, servers.length))).toFixed(3)),
        master_cpu_percent: Number(share(mean(used.slice(servers.length, -1))).toFixed(3)),
        zookeeper_cpu_percent: Number(share(used[used.length - 1]).toFixed(2)),
        segments_per_second: Number((sent / elapsed * 1000).toFixed(1)),
    };
    figures.anonymous_kib_per_peer = Number(((figures.anonymous_kib - alone.anonymous) / peers).toFixed(1));
    figures.descriptors_per_peer = Number(((figures.descriptors - alone.descriptors) / peers).toFixed(2));
    console.log(`  a relay at rest: ${figures.anonymous_kib} KiB anonymous (alone: ${alone.anonymous}; ${figures.anonymous_kib_per_peer} per peer),`
        + ` PSS ${figures.pss_kib} KiB (alone: ${alone.pss}); ${figures.descriptors} descriptors (alone: ${alone.descriptors};`
        + ` ${figures.descriptors_per_peer} per peer)`);
    console.log(`  processor at rest, % of one core, over ${REST_MS / 1000} s: a relay ${figures.relay_cpu_percent},`
        + ` a master ${figures.master_cpu_percent}, ZooKeeper ${figures.zookeeper_cpu_percent}; a relay sends ${figures.segments_per_second}`
        + ' TCP segments with data a second');
    return figures;
}

// --- coming and going ------------------------------------------------------------------------------

async function measureChange(zookeeper, servers, addresses) {
    const others = servers.map(relayOf);
    const figures = {};
    const timed = async (name, count, work) => {
        const began = Date.now();
        const used = await cpuBeyondRest(others, async () => {
            await work();
            await everyHostSees(servers, count);
        });
        figures[`${name}_ms`] = Date.now() - began;
        figures[`${name}_cpu_us`] = Math.round(mean(used));
    };
    let guest;
    await timed('newcomer', servers.length, async () => {
        const began = Date.now();
        guest = await start(zookeeper, addresses.next());
        figures.newcomer_started_ms = Date.now() - began;
    });
    await everyHostSees([guest], servers.length);
    await timed('leaver', servers.length - 1, () => {
        guest.process.kill('SIGTERM');
    });
    await guest.dispose();
    guest = await start(zookeeper, addresses.next());
    await everyHostSees([...servers, guest], servers.length);
    await timed('killed', servers.length - 1, () => killHost(guest));
    await everyHostSees(servers, servers.length - 1, 'mesh_peers'); // ZooKeeper forgot it too
    await guest.dispose();
    console.log(`  a newcomer is known to all ${figures.newcomer_ms} ms after its start (which took ${figures.newcomer_started_ms} ms),`
        + ` for ${figures.newcomer_cpu_us} µs of each relay; one that stops is gone from all after ${figures.leaver_ms} ms;`
        + ` one whose processes are killed after ${figures.killed_ms} ms`);
    return figures;
}

// --- broadcasts -------------------------------------------------------------------------------------

// One client per host tells when the message came, wherever it came last.
class Audience {
    static async open(servers) {
        const audience = new Audience();
        audience.heard = 0;
        audience.clients = await Promise.all(servers.map(async (server) => {
            const key = await server.backend.createSession('listener');
            const client = newClient('websocket', server.url.replace(server.host, server.config.clientHost ? '127.0.0.1' : server.host), key, {
                onPack: (pack) => {
                    audience.heard += Object.keys(pack).length;
                    client.confirm(Object.keys(pack));
                    audience.last = process.hrtime.bigint();
                },
                onEnd: () => {},
            });
            await client.connect();
            return client;
        }));
        return audience;
    }

    async hears(work) {
        const wanted = this.heard + this.clients.length;
        const began = process.hrtime.bigint();
        await work();
        await until(() => `${wanted - this.heard} clients have not heard it`, () => this.heard >= wanted, 20000, 1);
        return Number(this.last - began) / 1e6;
    }

    close() {
        this.clients.forEach((client) => client.close());
    }
}

async function measureBroadcast(servers, audience, sessions) {
    const relays = servers.map(relayOf);
    const times = [];
    await audience.hears(() => servers[0].backend.broadcast(BODY));
    const before = sentBy(relays[0]);
    const used = await cpuBeyondRest(relays, async () => {
        for (let i = 0; i < BROADCASTS; i += 1) {
            times.push(await audience.hears(async () => {
                const answer = await servers[0].backend.broadcast(BODY);
                if (answer.peers !== servers.length - 1 || answer.peersFailed !== 0) {
                    throw new Error(`broadcast: ${JSON.stringify(answer)}`);
                }
            }));
        }
    });
    const after = sentBy(relays[0]);
    const figures = {
        sender_us: Math.round(used[0] / BROADCASTS),
        receiver_us: Math.round(mean(used.slice(1)) / BROADCASTS),
        bytes: Math.round((after.bytes - before.bytes) / BROADCASTS),
        all_have_it_ms: Number(quantile(times, 0.5).toFixed(1)),
    };
    console.log(`  a broadcast, ${sessions} session${sessions > 1 ? 's' : ''} on each host: ${figures.sender_us} µs of the sending relay,`
        + ` ${figures.receiver_us} µs of each other, ${figures.bytes} bytes sent to peers; a client of the last host has it after`
        + ` ${figures.all_have_it_ms} ms (median; most: ${Math.max(...times).toFixed(1)})`);
    return figures;
}

// --- messages to sessions of other hosts ------------------------------------------------------------

async function measureUnicast(servers, keys) {
    const relays = servers.map(relayOf);
    const times = [];
    const used = await cpuBeyondRest(relays, async () => {
        for (let i = 0; i < UNICASTS; i += 1) {
            const began = process.hrtime.bigint();
            const [{ outcome }] = await servers[0].backend.send(keys[i % keys.length], BODY);
            times.push(Number(process.hrtime.bigint() - began) / 1000);
            if (outcome !== 'queued') {
                throw new Error(`a message to another host: ${outcome}`);
            }
        }
    });
    const figures = {
        sender_us: Number((used[0] / UNICASTS).toFixed(1)),
        homes_us: Number((used.slice(1).reduce((sum, value) => sum + value, 0) / UNICASTS).toFixed(1)),
        p50_us: Math.round(quantile(times, 0.5)),
        p99_us: Math.round(quantile(times, 0.99)),
    };
    console.log(`  a message to another host, one by one: ${figures.sender_us} µs of the sending relay, ${figures.homes_us} µs of its home;`
        + ` answered after ${figures.p50_us} µs (p99: ${figures.p99_us})`);
    return figures;
}

// In bulk, to every session of every host, several times: what flowed stays in libzmq's queues as
// memory.
async function measureBulk(servers, keys) {
    const relays = servers.map(relayOf);
    let sent = 0;
    const began = Date.now();
    const used = await cpuBeyondRest(relays, async () => {
        for (let i = 0; i < 3 * keys.length; i += BULK) {
            const orders = Array.from({ length: BULK }, (_, k) => ({ to: keys[((i + k) * 7919) % keys.length], message: BODY }));
            const answers = await servers[0].backend.sendMany(orders);
            if (!answers.every((answer) => JSON.stringify(answer).includes('"queued"'))) {
                throw new Error(`messages to other hosts: ${JSON.stringify(answers[0])}`);
            }
            sent += BULK;
        }
    });
    const figures = {
        sender_us: Number((used[0] / sent).toFixed(1)),
        home_us: Number((used.slice(1).reduce((sum, value) => sum + value, 0) / sent).toFixed(1)),
        messages_per_second: Math.round(sent / (Date.now() - began) * 1000),
        sender_anonymous_kib: memoryOf(relays[0]).anonymous,
    };
    console.log(`  messages to other hosts, ${BULK} a request: ${figures.sender_us} µs of the sending relay for each, ${figures.home_us} µs of its home,`
        + ` ${figures.messages_per_second} messages/s; the sending relay has ${figures.sender_anonymous_kib} KiB afterwards`);
    return figures;
}

async function manySessions(servers) {
    const keys = [];
    for (const server of servers) {
        keys.push(await Promise.all(Array.from({ length: MANY_SESSIONS - 1 }, (_, i) => server.backend.createSession(`player-${i}`))));
    }
    return keys;
}

// --- all of it ---------------------------------------------------------------------------------------

function printLoad(alone, meshed) {
    for (const bulk of [1, 50]) {
        console.log(`  messages within one host, ${bulk} a request: ${alone[bulk].us.toFixed(2)} µs of its relay each while it is alone,`
            + ` ${meshed[bulk].us.toFixed(2)} with ${HOSTS - 1} idle peers (${Math.round(meshed[bulk].rate)} messages/s)`);
    }
}

async function measure(zookeeper, servers) {
    const addresses = { count: 0, next() { return this.count++; } };
    const zookeeperPid = Number(fs.readFileSync(path.join(zookeeper.directory, 'pid'), 'utf8'));
    servers.push(await start(zookeeper, addresses.next()));
    await delay(1000);
    const alone = { ...memoryOf(relayOf(servers[0])), descriptors: descriptorsOf(relayOf(servers[0])) };
    const loadAlone = await loadOn(servers[0]);
    const figures = { hosts: HOSTS };

    const began = Date.now();
    while (servers.length < HOSTS) {
        const count = Math.min(AT_ONCE, HOSTS - servers.length);
        servers.push(...await Promise.all(Array.from({ length: count }, () => start(zookeeper, addresses.next()))));
    }
    figures.started_ms = Date.now() - began;
    await everyHostSees(servers, HOSTS - 1);
    figures.complete_ms = Date.now() - began;
    const used = servers.slice(1).map((server) => cpuOf(relayOf(server)));
    figures.start_cpu_ms = Math.round(mean(used) / 1000);
    console.log(`mesh: ${HOSTS} hosts with one client worker each, on one machine`);
    console.log(`  every relay sees all others ${figures.complete_ms} ms after the first start, ${figures.complete_ms - figures.started_ms} ms`
        + ` after the last; until then ${figures.start_cpu_ms} ms of processor time of each relay`);

    figures.rest = await measureRest(servers, zookeeperPid, alone);
    figures.change = await measureChange(zookeeper, servers, addresses);
    const audience = await Audience.open(servers);
    figures.broadcast_1 = await measureBroadcast(servers, audience, 1);
    const keys = await manySessions(servers);
    figures.broadcast_100 = await measureBroadcast(servers, audience, MANY_SESSIONS);
    figures.unicast = await measureUnicast(servers, keys.slice(1).flat());
    figures.bulk = await measureBulk(servers, keys.slice(1).flat());
    audience.close();
    const loadMeshed = await loadOn(servers[0]);
    printLoad(loadAlone, loadMeshed);
    figures.load_us = { alone: Number(loadAlone[1].us.toFixed(2)), meshed: Number(loadMeshed[1].us.toFixed(2)) };
    figures.load_bulk_us = { alone: Number(loadAlone[50].us.toFixed(2)), meshed: Number(loadMeshed[50].us.toFixed(2)) };
    fs.appendFileSync(process.argv[2], `${JSON.stringify({ mesh: figures })}\n`);
}

async function main() {
    if (missing()) {
        throw new Error(missing());
    }
    const zookeeper = await ZooKeeper.start({ tick: 1000 });
    const servers = [];
    try {
        await measure(zookeeper, servers);
    } finally {
        await Promise.all(servers.map((server) => server.dispose()));
        await zookeeper.dispose();
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
