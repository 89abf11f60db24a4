'use strict';
// MMRP with MAGE 1.6, cell by cell: each type of envelope, from MAGE to ours, from ours to MAGE and
// through ours from one MAGE host to another; of a relay and of a worker, whose route is one hop
// longer; by the peer's DEALER and by its ROUTER. Whatever our host sends to any peer in the course
// of a cell is recorded and compared byte by byte with what MAGE would have sent.
//
// Names in envelopes: A ours, B the peer, V its worker, R the return route of its role (B or B|V),
// C another MAGE host, U its worker, addr the session's address, W our attachment, J a handshake.

const assert = require('assert');
const test = require('node:test');
const { newClient } = require('./lib/clients');
const { MageHost } = require('./lib/mage_host');
const { SAID_BESIDES, asMageSays, framesOf, textOf } = require('./lib/mmrp_notation');
const { get } = require('./lib/server');
const { until } = require('./lib/wait');
const { missing } = require('./lib/zookeeper');

const skip = missing();
const IN = 'MAGE → ours';
const OUT = 'ours → MAGE';
const THROUGH = 'MAGE → ours → MAGE';
const ROUTER = 'ROUTER';
const DEALER = 'DEALER';

const handshakeOf = (clusterId, identity, isRelay) =>
    JSON.stringify({ clusterId, identity, isRelay, isClient: !isRelay });

let mage; // both connections
let other; // both too: where broadcasts and what is forwarded go
let deaf; // announced, but only its DEALER is connected: all that ours sends leaves by our ROUTER
let backend;
let count = 0;
let green = 0;

const soon = (what, condition) => until(what, condition, 10000, 1);
const isHandshake = (frames) => frames[frames.length - 1].toString('latin1').endsWith('mmrp.handshake');

class Cell {
    constructor(row, role, by) {
        Object.assign(this, { row, role, by, number: count += 1 });
        // What ours sends arrives at the peer's ROUTER, unless only its DEALER is there.
        this.mage = row.direction === OUT && by === DEALER ? deaf : mage;
        const { id, ours } = this.mage;
        const worker = `${id}:${this.number}:0`;
        this.names = { A: ours, B: id, V: worker, R: role === 'worker' ? [id, worker] : [id], C: other.id, U: `${other.id}:7:1` };
        this.names.J = handshakeOf(id, role === 'worker' ? worker : id, role !== 'worker');
        this.marks = new Map([mage, other, deaf].map((host) => [host, host.peer.frames.length]));
    }

    // As the peer's relay: through its ROUTER, or the DEALER that is connected to us. A worker's
    // envelope comes with the way back to it.
    async say(template) {
        const worker = this.role === 'worker' && template.replace(/\|<>\|\x00/, '|<>|R|\x01');
        const by = this.row.direction === OUT ? DEALER : this.by;
        await this.mage.peer.sendFrames(framesOf(worker || template, this.names), by === DEALER ? this.names.A : undefined);
    }

    // All that our host sent to a peer since the cell began, the first hop included, which a ROUTER
    // takes off; without handshakes, which are repeated.
    sentTo(host) {
        return host.peer.frames.slice(this.marks.get(host)).filter(({ frames }) => !isHandshake(frames))
            .map(({ via, frames }) => textOf(via === 'router' ? frames.slice(1) : [Buffer.from(host.id), ...frames]));
    }

