'use strict';
// Starts the servers of a scenario with their clients, and stops them all in the end.

const { Subject } = require('./subject');

// Nothing stays behind when the program ends before its end: Ctrl-C, say.
const running = new Set();
process.on('exit', () => {
    for (const pid of running) {
        try {
            process.kill(pid);
        } catch (error) {
            // it is gone
        }
    }
});
for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => process.exit(1));
}

// wanted: [[name, start function, its options, what is otherwise than in `options`]]; `options` are
// those of the load generators. Calls work(subjects by name), without the peers that are not installed.
async function withSubjects(wanted, options, work) {
    const subjects = {};
    try {
        for (const [name, start, how, otherwise] of wanted) {
            const server = await start(how);
            if (server) {
                running.add(server.pid);
                subjects[name] = await Subject.start(name, server, { ...options, ...otherwise });
            } else {
                console.log(`  ${name}: not installed, and left out`);
            }
        }
        await work(subjects);
    } finally {
        for (const subject of Object.values(subjects)) {
            await subject.stop();
            running.delete(subject.server.pid);
        }
    }
}

module.exports = { withSubjects };
