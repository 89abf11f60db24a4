'use strict';
const net = require('net');

// Whether somebody accepts connections on a port of 127.0.0.1.
function accepts(port) {
    return new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
        socket.on('error', () => resolve(false));
    });
}

module.exports = { accepts };