    // Our host sends exactly this to the peer (and to the other one), and nothing to anybody else. An
    // envelope that cannot be passed on comes back behind all that was sent before it.
    async hears(own, others = []) {
        const told = new Map([[mage, []], [deaf, []], [other, others]]);
        told.set(this.mage, own);
        for (const [host, templates] of told) {
            await soon(() => `${templates.length} envelopes, not ${JSON.stringify(this.sentTo(host))}`,
                () => this.sentTo(host).length >= templates.length);
        }
        await this.fences();
        for (const host of told.keys()) {
            const back = this.fenceOf(host);
            const sent = this.sentTo(host).filter((text) => text !== back);
            const said = sent.map((text) => (text.endsWith('sendError') ? text : asMageSays(text)));
            assert.deepStrictEqual(said, told.get(host).map((template) => textOf(framesOf(template, this.names))), `to ${host.id}`);
            const via = host.peer.frames.slice(this.marks.get(host)).filter(({ frames }) => !isHandshake(frames));
            assert.ok(via.every((one) => (one.via === 'router') === (host !== deaf)), 'by the connection that is there');
            this.marks.set(host, host.peer.frames.length);
        }
    }

    fenceOf(host) {
        return textOf(framesOf(`B|<>|Host unreachable|fence|${this.number}|<>|\x00mmrp.sendError`, { B: host.id }));
    }

    // Until a fence came back from each peer.
    fences() {
        return Promise.all([...this.marks.keys()].map(async (host) => {
            const names = { A: host.ours, B: host.id };
            const by = this.row.direction === OUT || this.by === DEALER || host === deaf ? names.A : undefined;
            await host.peer.sendFrames(framesOf(`A|nobody:1|<>|${this.number}|<>|B|\x01fence`, names), by);
            await soon('the fence comes back', () => this.sentTo(host).includes(this.fenceOf(host)));
        }));
    }

    // Nothing of this cell is left for the next one to see.
    async finish() {
        if (this.ours) {
            this.ours.close(true);
        }
        if (this.key && !this.adopted) {
            await backend.call('DELETE', `/sessions/${encodeURIComponent(this.key)}`);
        }
        await soon('all attachments are over', async () => {
            const { attached_from_peers: theirs, attached_elsewhere: ours } = await backend.status();
            return theirs + ours === 0;
        });
        [...this.marks.keys()].forEach((host) => this.marks.set(host, host.peer.frames.length));
        await this.fences();
    }

    // A session of ours, with messages waiting.
    async session(...messages) {
        this.key = await backend.createSession(`carol-${this.number}`);
        this.names.addr = `sess/${this.key.slice(0, this.key.lastIndexOf('~'))}`;
        for (const message of messages) {
            await backend.send(this.key, message);
        }
    }

    state() {
        return backend.session(this.key);
    }

    async adopt() {
        this.key = await this.mage.adopt(`bob-${this.number}`, 'AbCdEfGh01234567');
        this.adopted = true;
        this.names.addr = `sess/${this.key}`;
    }

    // A client of ours of a session of the peer's, as far as the connect.
    async client(transport = 'websocket', style = 'never') {
        await this.adopt();
        this.packs = [];
        this.ours = newClient(transport, mage.server.url, this.key, { onPack: (pack, text) => this.packs.push(text) });
        await this.ours.connect();
        await this.connects(style);
    }

    // The client's attachment is the hop behind ours in the return route.
    async connects(style) {
        const pattern = new RegExp(`\\|${style}\\|.*\\|(${this.names.A}:\\d+)\\|\\x01msgServer\\.connect$`);
        [, this.names.W] = await soon('a connect', () => this.sentTo(this.mage).map((text) => pattern.exec(text)).find(Boolean));
        await this.hears([`B|<>|addr|${style}|<>|A|W|\x01msgServer.connect`]);
    }

    poll(transport, confirmed) {
        const query = new URLSearchParams({ transport, sessionKey: this.key, ...(confirmed ? { confirmIds: confirmed } : {}) });
        return get(`${mage.server.url}?${query}`);
    }

    given(...packs) {
        return soon(() => `the client has ${packs}, not ${this.packs}`, () => this.packs.length >= packs.length)
            .then(() => assert.deepStrictEqual(this.packs, packs));
    }
}

const both = { roles: ['relay', 'worker'], ways: [ROUTER, DEALER] };
const home = { roles: ['relay'], ways: [ROUTER] }; // what only goes to a mailbox's home, which is up
const rows = [];
const row = (direction, type, cells, run) => rows.push({ direction, type, ...cells, run });

