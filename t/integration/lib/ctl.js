'use strict';
// Runs msgserverctl.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { BUILD, OBEDIENT } = require('./server');

const EXIT = {
    OK: 0, DAMAGED: 1, USAGE: 64, NO_INPUT: 66, UNAVAILABLE: 69, OS: 71, IN_USE: 75, PROTOCOL: 76, REFUSED: 77, CONFIGURATION: 78,
};

// Returns {child, ended}; `ended` resolves with {code, signal, out, err}.
function start(args, options = {}) {
    const command = [...(options.obedient ? OBEDIENT : []), path.join(BUILD, 'msgserverctl'), ...args];
    const child = spawn(command[0], command.slice(1), {
        ...options, env: { PATH: process.env.PATH, ASAN_OPTIONS: 'abort_on_error=1', ...options.env },
    });
    const result = { child, out: '', err: '' };
    child.stdout.on('data', (data) => { result.out += data; });
    child.stderr.on('data', (data) => { result.err += data; });
    result.ended = new Promise((resolve) => {
        child.on('close', (code, signal) => resolve(Object.assign(result, { code, signal })));
    });
    return result;
}

const run = (args, options) => start(args, options).ended;

module.exports = { EXIT, run, start };
