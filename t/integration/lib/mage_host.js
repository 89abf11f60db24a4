'use strict';
// A pretended MAGE host beside one of ours: announced in the same ZooKeeper, met by handshakes.

const { clusterIdOf, peersUp, startHost } = require('./hosts');
const { MmrpPeer } = require('./mmrp_peer');
const { until } = require('./wait');
const { ZooKeeper } = require('./zookeeper');

const MAGE_HOST = '9a9a9a9a9a9a9a9a';

const text = (frames) => frames.map((frame) => Buffer.from(frame).toString('latin1')).join('|');

class MageHost {
    // config: laid over the configuration of our host.
    static async start(config = {}, options = {}) {
        const mage = new MageHost();
        try {
            mage.zookeeper = await ZooKeeper.start();
            mage.server = await startHost(mage.zookeeper, { host: '127.0.0.1' }, config, options);
            mage.ours = await clusterIdOf(mage.server);
            mage.peer = await MmrpPeer.start({ clusterId: MAGE_HOST, host: '127.0.0.2' });
            mage.id = `${MAGE_HOST}:${mage.peer.port}`;
            mage.peer.clusterId = mage.id;
            await mage.zookeeper.announce(mage.id, { ips: ['127.0.0.2'], game: 'game', version: '1.2.3' });
            await mage.meet();
        } catch (error) {
            await mage.dispose();
            throw error;
        }
        return mage;
    }

    async dispose() {
        for (const part of ['peer', 'server', 'zookeeper']) {
            if (this[part]) {
                await (this[part].dispose ? this[part].dispose() : this[part].stop());
            }
        }
    }

    get uri() {
        return `tcp://127.0.0.1:${this.server.config.mmrp.bind.port}`;
    }

    async meet() {
        this.handshake = await this.peer.join(this.uri, this.ours);
        await peersUp([this.server], 1);
    }

    // A new MAGE process at the same address, under the same name.
    async restart() {
        await this.peer.stop();
        await peersUp([this.server], 0);
        this.peer = await until('the port is free', () => MmrpPeer.start({ clusterId: this.id, host: '127.0.0.2', port: this.peer.port }));
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
