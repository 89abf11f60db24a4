'use strict';
// One comparison: subjects take turns, a table is printed, and keys are made of it.

const { efficiency, printTable, rounded, takeTurns } = require('./rounds');
const { median } = require('./statistics');

class Comparison {
    // keys: the object that the keys are added to; named: [[key, subject]], the first being the one
    // whose ratios to the others are told; subjects that are not there are left out.
    constructor(keys, rounds) {
        this.keys = keys;
        this.rounds = rounds;
    }

    async run(prefix, title, named, command) {
        const there = named.filter(([, subject]) => subject);
        const subjects = there.map(([, subject]) => subject);
        await takeTurns(subjects, this.rounds, prefix, typeof command === 'function' ? command : () => command);
        printTable(title, prefix, subjects);
        for (const [key, subject] of there) {
            const ours = subject === subjects[0];
            if (!ours) {
                this.keys[`${prefix}_vs_${key}`] = rounded(efficiency(prefix, subjects[0], subject).median);
            }
            this.keys[`${prefix}${ours ? '' : `_${key}`}_cpu_us`] = rounded(median(subject.figures(prefix, 'cpu')));
        }
    }
}

module.exports = { Comparison };
