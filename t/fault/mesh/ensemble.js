'use strict';
// One ZooKeeper server, or several that are one service, in this process's namespace.

const { ZooKeeper } = require('../../integration/lib/zookeeper');

const ANY = '0.0.0.0';
const FIRST_PORT = 2181;
const TICK_MS = 300; // sessions last up to 6 s

class Ensemble {
    // address: where hosts reach it
    static async start(count, address) {
        const ensemble = new Ensemble(count, address);
        await ensemble.start();
        return ensemble;
    }

    constructor(count, address) {
        this.address = address;
        const members = Array.from({ length: count }, (_, i) => `server.${i + 1}=127.0.0.1:${2888 + i}:${3888 + i}`);
        this.servers = members.map((_, i) => new ZooKeeper({
            host: ANY, tick: TICK_MS, ...(count > 1 ? { ensemble: members, id: i + 1 } : {}),
        }));
    }

    get hosts() {
        return this.servers.map((_, i) => `${this.address}:${FIRST_PORT + i}`).join(',');
    }

    each(work) {
        return Promise.all(this.servers.map(work));
    }

    start() {
        return this.each((server, i) => server.start(FIRST_PORT + i));
    }

    stop() {
        return this.each((server) => server.stop());
    }

    wipe() {
        return this.each((server) => server.wipe());
    }

    pause() {
        return this.each((server) => server.pause());
    }

    resume() {
        return this.each((server) => server.resume());
    }

    stopOne(index) {
        return this.servers[index].stop();
    }

    startOne(index) {
        return this.servers[index].start();
    }

    dispose() {
        return this.each((server) => server.dispose());
    }
}

module.exports = { Ensemble };
