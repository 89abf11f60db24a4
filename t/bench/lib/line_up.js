'use strict';
// Starts the servers of a scenario with their clients, and stops them all in the end.

const { Subject } = require('./subject');

// wanted: [[name, start function, its options, what is otherwise than in `options`]]. Calls work(subjects by name), without those peers
// that are not installed.
async function withSubjects(wanted, options, work) {
    const subjects = {};
    try {
        for (const [name, start, how, otherwise] of wanted) {
            const server = await start(how);
            if (server) {
                subjects[name] = await Subject.start(name, server, { ...options, ...otherwise });
            } else {
                console.log(`  ${name}: not installed, and left out`);
            }
        }
        await work(subjects);
    } finally {
        for (const subject of Object.values(subjects)) {
            await subject.stop();
        }
    }
}

module.exports = { withSubjects };
