'use strict';
// Pretended MAGE hosts beside one of ours: announced in the same ZooKeeper, met by handshakes.

const { clusterIdOf, peersUp, startHost } = require('./hosts');
const { MmrpPeer } = require('./mmrp_peer');
const { freePort } = require('./server');
const { until } = require('./wait');
const { ZooKeeper } = require('./zookeeper');

const MAGE_HOST = '9a9a9a9a9a9a9a9a';

const text = (frames) => frames.map((frame) => Buffer.from(frame).toString('latin1')).join('|');

class MageHost {
    // config: laid over the configuration of our host.
    static async start(config = {}, options = {}) {
        const mage = new MageHost({ prefix: MAGE_HOST, host: '127.0.0.2' });
        try {
            mage.zookeeper = await ZooKeeper.start();
            mage.server = await startHost(mage.zookeeper, { host: '127.0.0.1' }, config, options);
            mage.ours = await clusterIdOf(mage.server);
            await mage.open();
            await mage.announce();
            await mage.meet();
        } catch (error) {
            await mage.dispose();
            throw error;
        }
        return mage;
    }

    // place: {prefix (of the cluster ID), host, guest (server and ZooKeeper are another's to dispose of)}
    constructor(place) {
        this.place = place;
    }

    // Another MAGE host beside the same host of ours. `deaf`: it is announced at a port where nobody
    // listens, so that only its own connection to us is there.
    async another({ prefix, host, deaf = false }) {
        const mage = new MageHost({ prefix, host, guest: true });
        Object.assign(mage, { zookeeper: this.zookeeper, server: this.server, ours: this.ours });
        await mage.open();
        if (deaf) {
            mage.id = `${prefix}:${await freePort(host)}`;
            mage.peer.clusterId = mage.id;
        }
        const before = await mage.server.backend.status();
        await mage.announce();
        if (!deaf) {
            await mage.meet(before.mesh_peers_up + 1);
            return mage;
        }
        mage.peer.connect(mage.uri, mage.ours);
        await mage.peer.handshake(mage.ours, { via: mage.ours });
        await until('its handshake is taken', async () =>
            (await mage.server.backend.status()).mesh_handshakes_received > before.mesh_handshakes_received);
        return mage;
    }

    async open() {
        const { prefix, host } = this.place;
        this.peer = await MmrpPeer.start({ clusterId: prefix, host });
        this.id = `${prefix}:${this.peer.port}`;
        this.peer.clusterId = this.id;
    }

    async announce() {
        const ips = [this.place.host];
        this.withdraw = await this.zookeeper.announce(this.id, { ips, game: 'game', version: '1.2.3' });
    }

    async dispose() {
        for (const part of this.place.guest ? ['peer'] : ['peer', 'server', 'zookeeper']) {
            if (this[part]) {
                await (this[part].dispose ? this[part].dispose() : this[part].stop());
            }
        }
    }

    get uri() {
        return `tcp://127.0.0.1:${this.server.config.mmrp.bind.port}`;
    }

    // Until our host has `count` peers.
    async meet(count = 1) {
        this.handshake = await this.peer.join(this.uri, this.ours);
        await peersUp([this.server], count);
    }

    // A new MAGE process at the same address, under the same name.
    async restart() {
        await this.peer.stop();
        await peersUp([this.server], 0);
        this.peer = await until('the port is free', () => MmrpPeer.start({ clusterId: this.id, host: this.place.host, port: this.peer.port }));
        await this.meet();
    }

    // All multiparts from our host so far, as text with '|' between frames, without the ROUTER's
    // first frame; handshakes (which are repeated) are left out.
    get received() {
        return this.multiparts.filter((multipart) => !multipart.endsWith('mmrp.handshake'));
    }

    get multiparts() {
        return this.peer.frames.map(({ via, frames }) => text(via === 'router' ? frames.slice(1) : frames));
    }

    // Waits for a multipart that matches; resolves with the match.
    got(pattern, limit = 10000) {
        return until(`a multipart like ${pattern}`, () => {
            for (const multipart of this.received) {
                const match = pattern.exec(multipart);
                if (match) {
                    return match;
                }
            }
            return null;
        }, limit);
    }

    forget() {
        this.peer.frames.length = 0;
        this.peer.envelopes.length = 0;
    }

    // What one of our backends does with a session that was made here.
    async adopt(actorId, key) {
        const answer = await this.server.backend.must('POST', '/sessions', { actorId, key, home: this.id });
        return answer.sessionKey;
    }

    // To one of our attachments, by our ROUTER, as MAGE's relay does.
    toClient(handle, type, ...messages) {
        return this.peer.send([this.ours, `${this.ours}:${handle}`], messages, type);
    }
}

module.exports = { MageHost, text };