/* --- MAGE → ours ------------------------------------------------------------------------------- */

row(IN, 'mmrp.handshake', both, async (c) => {
    const before = await backend.status();
    await c.say('A|<>|J|<>|R|\x01mmrp.handshake');
    await c.hears([]);
    const now = await backend.status();
    const taken = c.role === 'relay' ? 1 : 0; // clients of other clusters are ignored
    assert.strictEqual(now.mesh_handshakes_received - before.mesh_handshakes_received, taken);
    assert.deepStrictEqual([now.mesh_peers, now.mesh_peers_up], [before.mesh_peers, before.mesh_peers_up]);
});

row(IN, 'mmrp.sendError', both, async (c) => {
    await c.client();
    await c.say('A|W|<>|Host unreachable|msgServer.connect|addr|never|<>|\x00mmrp.sendError');
    await c.hears(['B|<>|addr|never|<>|A|W|\x01msgServer.connect']);
    assert.deepStrictEqual(c.packs, []);
});

row(IN, 'msgServer.connect never', both, async (c) => {
    await c.session([['a', { x: 1 }]], [['b']]);
    await c.say('A|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|addr|1|[["a",{"x":1}]]|2|[["b"]]|<>|\x00msgServer.messagepack']);
    await backend.send(c.key, [['c']]);
    await c.hears(['R|<>|addr|3|[["c"]]|<>|\x00msgServer.messagepack']);
    assert.strictEqual((await c.state()).attached, true);
});

row(IN, 'msgServer.connect ondelivery', both, async (c) => {
    await c.session();
    await c.say('A|<>|addr|ondelivery|<>|R|\x01msgServer.connect');
    await c.hears([]);
    await backend.send(c.key, [['a']]);
    await c.hears(['R|<>|addr|1|[["a"]]|<>|\x00msgServer.messagepack']);
    await backend.send(c.key, [['b']]);
    await c.hears([]);
    assert.strictEqual((await c.state()).attached, false);
});

row(IN, 'msgServer.connect always', both, async (c) => {
    await c.session([['a']]);
    await c.say('A|<>|addr|always|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|addr|1|[["a"]]|<>|\x00msgServer.messagepack']);
    assert.strictEqual((await c.state()).attached, false);
});

row(IN, 'msgServer.connect to no session', both, async (c) => {
    c.names.addr = 'sess/nobody:x';
    await c.say('A|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|addr|<>|\x00msgServer.hostGone']);
});

row(IN, 'msgServer.send', both, async (c) => {
    await c.session([['zero']]);
    await c.say('A|<>|addr|[["a",{"x":1}]]|[["b"]]|[["c"]]|<>|\x00msgServer.send');
    await c.hears([]);
    const { body } = await c.poll('shortpolling');
    assert.strictEqual(body, '{"1":[["zero"]],"2":[["a",{"x":1}]],"3":[["b"]],"4":[["c"]]}');
});

row(IN, 'msgServer.send to no session', both, async (c) => {
    const before = (await backend.status()).refused_no_session;
    await c.say('A|<>|sess/nobody:x|[["a"]]|[["b"]]|<>|\x00msgServer.send');
    await c.hears([]);
    assert.strictEqual((await backend.status()).refused_no_session, before + 2);
});

// MAGE sends all that is unconfirmed again with each new message.
row(IN, 'msgServer.messagepack', both, async (c) => {
    await c.client();
    await c.say('A|W|<>|addr|1|[["a"]]|2|[["b"]]|<>|\x00msgServer.messagepack');
    await c.say('A|W|<>|addr|1|[["a"]]|2|[["b"]]|3|[["c"]]|<>|\x00msgServer.messagepack');
    await c.given('{"1":[["a"]],"2":[["b"]]}', '{"3":[["c"]]}');
    await c.hears([]);
});

