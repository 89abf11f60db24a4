'use strict';
// A host that is not ours: speaks MMRP as a MAGE 1.6 relay and its workers do, over real ZeroMQ.
//
//   const peer = await MmrpPeer.start({ clusterId: 'b:1' });
//   await peer.connect('tcp://127.0.0.1:15001', 'a:15001');  // our DEALER to that relay's ROUTER
//   await peer.handshake('a:15001');
//   await peer.send(['a:15001'], ['sess/bob:k', '[1]'], 'msgServer.send');
//   const pack = await peer.next('msgServer.messagepack');   // {route, messages, returnRoute, …}
//   await peer.stop();
//
// An envelope is `route… | <> | message… | <> | returnRoute… | flags byte and type`. What is sent
// through the ROUTER loses its first frame on the way; what comes by it gains the sender's identity.

const zmq = require('zeromq');
const { until } = require('./wait');

const TRACK_ROUTE = 1;
const HANDSHAKE_ATTEMPTS = 100;
const HANDSHAKE_INTERVAL = 200;

const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const empty = Buffer.alloc(0);
const buffers = (frames) => frames.map((frame) => Buffer.from(frame));

// The frames of an envelope, as Buffers.
function encode({ route = [], messages = [], returnRoute = [], type, flags = 0 }) {
    return [...buffers(route), empty, ...buffers(messages), empty, ...buffers(returnRoute),
        Buffer.concat([Buffer.from([flags]), Buffer.from(type)])];
}

// The envelope in frames: routes as strings, messages as Buffers. Without TRACK_ROUTE, frames of a
// return route are dropped; a missing second separator is accepted.
function decode(frames) {
    const meta = frames[frames.length - 1];
    const body = frames.slice(0, -1);
    const first = body.findIndex((frame) => frame.length === 0);
    if (first < 0 || !meta || meta.length < 2) {
        throw new Error(`not an envelope: ${frames.map((frame) => JSON.stringify(String(frame)))}`);
    }
    const rest = body.slice(first + 1);
    const second = rest.findIndex((frame) => frame.length === 0);
    const flags = meta[0];
    const tracked = second >= 0 && (flags & TRACK_ROUTE) ? rest.slice(second + 1) : [];
    return {
        route: body.slice(0, first).map(String),
        messages: second < 0 ? rest : rest.slice(0, second),
        returnRoute: tracked.map(String),
        flags,
        type: String(meta.subarray(1)),
    };
}

// zeromq allows one send at a time on a socket: later ones wait for earlier ones.
class Sender {
    constructor(socket) {
        this.socket = socket;
        this.last = Promise.resolve();
    }

    send(frames) {
        const sent = this.last.then(() => this.socket.send(frames));
        this.last = sent.catch(() => {});
        return sent;
    }
}

class MmrpPeer {
    // port 0: any. `router`: options of the ROUTER, like {receiveHighWaterMark: 10}.
    static async start({ clusterId, port = 0, host = '127.0.0.1', router = {} }) {
        const peer = new MmrpPeer(clusterId);
        await peer.bind(`tcp://${host}:${port || '*'}`, router);
        return peer;
    }

    // The ROUTER; also one more, when the one before is closed.
    async bind(endpoint, options = {}) {
        this.router = new zmq.Router({ linger: 0, mandatory: true, sendTimeout: 0, ...options });
        await this.router.bind(endpoint);
        this.uri = this.router.lastEndpoint;
        this.port = Number(/:(\d+)$/.exec(this.uri)[1]);
        this.routerSender = new Sender(this.router);
        this.read(this.router, undefined);
    }

    constructor(clusterId) {
        this.clusterId = clusterId;
        this.links = new Map(); // cluster ID → {dealer, sender}
        this.frames = []; // all that came: {via: 'router' or a cluster ID, from, frames}
        this.envelopes = []; // the same, decoded; an element that next() gave is gone
        this.malformed = [];
        this.onEnvelope = null; // called with each envelope, which is then not kept
        this.reading = true;
        this.stopped = false;
    }

