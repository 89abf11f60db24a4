'use strict';
// All hosts, of two versions of a service, their sessions with a client each, and what is sent.

const { expect } = require('../model');
const { Random, mix } = require('../../integration/lib/random');
const { until } = require('../../integration/lib/wait');
const { Client } = require('./client');
const { Host } = require('./host');
const { Session } = require('./session');

const VERSIONS = ['1.0.0', '2.0.0'];
const SESSIONS_PER_HOST = 3;
const HISTORY = 60;

class Cluster {
    // options: {seed, netns, hosts: how many of each version, zookeeper: {hosts}, workers}
    constructor({ seed, netns, hosts, zookeeper, workers }) {
        this.seed = seed;
        let place = 1; // the hub's
        this.hosts = hosts.flatMap((count, v) => Array.from({ length: count }, (_, i) => {
            place += 1;
            return new Host(`${'ab'[v]}${i + 1}`, place, VERSIONS[v], netns, zookeeper, workers);
        }));
        this.sessions = [];
        this.lost = []; // sessions whose home is gone for good
        this.broadcasts = [];
        this.serial = 0;
        this.history = [];
        this.outcomes = {};
        this.cut = 0;
        this.messages = 0;
        this.violation = null;
        this.calm = true;
        this.onViolation = (error) => { this.violation = this.violation || error; };
    }

    note(text) {
        this.history.push(`${new Date().toISOString().slice(11, 23)} ${text}`);
        this.history = this.history.slice(-HISTORY);
    }

    check() {
        if (this.violation) {
            throw this.violation;
        }
    }

    of(version) {
        return this.hosts.filter((host) => host.version === version);
    }

    // A host that clients of a version may go to, also one that hangs.
    running(version, random) {
        const up = this.of(version).filter(({ running }) => running);
        return random.pick(up.length > 0 ? up : this.of(version));
    }

    async start() {
        await Promise.all(this.hosts.map((host) => host.start()));
        for (const host of this.hosts) {
            await this.populate(host);
        }
    }

    // The first session's client stays with its home.
    async populate(host) {
        for (let i = 0; i < SESSIONS_PER_HOST; i += 1) {
            this.serial += 1;
            const name = `${host.name}.${i}.${this.serial}`;
            const session = new Session(name, host, await host.backend.createSession(name, { ttl: 3600 }));
            const isLocal = i === 0;
            const client = new Client(session, {
                random: new Random(mix(this.seed, this.serial)),
                hostFor: (random) => (isLocal ? host : this.running(host.version, random)),
                fixed: isLocal ? 'websocket' : null,
                onViolation: this.onViolation,
                onHostGone: () => this.calm,
                onSuperseded: () => this.count('newest connection superseded'),
            });
            Object.assign(session, { client, isLocal, index: i });
            // One that is under way may find it.
            this.broadcasts.filter((broadcast) => broadcast.host.version === host.version)
                .forEach(({ text }) => session.begin(text, { broadcast: true }));
            this.sessions.push(session);
            client.come();
        }
    }

    // The sessions of a host that will not come back under its ID.
    forsake(host) {
        for (const session of this.sessions.filter(({ slot }) => slot === host)) {
            session.over = true;
            session.client.stop();
            this.lost.push(session);
        }
        this.sessions = this.sessions.filter(({ over }) => !over);
        this.lost = this.lost.slice(-10);
    }

    // The session of a slot, which is another one after its home had a new ID.
    session(host, index) {
        return this.sessions.find((session) => session.slot === host && session.index === index);
    }

    count(outcome) {
        this.outcomes[outcome] = (this.outcomes[outcome] || 0) + 1;
    }

    // Resolves with the answer; or null when it was cut off or timed out: it may have been carried out.
    async call(host, method, path, body) {
        let answer;
        try {
            answer = await host.backend.call(method, path, body);
        } catch (error) {
            this.cut += 1;
            return null;
        }
        if (answer.status === 503 || answer.status === 504) {
            this.count(answer.status);
            return null;
        }
        return answer;
    }

    // --- messages ---

    // Resolves with the outcome: queued, open, or how it was refused.
    async send(host, session, { count = 1, key = false } = {}) {
        const texts = Array.from({ length: count }, () => {
            this.serial += 1;
            return `[["m",{"to":"${session.name}","n":${this.serial},"by":"${host.name}"}]]`;
        });
        const idempotencyKey = key ? `key-${this.serial}` : undefined;
        const messages = texts.map((text) => session.begin(text, { key: idempotencyKey }));
        return this.request(host, session, messages, idempotencyKey);
    }

