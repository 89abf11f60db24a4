'use strict';
// The phone: its network is gone without a word, it comes back by another one, and the server learns
// late that the old connection is dead. The new one gets everything, and stays.
// SEED=N repeats a run, FULL=1 runs more rounds.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const test = require('node:test');
const { Inbox, newClient } = require('./lib/clients');
const { Namespaces, impossible } = require('./lib/namespaces');
const { Phone } = require('./lib/phone');
const { Random } = require('./lib/random');
const { Server } = require('./lib/server');
const { until } = require('./lib/wait');

const ADDRESSES = { server: '10.78.0.1', phone: '10.78.0.2' };
const TRANSPORTS = ['websocket', 'sse', 'longpolling'];
const ROUNDS = process.env.FULL ? 20 : 4;
const PER_ROUND = 9;

// How many connections with the phone the server still believes in.
function connectionsWith(address) {
    const hex = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0')).reverse().join('').toUpperCase();
    return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n')
        .filter((line) => line.includes(` ${hex}:`) && / 01 /.test(line.slice(line.indexOf(` ${hex}:`)))).length;
}

class Story {
    constructor(id, server, phone, random) {
        Object.assign(this, { id, server, phone, sent: 0 });
        this.from = random.pick(TRANSPORTS);
        this.to = random.pick(TRANSPORTS);
        this.counts = [1 + random.below(20), random.below(20), random.below(20)];
        this.confirms = random.chance(0.5);
        this.waits = random.chance(0.4); // comes back only when the server knows that it was gone
        this.inbox = new Inbox();
        this.ends = [];
        this.broken = null;
    }

    get name() {
        return `${this.id} (${this.from}, then ${this.to})`;
    }

    async send(count) {
        for (let i = 0; i < count; i += 1) {
            const [{ outcome, ids }] = await this.server.backend.send(this.key, [['tick', this.sent + 1]]);
            assert.deepEqual([outcome, ids], ['queued', [this.sent + 1]]);
            this.sent += 1;
        }
    }

    async begin() {
        this.key = await this.server.backend.createSession(`phone-${this.id}`);
        this.phone.connect(this.id, this.from, this.server.url, this.key);
        await until(`${this.name} is attached`, async () => (await this.server.backend.session(this.key)).attached)
            .catch((error) => assert.fail(`${error.message}; its connection ended: ${this.phone.ends.get(this.id)}`));
        await this.send(this.counts[0]);
        await until(`${this.name} has the first messages`, () => this.phone.received.get(this.id) === this.sent);
        if (this.confirms && this.from !== 'sse') {
            this.phone.confirm(this.id, [this.sent]);
            await until(`${this.name} confirms`, async () => (await this.server.backend.session(this.key)).pending === 0);
        }
        this.inbox.highest = (await this.server.backend.session(this.key)).confirmed;
    }

    // By a network that works.
    async comeBack() {
        this.client = newClient(this.to, this.server.url, this.key, {
            onPack: (pack, text) => {
                try {
                    const ids = this.inbox.take(pack, text);
                    this.client.confirm(ids);
                } catch (error) {
                    this.broken = error;
                }
            },
            onEnd: (...reason) => this.ends.push(reason),
        });
        await this.client.connect();
        await this.all();
        await this.send(this.counts[2]);
        await this.all();
    }

    async all() {
        await until(`${this.name} has everything`, () => this.broken || this.inbox.highest === this.sent)
            .catch((error) => assert.fail(`${error.message}: ${this.inbox.highest} of ${this.sent}; ${JSON.stringify(this.ends)}`));
        assert.equal(this.broken, null);
    }

    async end() {
        await until(`${this.name} is attached still`, async () => (await this.server.backend.session(this.key)).attached);
        await this.send(1);
        await this.all();
        assert.deepEqual(this.ends, [], this.name);
        this.client.close();
        await this.server.backend.deleteSession(this.key);
    }
}

async function round(number, server, phone, namespaces, random) {
    const stories = Array.from({ length: PER_ROUND }, (_, i) => new Story(number * PER_ROUND + i, server, phone, random));
    const each = (work) => Promise.all(stories.map(work));
    await each((story) => story.begin());
    namespaces.setLink('phone', false);
    await each((story) => story.send(story.counts[1]));
    const [patient, hasty] = [true, false].map((waits) => stories.filter((story) => story.waits === waits));
    await Promise.all(hasty.map((story) => story.comeBack()));
    // A WebSocket misses its pong, a poll is over with its answer; of an event stream only TCP tells, late.
    const silent = patient.filter((story) => story.from === 'sse').length;
    await until('the server gives up the dead connections', () => connectionsWith(ADDRESSES.phone) <= silent);
    await Promise.all(patient.map((story) => story.comeBack()));
    await until('no dead connection is left', () => connectionsWith(ADDRESSES.phone) === 0);
    await each((story) => story.end());
    namespaces.setLink('phone', true);
}

function scenario(namespaces) {
    test('a phone in a tunnel', async (t) => {
        const random = new Random();
        t.diagnostic(`SEED=${random.seed}`);
        const server = await Server.start({
            workers: 3,
            limits: { headerTimeout: '2s' },
            msgStream: {
                pollPace: '50ms',
                transports: { websocket: { pingInterval: '1s' }, sse: { heartbeat: '1s' }, longpolling: { heartbeat: '3s' } },
            },
        }, { host: ADDRESSES.server });
        t.after(() => server.dispose());
        for (let number = 0; number < ROUNDS; number += 1) {
            const phone = new Phone(namespaces.names.phone);
            await round(number, server, phone, namespaces, random).finally(() => phone.dispose());
            assert.deepEqual(phone.errors, []);
        }
        const status = await server.backend.status();
        assert.equal(status.attached_stream + status.attached_long_poll, 0);
        t.diagnostic(`${ROUNDS * PER_ROUND} phones, ${status.accepted} messages, ${status.superseded} superseded`);
    });
}

// The scenario runs in a process inside the server's namespace.
if (process.env.PHONE_NAMESPACES) {
    const namespaces = Object.assign(Object.create(Namespaces.prototype), JSON.parse(process.env.PHONE_NAMESPACES));
    scenario(namespaces);
} else {
    test('the phone, in a network namespace of its own', { skip: impossible() }, (t) => {
        const namespaces = new Namespaces(ADDRESSES);
        t.after(() => namespaces.dispose());
        const { NODE_TEST_CONTEXT, ...env } = process.env;
        const { status, stdout, stderr } = spawnSync('ip', ['netns', 'exec', namespaces.names.server, process.execPath,
            '--test-reporter=spec', __filename], { env: { ...env, PHONE_NAMESPACES: JSON.stringify(namespaces) }, encoding: 'utf8' });
        assert.equal(status, 0, `${stdout}\n${stderr}`);
        t.diagnostic(stdout.split('\n').filter((line) => /SEED|phones/.test(line)).map((line) => line.replace(/^\S* */, '').trim()).join(', '));
    });
}
