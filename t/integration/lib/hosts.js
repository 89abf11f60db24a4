'use strict';
// Hosts of one cluster, each on an address of its own, that find each other through ZooKeeper.

const { Server, alive, children, freePort } = require('./server');
const { until } = require('./wait');

// The configuration of a host; `more` is laid over the mappings under `server:`.
function hostConfig(zookeeper, { host, port = '*', netns }, more = {}) {
    return {
        serviceName: 'game',
        serviceVersion: '1.2.3',
        serviceDiscovery: {
            engine: 'zookeeper',
            options: { hosts: zookeeper.hosts, options: { sessionTimeout: '2s' } },
        },
        msgStream: { pollPace: '50ms' },
        ...more,
        // In a namespace the announced address is the interface's, as on a real host.
        mmrp: { bind: { host, port }, ...(netns ? {} : { advertise: [host] }), ...more.mmrp },
    };
}

// A host whose MMRP port, and so its cluster ID, is the same after a restart.
async function startHost(zookeeper, place, more = {}, options = {}) {
    const port = await freePort(place.netns ? '127.0.0.1' : place.host);
    return Server.start(hostConfig(zookeeper, { ...place, port }, more),
        { host: place.host, netns: place.netns, ...options });
}

// Waits until each server sees `count` peers.
function peersUp(servers, count = servers.length - 1) {
    return until(`each host has ${count} peers`, async () => {
        const counts = await Promise.all(servers.map(async (server) => (await server.backend.status()).mesh_peers_up));
        return counts.every((peers) => peers === count);
    }, 20000);
}

// The cluster ID that the server announced.
async function clusterIdOf(server) {
    const key = await server.backend.createSession('who-is-home');
    return (await server.backend.deleteSession(key)).home;
}

// As when the power fails: no process has time for a last word.
async function killHost(server) {
    const pids = [server.process.pid, ...children(server.process.pid).map((child) => child.pid)];
    pids.forEach((pid) => process.kill(pid, 'SIGKILL'));
    await server.stop();
    // Those that lost their master are nobody's children, and may listen for a moment more.
    await until('all are gone', () => !pids.some(alive), 5000);
}

module.exports = { clusterIdOf, hostConfig, killHost, peersUp, startHost };
