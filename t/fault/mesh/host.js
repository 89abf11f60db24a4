'use strict';
// One real host: its processes, and what is done to them.

const path = require('path');
const { Backend } = require('../../integration/lib/backend');
const { hostConfig, killHost } = require('../../integration/lib/hosts');
const { Server, alive, children } = require('../../integration/lib/server');
const { until } = require('../../integration/lib/wait');
const { clientAddress, meshAddress } = require('./network');

const MMRP_PORT = 15001;
const SESSION_TIMEOUT = '3s'; // of ZooKeeper's sessions
const REQUESTS_AT_ONCE = 512;
const LOG_KEPT = 128 * 1024;
const RECOVERY_LIMIT_MS = 20000;
const MISHAPS = new RegExp(['store-set-aside', 'store-unbalanced', 'store-failed', 'invariant-broken', 'frame-lost', 'Sanitizer', 'runtime error',
    'Assertion failed', 'was ended by signal (6|11) '].join('|'));

class Host {
    // name: its slot's; number: its place; version: of the service; zookeeper: {hosts}
    constructor(name, number, version, netns, zookeeper, workers) {
        Object.assign(this, { name, number, version, netns });
        this.place = number; // where it runs now
        this.lives = 1; // cluster IDs that it had
        this.running = false;
        this.epoch = 0; // counts what was done to its processes
        this.healthy = false;
        this.paused = [];
        const config = hostConfig(zookeeper, this.mmrpPlace, {
            serviceVersion: version,
            workers,
            mmrp: { clusterId: this.clusterId, advertise: [meshAddress(number)] },
            serviceDiscovery: { engine: 'zookeeper', options: { hosts: zookeeper.hosts, options: { sessionTimeout: SESSION_TIMEOUT } } },
        });
        this.server = new Server(config, { host: clientAddress(number), netns: netns[number - 1] });
    }

    get clusterId() {
        return `${this.name}-${this.lives}:${MMRP_PORT}`;
    }

    get mmrpPlace() {
        return { host: meshAddress(this.place), port: MMRP_PORT, netns: this.netns[this.place - 1] };
    }

    get url() {
        return this.server.url;
    }

    get backend() {
        return this.server.backend;
    }

    // Something is about to be done to it.
    disturb() {
        this.epoch += 1;
        this.healthy = false;
    }

    async start() {
        this.server.log = this.server.log.slice(-LOG_KEPT);
        await this.server.start();
        const { backend } = this.server;
        this.server.backend = new Backend(this.server.backendSocket, { maxSockets: REQUESTS_AT_ONCE });
        backend.close();
        this.running = true;
        this.healthy = true;
    }

    // As when the power fails.
    async kill() {
        this.disturb();
        this.running = false;
        await killHost(this.server);
    }

    // The next start is that of another machine at the same address: with an ID and a store of its own.
    renew() {
        this.lives += 1;
        this.server.config.mmrp.clusterId = this.clusterId;
        this.server.config.store = { path: path.join(this.server.directory, `store-${this.lives}`) };
    }

    // The next start is at another place.
    moveTo(place) {
        this.place = place;
        this.server.host = clientAddress(place);
        this.server.options.host = this.server.host;
        this.server.options.netns = this.netns[place - 1];
        this.server.config.mmrp.bind.host = meshAddress(place);
        this.server.config.mmrp.advertise = [meshAddress(place)];
    }

    // Connections that were idle for long may be closed by the server just when they are used.
    freshen() {
        Object.values(this.backend.agent.freeSockets).flat().forEach((socket) => socket.destroy());
    }

    get relay() {
        return children(this.server.process.pid).find(({ name }) => name === 'relay-worker');
    }

    async killRelay() {
        this.disturb();
        const { pid } = this.relay;
        process.kill(pid, 'SIGKILL');
        await until(`${this.name} has a relay again`, async () => !alive(pid) && this.relay
            && (await this.backend.call('GET', '/status')).status === 200, RECOVERY_LIMIT_MS);
        this.healthy = true;
    }

    // which: all, relay or master
    pause(which) {
        this.disturb();
        const { pid } = this.server.process;
        const all = [{ pid, name: 'master' }, ...children(pid)];
        this.paused = all.filter(({ name }) => which === 'all' || name.startsWith(which)).map((one) => one.pid);
        this.paused.forEach((one) => process.kill(one, 'SIGSTOP'));
    }

    resume() {
        this.paused.forEach((pid) => process.kill(pid, 'SIGCONT'));
        this.paused = [];
    }

    // After a pause: what waited is answered.
    async recovered() {
        await until(`${this.name} answers`, async () => (await this.backend.call('GET', '/status')).status === 200, RECOVERY_LIMIT_MS);
        this.healthy = true;
    }

    get mishap() {
        const found = MISHAPS.exec(this.server.log);
        return found && found[0];
    }

    async dispose() {
        this.resume();
        await this.server.dispose();
    }

    toString() {
        return `${this.name} (${this.clusterId} at ${meshAddress(this.place)}${this.running ? '' : ', down'})`;
    }
}

module.exports = { Host };
