'use strict';
// What the system tells of a process: processor time, memory, descriptors, bytes sent to peers.

const { execFileSync } = require('child_process');
const fs = require('fs');

// Processor time of all its threads, in microseconds.
function cpuOf(pid) {
    return fs.readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => {
        const [nanoseconds] = fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
        return sum + Number(nanoseconds) / 1000;
    }, 0);
}

// In KiB. Anonymous memory is what is nobody else's; PSS has the shares of libraries in it too.
function memoryOf(pid) {
    const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)[1]);
    return { anonymous: field('Anonymous'), pss: field('Pss') };
}

const descriptorsOf = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

// Bytes and TCP segments that the connections of a process have sent, beside TCP's own headers.
function sentBy(pid) {
    const text = execFileSync('ss', ['-tinpHO'], { maxBuffer: 256 << 20 }).toString();
    const lines = text.split('\n').filter((line) => line.includes(`pid=${pid},`));
    const total = (name) => lines.reduce((sum, line) => {
        const found = new RegExp(` ${name}:(\\d+)`).exec(line);
        return sum + (found ? Number(found[1]) : 0);
    }, 0);
    return { bytes: total('bytes_sent'), segments: total('data_segs_out') };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The value below which that share of the values lies.
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)];

// What a group of processes takes while work() runs: microseconds of each.
async function cpuDuring(pids, work) {
    const before = pids.map(cpuOf);
    const result = await work();
    return { result, used: pids.map((pid, i) => cpuOf(pid) - before[i]) };
}

module.exports = { cpuDuring, cpuOf, descriptorsOf, mean, memoryOf, quantile, sentBy };
