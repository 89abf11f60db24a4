'use strict';
// Processor time and ends of the processes of a server, whichever it is.

const fs = require('fs');
const { children } = require('../../integration/lib/server');
const { until } = require('../../integration/lib/wait');

// A process and all that it started: [{pid, name}].
function family(pid) {
    const name = fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return [{ pid, name }, ...children(pid).flatMap((child) => family(child.pid))];
}

// User and system time of a process so far, in microseconds.
function cpuOfProcess(pid) {
    let used = 0;
    for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
        used += Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1000;
    }
    return used;
}

// By process name: {total, name: microseconds}.
function cpuOf(members) {
    const used = { total: 0 };
    for (const { pid, name } of members) {
        const each = cpuOfProcess(pid);
        used[name] = (used[name] || 0) + each;
        used.total += each;
    }
    return used;
}

// What a server still does after the last message arrived belongs to that message: waits until it
// is quiet, and gives its processor time.
async function cpuWhenQuiet(members) {
    const TICK_MS = 10;
    const QUIET_US = 100;
    let last = cpuOf(members);
    return until('the server is quiet', async () => {
        await new Promise((resolve) => { setTimeout(resolve, TICK_MS); });
        const now = cpuOf(members);
        const used = now.total - last.total;
        last = now;
        return used < QUIET_US && now;
    });
}

// Ends a child process of ours, by force if it must.
async function end(child, signal = 'SIGTERM') {
    if (child.exitCode !== null || child.signalCode !== null) {
        return;
    }
    const exited = new Promise((resolve) => { child.on('exit', resolve); });
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    await exited;
    clearTimeout(timer);
}

module.exports = { cpuOf, cpuWhenQuiet, end, family };
