'use strict';
// Rounds of several subjects in turn, and what comes out of comparing neighbours.

const fs = require('fs');
const { median, spread } = require('./statistics');

// Each subject once per round; who begins changes, so that no one always follows the same other.
// `lineOf(subject)` gives the command for its load generator, or a promise of it. One round more warms up, and is forgotten.
async function takeTurns(subjects, rounds, kind, lineOf) {
    for (let round = -1; round < rounds; round += 1) {
        for (let i = 0; i < subjects.length; i += 1) {
            const subject = subjects[(i + round + 1) % subjects.length];
            await subject.measure(round < 0 ? 'warm-up' : kind, await lineOf(subject));
        }
    }
}

// How many times `of`'s deliveries per processor second are those of `to`; per round, the two being
// neighbours there.
function efficiency(kind, of, to) {
    const other = to.figures(kind, 'cpu');
    return spread(of.figures(kind, 'cpu').map((cpu, i) => other[i] / cpu));
}

function throughput(kind, of, to) {
    const other = to.figures(kind, 'rate');
    return spread(of.figures(kind, 'rate').map((rate, i) => rate / other[i]));
}

const spreadText = ({ median: middle, low, high }) => `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;

function partsText(subject, kind) {
    const names = Object.keys(subject.results[kind][0].parts).filter((name) => name !== 'total');
    return names.map((name) => [name, median(subject.results[kind].map((result) => result.parts[name]))])
        .filter(([, cpu]) => cpu >= 0.005).map(([name, cpu]) => `${name} ${cpu.toFixed(2)}`).join(', ');
}

// One line per subject; the ratios are those of `first`, the first subject, to it.
function printTable(title, kind, subjects) {
    const [first] = subjects;
    console.log(`  ${title}`);
    for (const subject of subjects) {
        const cpu = median(subject.figures(kind, 'cpu'));
        const line = `    ${subject.name.padEnd(22)} ${cpu.toFixed(2).padStart(7)} µs per delivery,`
            + ` ${String(Math.round(median(subject.figures(kind, 'rate')))).padStart(7)}/s`
            + ` (load generator: ${median(subject.figures(kind, 'loadCpu')).toFixed(2)} µs)`;
        const parts = partsText(subject, kind);
        console.log(line + (parts.includes(',') ? `; ${parts}` : ''));
        if (subject !== first) {
            console.log(`      ${first.name} has ${spreadText(efficiency(kind, first, subject))} times its deliveries per`
                + ` processor second, ${spreadText(throughput(kind, first, subject))} times its throughput`);
        }
    }
}

const rounded = (number) => Number(number.toFixed(3));

function writeKeys(file, keys) {
    fs.appendFileSync(file, `${JSON.stringify(keys)}\n`);
}

module.exports = { efficiency, printTable, rounded, spreadText, takeTurns, throughput, writeKeys };