row(IN, 'msgServer.messagepack, empty', both, async (c) => {
    await c.adopt();
    const answer = c.poll('shortpolling');
    await c.connects('always');
    await c.say('A|W|<>|addr|<>|\x00msgServer.messagepack');
    const { status, body } = await answer;
    assert.deepStrictEqual([status, body], [204, '']);
    await c.hears([]);
});

row(IN, 'msgServer.confirm', both, async (c) => {
    await c.session([['a']], [['b']], [['c']]);
    await c.poll('shortpolling');
    c.names.J = `{"msgIds":["1","2"],"address":"${c.names.addr}"}`;
    await c.say('A|<>|J|<>|\x00msgServer.confirm');
    await c.hears([]);
    const { confirmed, pending } = await c.state();
    assert.deepStrictEqual([confirmed, pending], [2, 1]);
});

row(IN, 'msgServer.disconnect', both, async (c) => {
    await c.session();
    await c.say('A|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears([]);
    assert.strictEqual((await c.state()).attached, true);
    await c.say('A|<>|addr|<>|\x00msgServer.disconnect');
    await c.hears([]);
    assert.strictEqual((await c.state()).attached, false);
    await backend.send(c.key, [['a']]);
    await c.hears([]);
});

for (const [hop, here, onward] of [['*', 1, 1], ['*:r', 0, 1], ['*:c', 1, 0]]) {
    row(IN, `msgServer.broadcast ${hop}`, both, async (c) => {
        await c.session();
        await c.say(`A|${hop}|<>|[["all",${c.number}]]|<>|R|\x01msgServer.broadcast`);
        await c.hears([], onward ? [`C|*:c|<>|[["all",${c.number}]]|<>|A|R|\x01msgServer.broadcast`] : []);
        assert.strictEqual((await c.state()).lastId, here);
    });
}

row(IN, 'msgServer.hostGone', both, async (c) => {
    await c.client();
    await c.say('A|W|<>|addr|<>|\x00msgServer.hostGone');
    await c.given('{"0":[["session.unset","hostGone"]]}');
    await c.hears([]);
});

/* --- ours → MAGE ------------------------------------------------------------------------------- */

const SENDS_NO_HANDSHAKE = 'to MAGE only by our own connection, when there is one';
row(OUT, 'mmrp.handshake', { roles: ['relay'], ways: [ROUTER, DEALER] }, async (c) => {
    const sent = c.mage.peer.frames.filter(({ frames }) => isHandshake(frames));
    if (c.by === DEALER) {
        assert.deepStrictEqual(sent, [], SENDS_NO_HANDSHAKE);
        return;
    }
    assert.ok(sent.length > 0);
    c.names.J = handshakeOf(c.names.A, c.names.A, true);
    for (const { via, frames } of sent) {
        assert.strictEqual(via, 'router');
        assert.strictEqual(asMageSays(textOf(frames.slice(1))), textOf(framesOf('B|<>|J|<>|A|\x01mmrp.handshake', c.names)));
    }
});

row(OUT, 'mmrp.sendError', both, async (c) => {
    c.names.addr = 'sess/carol:x';
    await c.say('A|nobody:1|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|Host unreachable|msgServer.connect|addr|never|<>|\x00mmrp.sendError']);
});

row(OUT, 'msgServer.messagepack', both, async (c) => {
    await c.session([['a']], [['b', [1, 2]]]);
    await c.say('A|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|addr|1|[["a"]]|2|[["b",[1,2]]]|<>|\x00msgServer.messagepack']);
});

row(OUT, 'msgServer.messagepack, empty', both, async (c) => {
    await c.session();
    await c.say('A|<>|addr|always|<>|R|\x01msgServer.connect');
    await c.hears(['R|<>|addr|<>|\x00msgServer.messagepack']);
});

