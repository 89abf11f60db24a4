'use strict';
// Debian's Pushpin, in a directory of its own, with the web server behind it that it needs: that one
// accepts each WebSocket (over HTTP) and subscribes it to the channel in its query.

const { execFileSync, spawn } = require('child_process');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { freePort } = require('../../integration/lib/server');
const { end } = require('../lib/processes');
const { accepts, whenReady } = require('./ready');

const PROGRAM = '/usr/bin/pushpin';
const INTERNAL = '/usr/lib/pushpin/internal.conf';

// Answers the OPEN of a WebSocket with one of its own and a subscription; what clients do later (they
// leave) with nothing.
function originAnswer(request, body) {
    if (!body.startsWith('OPEN')) {
        return body;
    }
    const channel = new URL(request.url, 'http://origin').searchParams.get('id');
    const subscription = `c:${JSON.stringify({ type: 'subscribe', channel })}`;
    return `OPEN\r\nTEXT ${subscription.length.toString(16)}\r\n${subscription}\r\n`;
}

function startOrigin(port) {
    const origin = http.createServer((request, response) => {
        let body = '';
        request.setEncoding('latin1');
        request.on('data', (data) => { body += data; });
        request.on('end', () => {
            response.writeHead(200, { 'content-type': 'application/websocket-events', 'sec-websocket-extensions': 'grip' });
            response.end(originAnswer(request, body));
        });
    });
    return new Promise((resolve) => { origin.listen(port, '127.0.0.1', () => resolve(origin)); });
}

function write(directory, words) {
    const fill = (text) => text.replace(/\b[A-Z]{8,}\b/g, (word) => words[word] || word);
    fs.writeFileSync(path.join(directory, 'pushpin.conf'), fill(fs.readFileSync(path.join(__dirname, 'pushpin.conf'), 'utf8').replace(/^;.*\n/gm, '')));
    fs.writeFileSync(path.join(directory, 'routes'), `* 127.0.0.1:${words.ORIGINPORT},over_http\n`);
    // Debian's zurl is a service of the machine's; this one is ours alone.
    fs.writeFileSync(path.join(directory, 'internal.conf'),
        fs.readFileSync(INTERNAL, 'utf8').replace(/ipc:\/\/\/var\/run\/zurl\//g, 'ipc://{rundir}/{ipc_prefix}'));
}

function isThere() {
    try {
        execFileSync('which', ['pushpin', 'condure', 'zurl'], { stdio: 'ignore' });
        return fs.existsSync(INTERNAL);
    } catch (error) {
        return false;
    }
}

// Whether a request reaches the web server behind it: all of its programs are there then.
// A request that comes too early is never answered.
const goesThrough = (port) => fetch(`http://127.0.0.1:${port}/ready`, { signal: AbortSignal.timeout(300) })
    .then(({ status }) => status === 200, () => false);

// Returns null where Pushpin is not installed.
async function startPushpin() {
    if (!isThere()) {
        return null;
    }
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-pushpin.'));
    const [CLIENTPORT, PUBLISHPORT, ORIGINPORT] = [await freePort(), await freePort(), await freePort()];
    write(directory, { DIRECTORY: directory, CLIENTPORT, PUBLISHPORT, ORIGINPORT });
    const origin = await startOrigin(ORIGINPORT);
    const child = spawn(PROGRAM, ['-m', '--config', path.join(directory, 'pushpin.conf')], { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    child.stdout.on('data', (data) => { log += data; });
    child.stderr.on('data', (data) => { log += data; });
    const server = {
        pid: child.pid,
        kind: 'pushpin',
        port: CLIENTPORT,
        publish: PUBLISHPORT,
        log: () => log,
        stop: async () => {
            await end(child);
            origin.close();
            origin.closeAllConnections();
            fs.rmSync(directory, { recursive: true });
        },
    };
    return whenReady(server, child, async () => await accepts(PUBLISHPORT) && goesThrough(CLIENTPORT));
}

module.exports = { startPushpin };