    async request(host, session, messages, idempotencyKey) {
        const body = `{"to":${JSON.stringify(session.key)},"messages":[${messages.map(({ text }) => text)}]`
            + `${idempotencyKey ? `,"idempotencyKey":"${idempotencyKey}"` : ''}}`;
        const answer = await this.call(host, 'POST', '/messages', body);
        if (!answer) {
            session.note(`${messages[0].text}: no answer`);
            this.count('cut off');
            return 'open';
        }
        session.expect(answer.status === 200, () => `send: ${answer.status} ${answer.text}`);
        const [{ outcome, ids }] = answer.body.results;
        this.count(outcome);
        session.note(`${messages[0].text} through ${host.name}: ${outcome} ${ids || ''}`);
        if (session.over) {
            session.expect(outcome !== 'queued' || !session.gone, `${outcome}, and its home is gone for good`);
            return outcome;
        }
        if (outcome === 'queued') {
            this.messages += messages.length;
            session.expect(session.slot.version === host.version, 'a host of another version took a message for it');
            session.expect(ids.length === messages.length, () => `${messages.length} messages got the IDs ${ids}`);
            messages.forEach((message, i) => session.queued(message, ids[i]));
        } else if (outcome !== 'timedOut') {
            messages.forEach((message) => session.refused(message, outcome));
        }
        return outcome === 'timedOut' ? 'open' : outcome;
    }

    // What was left open under a key is sent again: it must be stored once.
    async repeatOpen() {
        const groups = new Map();
        for (const session of this.sessions) {
            for (const message of session.messages.values()) {
                if (message.key && message.state === 'open') {
                    groups.set(message.key, { session, messages: [...((groups.get(message.key) || {}).messages || []), message] });
                }
            }
        }
        await Promise.all([...groups].map(async ([key, { session, messages }]) => {
            messages.forEach((message) => { message.after = 0; });
            const outcome = await this.request(session.slot, session, messages, key);
            session.expect(outcome === 'queued', () => `${messages[0].text}, sent again with its key: ${outcome}`);
        }));
        return groups.size;
    }

    async broadcast(host) {
        this.serial += 1;
        const text = `[["b",{"all":"${host.version}","n":${this.serial},"by":"${host.name}"}]]`;
        const sessions = this.sessions.filter((session) => session.slot.version === host.version);
        sessions.forEach((session) => session.begin(text, { broadcast: true }));
        const { epoch } = host;
        const broadcast = { text, host, epoch, sessions, epochs: new Map(this.hosts.map((one) => [one, one.epoch])), answer: null };
        this.broadcasts.push(broadcast);
        const { calm } = this;
        const answer = await this.call(host, 'POST', '/broadcast', `{"message":${text}}`);
        if (answer) {
            expect(answer.status === 200, () => `broadcast by ${host.name}: ${answer.status} ${answer.text}`);
            broadcast.answer = answer.body;
            broadcast.sure = calm && this.calm;
            this.note(`broadcast ${text} by ${host.name}: ${answer.text}`);
        }
        return answer && answer.body;
    }

    // Hosts of the same version that got it: all of their sessions, or none.
    judgeBroadcast({ text, host, sessions, answer, epochs, sure }) {
        const there = sessions.filter(({ over }) => !over);
        const reached = new Set();
        for (const one of this.of(host.version)) {
            const theirs = there.filter(({ slot }) => slot === one);
            const got = theirs.filter((session) => session.messages.has(text) && session.messages.get(text).id > 0);
            const calm = epochs.get(one) === one.epoch;
            if (got.length > 0) {
                reached.add(one);
            }
            expect(!calm || got.length === 0 || got.length === theirs.length,
                () => `${text} reached ${got.map(({ name }) => name)}, but not all mailboxes of ${one}`);
            const must = answer && calm && theirs.length > 0 && (one === host || sure);
            expect(!must || got.length > 0, () => `${text} reached no mailbox of ${one}: ${JSON.stringify(answer)}`);
        }
        reached.delete(host);
        expect(!answer || reached.size <= answer.peers, () => `${text} reached ${[...reached].join(' and ')}: ${JSON.stringify(answer)}`);
    }

    // --- comparison ---

    // Every session's client has everything that its home says is there, and each broadcast that must be.
    async settle(limit) {
        await Promise.all(this.sessions.map((session) => this.settleSession(session, limit)));
    }

    async settleSession(session, limit) {
        const broadcasts = this.broadcasts.filter(({ sure, answer, sessions }) => sure && answer && sessions.includes(session))
            .map(({ text }) => session.messages.get(text));
        const lacks = () => session.lacks || broadcasts.filter(({ id }) => id === 0).map(({ text }) => `${session.name} has no ${text}`)[0];
        let last;
        await until(() => `its client gets everything: ${lacks() || 'no record'}`, async () => {
            this.check();
            const before = { floor: session.floor, lastId: session.lastId };
            last = { before, record: await session.slot.backend.session(session.key) };
            session.lastId = Math.max(session.lastId, last.record.lastId);
            return !lacks();
        }, limit, 50).catch((error) => {
            this.check();
            session.expect(false, error.message);
        });
        session.compare(last.record, last.before);
    }

    judgeBroadcasts() {
        this.broadcasts.forEach((broadcast) => this.judgeBroadcast(broadcast));
        this.broadcasts = [];
        this.sessions.forEach((session) => session.forget());
    }

    async dispose() {
        [...this.sessions, ...this.lost].forEach((session) => session.client.stop());
        const results = await Promise.allSettled(this.hosts.map((host) => host.dispose()));
        const failed = results.find(({ status }) => status === 'rejected');
        if (failed) {
            throw failed.reason;
        }
    }
}

module.exports = { Cluster };
