'use strict';
const net = require('net');
const { until } = require('../../integration/lib/wait');

// Whether somebody accepts connections on a port of 127.0.0.1.
function accepts(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
        socket.on('error', () => resolve(false));
    });
}

// Resolves with the server when isReady() says so; stops it when that does not happen.
async function whenReady(server, child, isReady) {
    try {
        await until(`${server.kind} is ready`, async () => {
            if (child.exitCode !== null) {
                throw new Error(`${server.kind} ended`);
            }
            return isReady();
        });
    } catch (error) {
        const log = server.log();
        await server.stop();
        throw new Error(`${error.message}\n${log}`);
    }
    return server;
}

module.exports = { accepts, whenReady };
