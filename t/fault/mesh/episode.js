'use strict';
// One episode: faults in the midst of operations; then everything is healed, and must be well again.

const { expect } = require('../model');
const { delay } = require('./faults');
const { planEpisode } = require('./plan');

const SETTLE_LIMIT_MS = 10000;
const ANSWER_LIMIT_MS = 13000; // a request is given up by the server after 10 s
const PROBE_AGAIN_MS = 1000;

// Sessions of a host: the first one's client stays there.
const ALL = [0, 1, 2];
const MOVING = [1, 2];

const at = (list, share) => list[Math.floor(share * list.length)];

class Episode {
    // context: {cluster, network, zookeeper, note}
    constructor(context, seed, number, setting, limit) {
        Object.assign(this, { context, limit });
        this.cluster = context.cluster;
        this.plan = planEpisode(seed, number, setting);
        this.pending = new Set();
        this.steps = 0;
        this.convergedIn = 0;
    }

    async run() {
        const { cluster } = this;
        cluster.calm = false;
        const faults = this.plan.faults.map(async (fault) => {
            await delay(fault.at);
            await fault.row.run(this.context, fault.drawn);
        });
        let healed = false;
        const healing = Promise.all(faults).then(() => { healed = true; });
        healing.catch(cluster.onViolation);
        await this.operate();
        await healing;
        expect(healed, 'not healed');
        this.context.note('healed');
        cluster.hosts.forEach((host) => host.freshen());
        await this.converge();
        await this.compare();
    }

    // --- operations, at their times ---

    async operate() {
        const start = Date.now();
        for (const operation of this.plan.operations) {
            this.cluster.check();
            const early = start + operation.at - Date.now();
            if (early > 0) {
                await delay(early);
            }
            this.steps += 1;
            this.begin(this.carryOut(operation));
        }
    }

    begin(work) {
        const done = work.catch(this.cluster.onViolation).then(() => this.pending.delete(done));
        this.pending.add(done);
    }

    async carryOut({ name, host, home, session, drawn }) {
        const { cluster } = this;
        const one = cluster.session(at(cluster.hosts, home), at(name === 'send' ? ALL : MOVING, session));
        if (!one) { // its home is being replaced
            return;
        }
        const through = at(cluster.of(one.slot.version), host);
        switch (name) {
        case 'send':
            await cluster.send(through, one, drawn);
            break;
        case 'broadcast':
            await cluster.broadcast(at(cluster.hosts, host));
            break;
        case 'hop':
            one.client.connect(through.running ? through : cluster.running(through.version, one.client.random), drawn.transport, drawn.leaveFirst);
            break;
        case 'away':
            one.client.leave(drawn.ms);
            break;
        case 'read':
            await this.read(through, one);
            break;
        case 'to the other version':
            await cluster.send(at(cluster.hosts.filter(({ version }) => version !== through.version), host), one);
            break;
        default:
            if (cluster.lost.length > 0) {
                await cluster.send(through, at(cluster.lost, session));
            }
        }
    }

    async read(through, session) {
        const before = session.lastId;
        const answer = await this.cluster.call(through, 'GET', `/sessions/${encodeURIComponent(session.key)}`);
        if (answer && !session.over) {
            session.expect(answer.status === 200 || answer.status === 502, () => `read through ${through.name}: ${answer.status} ${answer.text}`);
            session.expect(answer.status !== 200 || answer.body.lastId >= before, () => `read through ${through.name}: lastId ${answer.body.lastId}, and was ${before}`);
        }
    }

    // --- convergence ---

    async peersUp() {
        const { cluster } = this;
        const counts = await Promise.all(cluster.hosts.map(async (host) => {
            const { mesh_peers_up: up } = await host.backend.status();
            return { host, up, due: cluster.of(host.version).length - 1 };
        }));
        return counts.filter(({ up, due }) => up !== due).map(({ host, up, due }) => `${host.name} has ${up} of ${due} peers`);
    }

    // Resolves when a message through the host was queued, and came to the session's client.
    async probe(host, session, isOver) {
        let done = false;
        while (!done && !isOver()) {
            const first = this.cluster.serial + 1;
            const sending = this.cluster.send(host, session).then((outcome) => ({ outcome, serial: first }));
            this.begin(sending);
            const arrived = async () => {
                const { outcome } = await sending;
                while (outcome === 'queued' && !isOver()) {
                    const message = [...session.messages.values()].find(({ text }) => text.includes(`"n":${first},`));
                    if (!message || message.arrivedAt > 0) {
                        done = true;
                        return;
                    }
                    await delay(20);
                }
                await delay(100);
            };
            await Promise.race([arrived().catch(this.cluster.onViolation), delay(PROBE_AGAIN_MS)]);
        }
    }

    async converge() {
        const { cluster } = this;
        const start = Date.now();
        const isOver = () => cluster.violation !== null || Date.now() - start > this.limit;
        const lacking = new Set();
        const probes = cluster.sessions.flatMap((session) => cluster.of(session.slot.version).map(async (host) => {
            const name = `${host.name} to ${session.name} (client at ${session.client.host.name})`;
            lacking.add(name);
            await this.probe(host, session, isOver);
            if (!isOver()) {
                lacking.delete(name);
            }
        }));
        let missing = ['?'];
        const peers = (async () => {
            while (missing.length > 0 && !isOver()) {
                missing = await this.peersUp();
                await delay(missing.length > 0 ? 50 : 0);
            }
        })();
        await Promise.all([...probes, peers]);
        cluster.check();
        this.convergedIn = Date.now() - start;
        expect(lacking.size === 0 && missing.length === 0, () => `not as before ${this.limit} ms after everything was healed: `
            + `${missing.join(', ')}; no message came from ${[...lacking].slice(0, 12).join(', ')}${lacking.size > 12 ? ` and ${lacking.size - 12} more` : ''}`);
        this.context.note(`converged in ${this.convergedIn} ms`);
    }

    // --- comparison ---

    async compare() {
        const { cluster } = this;
        let timer;
        const limit = new Promise((resolve) => { timer = setTimeout(resolve, ANSWER_LIMIT_MS); });
        await Promise.race([Promise.all([...this.pending]), limit]);
        clearTimeout(timer);
        expect(this.pending.size === 0, () => `${this.pending.size} requests have no answer ${ANSWER_LIMIT_MS} ms after everything was well again`);
        cluster.check();
        cluster.hosts.forEach((host) => host.freshen());
        cluster.calm = true;
        this.repeated = await cluster.repeatOpen();
        await Promise.all(cluster.hosts.map(async (host) => {
            const answer = await cluster.broadcast(host);
            const due = cluster.of(host.version).length - 1;
            expect(answer && answer.peers === due && answer.peersFailed === 0, () => `broadcast by ${host.name}, with ${due} peers up: ${JSON.stringify(answer)}`);
        }));
        await cluster.settle(SETTLE_LIMIT_MS);
        cluster.judgeBroadcasts();
        cluster.check();
        const wrong = cluster.hosts.find(({ mishap }) => mishap);
        expect(!wrong, () => `the log of ${wrong.name} tells of ${wrong.mishap}`);
    }
}

module.exports = { Episode };
