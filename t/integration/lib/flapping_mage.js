'use strict';
// A MAGE host that comes and goes in every way that a process, a network and ZooKeeper can make it,
// while it has clients of sessions of ours, and sessions with clients at ours. It knows which packs may
// reach it: those for attachments that it made and has not replaced.

const net = require('net');
const { newClient } = require('./clients');
const { MmrpPeer } = require('./mmrp_peer');
const { freePort } = require('./server');

const LATE_MS = 1000; // packs may come by another connection than the fence that tells them stale

// Lets connections through to `target` ({host, port}), until they are cut.
class Proxy {
    static async open(host, port, target) {
        const proxy = new Proxy();
        Object.assign(proxy, { sockets: new Set(), target });
        proxy.server = net.createServer((inward) => proxy.accept(inward));
        await new Promise((resolve, reject) => {
            proxy.server.on('error', reject);
            proxy.server.listen(port, host, resolve);
        });
        proxy.port = proxy.server.address().port;
        return proxy;
    }

    accept(inward) {
        const outward = net.connect(this.target.port, this.target.host);
        for (const [from, to] of [[inward, outward], [outward, inward]]) {
            this.sockets.add(from);
            from.setNoDelay(true);
            from.on('data', (data) => {
                if (!to.destroyed && !from.silenced) {
                    to.write(this.cutting ? data.subarray(0, data.length >> 1) : data);
                }
                from.silenced = from.silenced || this.cutting; // as on a network, nothing comes behind a gap
            });
            from.on('error', () => {});
            from.on('close', () => {
                this.sockets.delete(from);
                to.destroy();
            });
        }
    }

    // In the midst of what is being said.
    cut() {
        this.cutting = true;
        setTimeout(() => {
            this.cutting = false;
            this.sockets.forEach((socket) => socket.resetAndDestroy());
        }, 2);
    }

    close() {
        this.server.close();
        this.sockets.forEach((socket) => socket.destroy());
    }
}

class FlappingMage {
    // world: {server, zookeeper, ours, random, problems, counts}
    static async start(world, number) {
        const mage = new FlappingMage();
        Object.assign(mage, {
            world,
            number,
            host: `127.0.1.${10 + number}`,
            generation: 0,
            names: new Set(), // all that it had
            workers: 0,
            stale: [], // withdraw announcements of former names
            attachments: new Map(), // worker → {address, replaced (when that was certain)}
            fences: new Map(), // worker → the attachments that its connect replaced
        });
        mage.inward = await Proxy.open(mage.host, 0, { host: '127.0.0.1', port: world.server.config.mmrp.bind.port });
        mage.outward = await Proxy.open(mage.host, await freePort(mage.host), null);
        mage.name();
        await mage.open();
        await mage.announce();
        mage.introduce();
        await mage.adopt();
        return mage;
    }

    name() {
        this.generation += 1;
        this.id = `${(this.number + 1).toString(16).repeat(12)}${String(this.generation).padStart(4, '0')}:${this.outward.port}`;
        this.attachments.clear();
        this.names.add(this.id);
    }

    async open() {
        this.peer = await MmrpPeer.start({ clusterId: this.id, host: this.host });
        this.outward.target = { host: this.host, port: this.peer.port };
        this.peer.onEnvelope = (envelope) => this.take(envelope);
        this.connect();
    }

    connect() {
        this.peer.connect(`tcp://${this.host}:${this.inward.port}`, this.world.ours);
    }

    introduce() {
        this.peer.handshake(this.world.ours).catch(() => {});
    }

    async announce(name = this.id) {
        this.withdraw = await this.world.zookeeper.announce(name, { ips: [this.host], game: 'game', version: '1.2.3', clusterId: this.id });
    }

    problem(what) {
        this.world.problems.push(`${this.id}: ${what}`);
    }

    say(route, messages, type, options = {}) {
        return this.peer.send(route, messages, type, options).catch(() => {});
    }

    /* --- its clients of sessions of ours ------------------------------------------------------- */

    // A worker's client attaches to a session; the one that it had there before is replaced, which is
    // certain when an envelope sent behind the connect has come back.
    attach(address) {
        const worker = `${this.id}:${this.workers += 1}:0`;
        const old = [...this.attachments.values()].filter((one) => one.address === address);
        this.attachments.set(worker, { address, replaced: 0 });
        const via = this.world.ours;
        this.say([via], [address, 'never'], 'msgServer.connect', { returnRoute: [worker], via });
        this.fences.set(worker, old);
        this.say([via, 'nobody:1'], [worker], 'fence', { track: true, via });
    }

    take({ route, messages, returnRoute, type }) {
        const [first, second] = messages.map(String);
        if (type === 'msgServer.messagepack') {
            this.takePack(route, first, messages);
        } else if (type === 'mmrp.sendError' && second === 'fence') {
            (this.fences.get(String(messages[2])) || []).forEach((old) => { old.replaced = Date.now(); });
        } else if (type === 'msgServer.connect') {
            this.served(first, returnRoute);
        } else if (type === 'msgServer.confirm') {
            const { msgIds, address } = JSON.parse(first);
            if (address === this.address) {
                msgIds.forEach((id) => this.waiting.delete(Number(id)));
            }
        }
    }

