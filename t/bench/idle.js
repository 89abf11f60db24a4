'use strict';
// The user memory of an idle WebSocket: what all processes of the server hold privately, with and
// without N sessions whose clients are attached and silent. Kernel memory (socket buffers) is not in
// it. Each client has received and confirmed one message first, as a live client has.

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const { Server, children } = require('../integration/lib/server');
const { until } = require('../integration/lib/wait');

const COUNT = process.env.BENCH_QUICK ? 2000 : 10000;
const AT_ONCE = 100;

// Anonymous memory in bytes, by process; what is shared with others counts by its share.
function memoryOf(server) {
    const found = { total: 0 };
    for (const { pid, name } of [{ pid: server.process.pid, name: 'msgserverd' }, ...children(server.process.pid)]) {
        const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
        const bytes = Number(/^Pss_Anon:\s+(\d+) kB/m.exec(rollup)[1]) * 1024;
        found[name] = (found[name] || 0) + bytes;
        found.total += bytes;
    }
    return found;
}

function maskedText(text) {
    const mask = crypto.randomBytes(4);
    const payload = Buffer.from(text).map((byte, i) => byte ^ mask[i % 4]);
    return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload]);
}

// A WebSocket of few bytes: Node's own would take the machine's memory before the server does.
function open(port, sessionKey) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(port, '127.0.0.1');
        let received = '';
        socket.on('error', reject);
        socket.on('data', (data) => {
            received += data.toString('latin1');
            if (received.includes('{"1":')) {
                socket.write(maskedText('1'));
                socket.removeAllListeners('data');
                socket.resume();
                resolve(socket);
            }
        });
        socket.write(`GET /msgstream?sessionKey=${encodeURIComponent(sessionKey)} HTTP/1.1\r\n`
            + `Host: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
            + `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n\r\n`);
    });
}

async function attachClients(server) {
    const sockets = [];
    for (let i = 0; i < COUNT; i += AT_ONCE) {
        const keys = await Promise.all(Array.from({ length: Math.min(AT_ONCE, COUNT - i) },
            (_, j) => server.backend.createSession(`player-${i + j}`)));
        await server.backend.send(keys, [['hello']]);
        sockets.push(...await Promise.all(keys.map((key) => open(server.port, key))));
    }
    await until('all is confirmed', async () => (await server.backend.status()).pending === 0);
    return sockets;
}

async function main() {
    const server = await Server.start({
        workers: 2,
        msgStream: { transports: { websocket: { pingInterval: '1h' } } },
    });
    try {
        const before = memoryOf(server);
        const sockets = await attachClients(server);
        const after = memoryOf(server);
        console.log(`idle: ${COUNT} idle WebSockets, 2 client workers`);
        for (const name of Object.keys(after).filter((key) => key !== 'total')) {
            console.log(`  ${name}: ${Math.round((after[name] - before[name]) / COUNT)} bytes per session`);
        }
        const each = Math.round((after.total - before.total) / COUNT);
        console.log(`  idle_user_bytes_per_session: ${each}`);
        fs.appendFileSync(process.argv[2], `${JSON.stringify({ idle_user_bytes_per_session: each })}\n`);
        sockets.forEach((socket) => socket.destroy());
    } finally {
        await server.dispose();
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
