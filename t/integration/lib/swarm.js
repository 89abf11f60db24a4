'use strict';
// Many sessions with restless clients: they confirm at random, and reconnect at random with a random
// transport. Each checks its own inbox.

const { Inbox, TRANSPORTS, newClient } = require('./clients');
const { until } = require('./wait');

class Member {
    constructor(swarm, key) {
        this.swarm = swarm;
        this.key = key;
        this.inbox = new Inbox();
        this.sent = 0;
        this.unconfirmed = new Set();
        this.connections = 0;
        this.ends = [];
        this.failure = null;
    }

    connect(transport = this.swarm.random.pick(TRANSPORTS)) {
        if (this.client) {
            this.client.close(this.swarm.random.chance(0.5));
        }
        this.connections += 1;
        const connection = this.connections;
        this.transport = transport;
        this.client = newClient(transport, this.swarm.urlOf(this), this.key, {
            onPack: (pack, text) => this.received(connection, pack, text),
            onEnd: (reason) => this.ended(connection, reason),
        });
        return this.client.connect();
    }

    received(connection, pack, text) {
        try {
            this.inbox.take(pack, text).forEach((id) => this.unconfirmed.add(id));
        } catch (error) {
            this.failure = this.failure || error;
        }
        if (connection === this.connections && this.swarm.random.chance(this.swarm.confirmChance)) {
            this.confirm();
        }
    }

    // What an event stream or a broken poll does not carry is confirmed again at the end.
    confirm() {
        if (this.unconfirmed.size > 0) {
            this.client.confirm([...this.unconfirmed]);
            this.unconfirmed.clear();
        }
    }

    // Clients whose connection ended without their doing come back by the same transport, as an SDK does.
    ended(connection, reason) {
        this.ends.push(reason);
        const current = () => connection === this.connections && !this.swarm.stopped;
        if (current()) {
            setTimeout(() => current() && this.connect(this.transport), 20);
        }
    }

    get complete() {
        return this.inbox.highest === this.sent;
    }
}

class Swarm {
    // urlOf(member) names the host that a member connects to next.
    constructor(random, urlOf) {
        this.random = random;
        this.urlOf = urlOf;
        this.confirmChance = 0.5;
        this.members = [];
        this.stopped = false;
    }

    async join(backend, count, prefix = 'player') {
        const keys = await Promise.all(Array.from({ length: count },
            (_, i) => backend.createSession(`${prefix}-${this.members.length + i}`)));
        const joined = keys.map((key) => new Member(this, key));
        this.members.push(...joined);
        await Promise.all(joined.map((member) => member.connect()));
    }

    // Sends `count` messages to random members, in bulk through random backends, while clients move:
    // after each bulk, `restlessness` of the members reconnect. A refused message fails the test.
    async rush(backends, count, { bulk = 200, size = 40, restlessness = 0.02 } = {}) {
        for (let done = 0; done < count; done += bulk) {
            const recipients = Array.from({ length: Math.min(bulk, count - done) }, () => this.random.pick(this.members));
            const orders = recipients.map((member, i) => (
                { to: member.key, message: [['tick', { n: done + i, pad: 'x'.repeat(this.random.below(size)) }]] }));
            const lines = await this.random.pick(backends).sendMany(orders);
            lines.forEach(({ results: [result] }, i) => {
                if (result.outcome !== 'queued') {
                    throw new Error(`a message was refused: ${JSON.stringify(result)}`);
                }
                recipients[i].sent = Math.max(recipients[i].sent, ...result.ids);
            });
            for (let i = 0; i < this.members.length * restlessness; i += 1) {
                this.random.pick(this.members).connect();
            }
        }
    }

    // Waits until every member has everything; then each confirms all of it on a new connection.
    async settle(limit = 60000) {
        const missing = () => this.members.filter((member) => !member.complete);
        await until('every client has every message', () => {
            this.check();
            return missing().length === 0;
        }, limit).catch((error) => {
            const shown = missing().slice(0, 5).map((m) => `${m.transport} has ${m.inbox.highest} of ${m.sent}, ends ${m.ends}`);
            throw new Error(`${error.message}: ${missing().length} lack some: ${shown.join('; ')}`);
        });
        this.confirmChance = 1;
        await Promise.all(this.members.filter((member) => member.sent > 0).map(async (member) => {
            await member.connect('websocket');
            member.client.confirm([member.sent]);
        }));
    }

    check() {
        const failed = this.members.find((member) => member.failure);
        if (failed) {
            throw failed.failure;
        }
    }

    stop() {
        this.stopped = true;
        this.members.forEach((member) => member.client && member.client.close(true));
    }
}

module.exports = { Swarm };