row(OUT, 'msgServer.hostGone', both, async (c) => {
    await c.session();
    await c.say('A|<>|addr|never|<>|R|\x01msgServer.connect');
    await c.hears([]);
    await backend.deleteSession(c.key);
    await c.hears(['R|<>|addr|<>|\x00msgServer.hostGone']);
});

row(OUT, 'msgServer.send', { roles: ['relay'], ways: [ROUTER, DEALER] }, async (c) => {
    await c.adopt();
    const [{ to, outcome }] = await backend.send(c.key, [['one', { a: 1 }]], [['two']]);
    assert.deepStrictEqual([to, outcome], [c.key, 'forwarded']);
    await c.hears(['B|<>|addr|[["one",{"a":1}]]|[["two"]]|<>|\x00msgServer.send']);
});

row(OUT, 'msgServer.broadcast', { roles: ['relay'], ways: [ROUTER, DEALER] }, async (c) => {
    const answer = await backend.broadcast([['all', c.number]]);
    assert.deepStrictEqual([answer.peers, answer.peersFailed], [2, 1], 'the peer whose address does not answer is told of');
    const expected = (host) => `${host}|*:c|<>|[["all",${c.number}]]|<>|A|\x01msgServer.broadcast`;
    c.mage = mage;
    await c.hears([expected(mage.id)], [expected('C')]);
});

for (const [transport, style] of [['websocket', 'never'], ['sse', 'never'], ['longpolling', 'ondelivery']]) {
    row(OUT, `msgServer.connect ${style} (${transport})`, home, (c) => c.client(transport, style));
}

row(OUT, 'msgServer.connect always (shortpolling)', home, async (c) => {
    await c.adopt();
    const answer = c.poll('shortpolling');
    await c.connects('always');
    await c.say('A|W|<>|addr|1|[["x"]]|<>|\x00msgServer.messagepack');
    assert.strictEqual((await answer).body, '{"1":[["x"]]}');
    await c.hears([]);
});

row(OUT, 'msgServer.connect', { roles: ['relay'], ways: [DEALER] }, async (c) => {
    await c.adopt();
    c.ours = newClient('websocket', mage.server.url, c.key, { onPack: () => assert.fail('nothing comes') });
    await c.ours.connect();
    await c.hears([]); // a home that we cannot reach is waited for
});

row(OUT, 'msgServer.confirm', home, async (c) => {
    await c.client();
    await c.say('A|W|<>|addr|1|[["a"]]|2|[["b"]]|<>|\x00msgServer.messagepack');
    await c.given('{"1":[["a"]],"2":[["b"]]}');
    c.names.J = `{"msgIds":["1","2"],"address":"${c.names.addr}"}`;
    c.ours.confirm([1, 2]);
    await c.hears(['B|<>|J|<>|\x00msgServer.confirm']);
});

row(OUT, 'msgServer.confirm before the connect it came with', home, async (c) => {
    await c.adopt();
    const first = c.poll('longpolling');
    await c.connects('ondelivery');
    await c.say('A|W|<>|addr|1|[["a"]]|2|[["b"]]|<>|\x00msgServer.messagepack');
    assert.strictEqual((await first).body, '{"1":[["a"]],"2":[["b"]]}');
    await c.hears([]); // a poll that was answered is not disconnected
    const second = c.poll('longpolling', '1,2');
    const old = c.names.W;
    [, c.names.W] = await soon('a connect', () => c.sentTo(mage).map((text) => /\|([^|]+)\|\x01msgServer\.connect$/.exec(text)).find(Boolean));
    assert.notStrictEqual(c.names.W, old);
    c.names.J = `{"msgIds":["1","2"],"address":"${c.names.addr}"}`;
    await c.hears(['B|<>|J|<>|\x00msgServer.confirm', 'B|<>|addr|ondelivery|<>|A|W|\x01msgServer.connect']);
    await c.say('A|W|<>|addr|3|[["c"]]|<>|\x00msgServer.messagepack');
    const { status, headers, body } = await second;
    assert.deepStrictEqual([status, headers['content-type'], body], [200, 'application/json', '{"3":[["c"]]}']);
});