    // A DEALER with our identity to the relay at `uri`. Does not wait for the connection.
    connect(uri, clusterId, identity = this.clusterId) {
        this.disconnect(clusterId);
        const dealer = new zmq.Dealer({ linger: 0, routingId: identity, reconnectInterval: 100 });
        dealer.connect(uri);
        this.links.set(clusterId, { dealer, sender: new Sender(dealer) });
        this.read(dealer, clusterId);
    }

    disconnect(clusterId) {
        const link = this.links.get(clusterId);
        if (link) {
            this.links.delete(clusterId);
            link.dealer.close();
        }
    }

    // Stops the reading of the ROUTER: a host that hangs.
    pause() {
        this.reading = false;
    }

    resume() {
        this.reading = true;
    }

    async read(socket, peer) {
        try {
            while (!socket.closed) {
                while (!this.reading && !peer && !socket.closed) {
                    await delay(10);
                }
                this.take(await socket.receive(), peer);
            }
        } catch (error) {
            if (!socket.closed) {
                throw error;
            }
        }
    }

    take(frames, peer) {
        const from = peer || String(frames[0]);
        this.frames.push({ via: peer || 'router', from, frames });
        let envelope;
        try {
            envelope = decode(peer ? frames : frames.slice(1));
        } catch (error) {
            this.malformed.push(frames);
            return;
        }
        if (!peer && (envelope.flags & TRACK_ROUTE) && envelope.returnRoute[0] !== from) {
            envelope.returnRoute.unshift(from);
        }
        while (envelope.route[0] === this.clusterId) {
            envelope.route.shift();
        }
        const arrived = { ...envelope, from, via: peer || 'router' };
        if (this.onEnvelope) {
            this.onEnvelope(arrived);
        } else {
            this.envelopes.push(arrived);
        }
    }

    // Frames as they are, Buffers or strings, through the DEALER to `via`, or through the ROUTER
    // (`via` undefined), which uses up the first one.
    sendFrames(frames, via) {
        const sender = via === undefined ? this.routerSender : this.links.get(via).sender;
        return sender.send(buffers(frames));
    }

    // By default as MAGE's relay does: through the ROUTER, which fails when route[0] has no DEALER
    // here (EHOSTUNREACH). With a return route, or {track: true}, the envelope tracks it, and we are
    // put in front.
    send(route, messages, type, { returnRoute = [], track = returnRoute.length > 0, via } = {}) {
        const tracked = track && returnRoute[0] !== this.clusterId ?
            [this.clusterId, ...returnRoute] : returnRoute;
        return this.sendFrames(encode({
            route, messages, type, returnRoute: tracked, flags: track ? TRACK_ROUTE : 0,
        }), via);
    }

    // Through the ROUTER, as MAGE does, until the other side's DEALER is there; or {via: clusterId}.
    async handshake(clusterId, options = {}) {
        const json = JSON.stringify({
            clusterId: this.clusterId, identity: this.clusterId, isRelay: true, isClient: false,
        });
        for (let attempt = 1; ; attempt += 1) {
            try {
                return await this.send([clusterId], [json], 'mmrp.handshake',
                    { track: true, ...options });
            } catch (error) {
                if (attempt === HANDSHAKE_ATTEMPTS || this.stopped) {
                    throw error;
                }
                await delay(HANDSHAKE_INTERVAL);
            }
        }
    }

    // Both connections and both handshakes. Resolves with the other side's handshake, parsed.
    async join(uri, clusterId, limit = 10000) {
        this.connect(uri, clusterId);
        const [theirs] = await Promise.all([
            this.next((envelope) => envelope.type === 'mmrp.handshake' &&
                JSON.parse(envelope.messages[0]).clusterId === clusterId, limit),
            this.handshake(clusterId)]);
        return JSON.parse(theirs.messages[0]);
    }

    // The first envelope of a type, or that a function likes; it is taken off the list.
    async next(wanted, limit = 10000) {
        const likes = typeof wanted === 'function' ? wanted : (envelope) => envelope.type === wanted;
        const found = await until(`an envelope (${wanted})`, () => this.envelopes.find(likes), limit);
        this.envelopes.splice(this.envelopes.indexOf(found), 1);
        return found;
    }

    async stop() {
        this.stopped = true;
        for (const clusterId of [...this.links.keys()]) {
            this.disconnect(clusterId);
        }
        this.router.close();
    }
}

module.exports = { MmrpPeer, encode, decode };
