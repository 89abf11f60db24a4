'use strict';
// The servers that are measured side by side. Each is {pid, port, publish, log(), stop()}: clients
// connect to `port`, backends to `publish` (a Unix socket, or a port).
//
// Nothing is pinned to a processor. With all of a server on one and its load on the other, the ratios
// did not spread less, but moved: Nchan's unicast with one worker went from 0.9 to 0.65 of msgserver's
// deliveries per processor second. Nobody runs servers like that.

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const readline = require('readline');
const { BUILD, Server, freePort } = require('../../integration/lib/server');
const { until } = require('../../integration/lib/wait');
const { end } = require('./processes');
const { startNchan } = require('../peers/nchan');
const { startPushpin } = require('../peers/pushpin');

async function startMsgserver({ store = {}, limits = {}, workers = 1 } = {}) {
    const server = await Server.start({
        workers,
        store: { size: '1GiB', ...store },
        limits: { connections: 100000, ...limits },
        msgStream: { transports: { websocket: { pingInterval: '1h' } } },
    });
    return {
        pid: server.process.pid,
        kind: 'msgserver',
        port: server.port,
        publish: server.backendSocket,
        backend: server.backend,
        log: () => server.log,
        stop: async () => {
            if (!server.exit) {
                await until('its clients are gone', async () => (await server.backend.status()).attached_stream === 0, 60000)
                    .catch((error) => console.error(error.message));
            }
            await server.dispose();
        },
    };
}

async function startLimit({ modes = [] } = {}) {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-limit.'));
    const port = await freePort();
    const publish = path.join(directory, 'publish.sock');
    const child = spawn(path.join(BUILD, 'limit-server'), [port, publish, ...modes],
        { stdio: ['pipe', 'pipe', 'inherit'] });
    await new Promise((resolve, reject) => {
        child.on('exit', () => reject(new Error('limit-server did not start')));
        readline.createInterface({ input: child.stdout }).once('line', resolve);
    });
    return {
        pid: child.pid,
        kind: 'limit',
        port,
        publish,
        log: () => '',
        stop: async () => {
            await end(child);
            fs.rmSync(directory, { recursive: true });
        },
    };
}

module.exports = { startLimit, startMsgserver, startNchan, startPushpin };