row(OUT, 'msgServer.disconnect', home, async (c) => {
    await c.client();
    c.ours.close();
    await c.hears(['B|<>|addr|<>|\x00msgServer.disconnect']);
});

/* --- MAGE → ours → MAGE ------------------------------------------------------------------------ */

for (const [type, flags] of [['mmrp.sendError', 0], ['msgServer.connect', 1], ['msgServer.send', 0], ['msgServer.messagepack', 0],
    ['msgServer.confirm', 0], ['msgServer.disconnect', 0], ['msgServer.hostGone', 0], ['msgServer.whatever', 3]]) {
    // A worker's envelope tracks its route, and is for a worker.
    row(THROUGH, type, both, async (c) => {
        const to = c.role === 'worker' ? 'C|U' : 'C';
        const tracked = c.role === 'worker' || (flags & 1);
        const meta = `${String.fromCharCode(flags | (tracked ? 1 : 0))}${type}`;
        await c.say(`A|${to}|<>|one|two|<>|${tracked ? 'R|' : ''}${meta}`);
        const said = [`${to}|<>|one|two|<>|${tracked ? 'A|R|' : ''}${meta}`];
        const frames = () => c.sentTo(other);
        await soon('it is passed on', () => frames().length > 0);
        assert.deepStrictEqual(frames(), said.map((template) => textOf(framesOf(template, c.names))));
    });
}

row(THROUGH, 'mmrp.handshake', { roles: ['relay'], ways: [DEALER] }, async (c) => {
    await c.say('A|C|<>|J|<>|R|\x01mmrp.handshake');
    // It was meant for another: whoever sent it has our address under a wrong name.
    await soon('it is refused', () => c.sentTo(mage).length > 0);
    assert.strictEqual(c.sentTo(mage)[0], textOf(framesOf('B|<>|Host unreachable|mmrp.handshake|J|<>|\x00mmrp.sendError', c.names)));
});

/* ---------------------------------------------------------------------------------------------- */

test.before(async () => {
    if (!skip) {
        mage = await MageHost.start();
        backend = mage.server.backend;
        other = await mage.another({ prefix: 'cccccccccccccccc', host: '127.0.0.3' });
        deaf = await mage.another({ prefix: 'dddddddddddddddd', host: '127.0.0.4', deaf: true });
    }
});
test.after(async () => {
    for (const host of [deaf, other, mage].filter(Boolean)) {
        await host.dispose();
    }
});

const cells = rows.flatMap((one) => one.roles.flatMap((role) => one.ways.map((by) => ({ one, role, by }))));
for (const { one, role, by } of cells) {
    test(`${one.direction} | ${one.type} | ${role} | ${one.direction === OUT ? 'to' : 'by'} its ${by}`, { skip }, async () => {
        const cell = new Cell(one, role, by);
        try {
            await one.run(cell);
            green += 1;
        } finally {
            await cell.finish();
        }
    });
}

test('the matrix', { skip }, async (t) => {
    for (const host of [mage, other]) { // all through the run
        const expected = textOf(framesOf('B|<>|J|<>|A|\x01mmrp.handshake',
            { A: host.ours, B: host.id, J: handshakeOf(host.ours, host.ours, true) }));
        host.multiparts.filter((text) => text.endsWith('handshake')).forEach((text) =>
            assert.strictEqual(asMageSays(text.replaceAll('||', '|<>|')), expected));
    }
    SAID_BESIDES.forEach(({ type, what, why }) => t.diagnostic(`ours sends more in ${type}: ${what} (${why})`));
    t.diagnostic(`cells: ${cells.length}, green: ${green}`);
    assert.strictEqual(green, cells.length);
    assert.strictEqual((await backend.status()).mesh_malformed, 0);
});
