'use strict';
// Debian's nginx with Nchan, in a directory of its own.

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { freePort } = require('../../integration/lib/server');
const { end } = require('../lib/processes');
const { accepts, whenReady } = require('./ready');

const PROGRAM = '/usr/sbin/nginx';
const MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so';
const DESCRIPTORS = 19000;

const isThere = () => fs.existsSync(PROGRAM) && fs.existsSync(MODULE);

function write(directory, port, workers) {
    const words = {
        MODULE,
        USER: process.getuid() === 0 ? 'user root;' : '',
        WORKERS: workers,
        DESCRIPTORS,
        DIRECTORY: directory,
        PORT: port,
    };
    const text = fs.readFileSync(path.join(__dirname, 'nginx.conf'), 'utf8')
        .replace(/^#.*\n/gm, '').replace(/\b[A-Z]{4,}\b/g, (word) => words[word]);
    fs.writeFileSync(path.join(directory, 'nginx.conf'), text);
}

// Returns null where Nchan is not installed.
async function startNchan({ workers = 1 } = {}) {
    if (!isThere()) {
        return null;
    }
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-nchan.'));
    const port = await freePort();
    write(directory, port, workers);
    const child = spawn(PROGRAM, ['-p', directory, '-c', path.join(directory, 'nginx.conf')],
        { stdio: ['ignore', 'ignore', 'inherit'] });
    const server = {
        pid: child.pid,
        kind: 'nchan',
        port,
        publish: path.join(directory, 'publish.sock'),
        log: () => {
            const file = path.join(directory, 'error.log');
            return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
        },
        stop: async () => {
            await end(child);
            fs.rmSync(directory, { recursive: true });
        },
    };
    return whenReady(server, child, () => accepts(port));
}

module.exports = { startNchan };