    takePack(route, address, messages) {
        const attachment = this.attachments.get(route[0]);
        this.world.counts.packs += 1;
        if (route.length === 2 && this.names.has(route[0])) {
            // Our host sent it before discovery told it who has the address now. Nobody gets it: MAGE
            // would pass it on to that name, which no DEALER has any more.
            this.world.counts.astray += 1;
            return;
        }
        if (route.length !== 1 || !attachment) {
            this.problem(`a pack for ${route}, which it never made`);
        } else if (attachment.address !== address) {
            this.problem(`a pack of ${address} for ${route}, whose address is ${attachment.address}`);
        } else if (attachment.replaced && Date.now() > attachment.replaced + LATE_MS) {
            this.problem(`a pack for ${route}, which it replaced ${Date.now() - attachment.replaced} ms ago`);
        }
        const ids = [];
        for (let i = 1; i < messages.length; i += 2) {
            const [[name, body]] = JSON.parse(messages[i + 1]);
            if (name === 'to' && body !== address) {
                this.problem(`a message for ${body} in a pack of ${address}`);
            }
            ids.push(String(messages[i]));
        }
        if (this.world.random.chance(0.8)) {
            this.say([this.world.ours], [JSON.stringify({ msgIds: ids, address })], 'msgServer.confirm');
        }
    }

    /* --- its session, whose client is at ours -------------------------------------------------- */

    async adopt() {
        if (this.client) {
            this.client.close(true);
        }
        this.key = `mage-${this.number}-${this.generation}:AbCdEfGh01234567`;
        this.address = `sess/${this.key}`;
        this.waiting = new Set();
        this.last = 0;
        this.way = null;
        const { backend } = this.world.server;
        await backend.must('POST', '/sessions', { actorId: `mage-${this.number}-${this.generation}`, key: 'AbCdEfGh01234567', home: this.id });
        await this.join();
    }

    // Each connection of the client has one attachment, and an attachment one connection.
    join() {
        const { world, address } = this;
        let handle = null;
        if (this.client) {
            this.client.close(true);
        }
        const client = newClient('websocket', world.server.url, this.key, {
            onPack: (pack) => {
                for (const [id, [[name, body]]] of Object.entries(pack)) {
                    if (name !== 'of') {
                        continue;
                    }
                    world.counts.received += 1;
                    handle = handle || body.handle;
                    if (body.address !== address || body.handle !== handle) {
                        this.problem(`the client of ${address} at ${handle} got a message for ${body.address} at ${body.handle}`);
                    }
                    if (world.handles.has(body.handle) && world.handles.get(body.handle) !== client) {
                        this.problem(`a message for ${body.handle} came to another client`);
                    }
                    world.handles.set(body.handle, client);
                    client.confirm([Number(id)]);
                }
            },
        });
        this.client = client;
        return client.connect();
    }

    served(address, returnRoute) {
        if (address === this.address) {
            this.way = returnRoute;
            this.deliver();
        }
    }

    // One message more, and all that is unconfirmed; each says whom it is for, by its newest way.
    push() {
        this.waiting.add(this.last += 1);
        this.deliver();
    }

    deliver() {
        if (this.way && this.waiting.size > 0) {
            const body = JSON.stringify([['of', { address: this.address, handle: this.way[this.way.length - 1] }]]);
            this.say(this.way, [this.address, ...[...this.waiting].flatMap((id) => [String(id), body])], 'msgServer.messagepack');
        }
    }

    /* --- flaps --------------------------------------------------------------------------------- */

    async both(introduced = true) {
        await this.peer.stop();
        await this.open();
        if (introduced) {
            this.introduce();
        }
    }

    async dealer() {
        this.connect();
    }

    async router() {
        this.peer.router.close();
        await this.peer.bind(`tcp://${this.host}:*`);
        this.outward.target.port = this.peer.port;
    }

    async znode() {
        await this.withdraw();
        await this.announce();
    }

    // A new process at the same address under another name; ZooKeeper still knows the old one.
    async renamed() {
        await this.peer.stop();
        this.stale.push(this.withdraw);
        this.name();
        await this.open();
        await this.announce();
        this.introduce();
        await this.adopt();
        while (this.stale.length > 2) {
            await this.stale.shift()();
        }
    }

    // The same name at another port: the node's name has the port.
    async moved() {
        const [old, withdraw] = [this.outward, this.withdraw];
        this.outward = await Proxy.open(this.host, await freePort(this.host), { host: this.host, port: this.peer.port });
        if (this.world.random.chance(0.5)) {
            await withdraw();
            await this.announce(`moved-${this.number}:${this.outward.port}`);
        } else {
            await this.announce(`moved-${this.number}:${this.outward.port}`);
            await withdraw();
        }
        old.close();
    }

    silent() {
        return this.both(false);
    }

    async late() {
        await this.both(false);
        setTimeout(() => this.introduce(), 300);
    }

    async cut() {
        this.inward.cut();
        this.outward.cut();
    }

    async stop() {
        for (const withdraw of [...this.stale, this.withdraw]) {
            await withdraw();
        }
        await this.leave();
    }

    // Without a word.
    async leave() {
        this.client.close(true);
        await this.peer.stop();
        this.inward.close();
        this.outward.close();
    }
}

const FLAPS = ['both', 'dealer', 'router', 'znode', 'renamed', 'moved', 'silent', 'late', 'cut'];

module.exports = { FLAPS, FlappingMage };
