'use strict';
// What happens in an episode and when, from the seed and its number alone. Hosts and sessions are named
// by shares of how many there are. (What clients do by themselves depends on what they get, and when.)

const { Random, mix } = require('../../integration/lib/random');
const { TRANSPORTS } = require('../clients');
const { FAULTS } = require('./faults');

const OPERATION_PAUSE_MS = 60; // at most
const AFTERWARDS_MS = 500;
const FAULT_COUNTS = [1, 1, 2, 2, 3, 4];

function pickRow(rows, random) {
    let at = random.next() * rows.reduce((sum, { weight }) => sum + weight, 0);
    return rows.find(({ weight }) => {
        at -= weight;
        return at < 0;
    });
}

const OPERATIONS = [
    { name: 'send', weight: 50, draw: (random) => ({ count: random.chance(0.8) ? 1 : 1 + random.below(4), key: random.chance(0.5) }) },
    { name: 'broadcast', weight: 3, draw: () => ({}) },
    { name: 'hop', weight: 20, draw: (random) => ({ transport: random.pick(TRANSPORTS), leaveFirst: random.chance(0.6) }) },
    { name: 'away', weight: 4, draw: (random) => ({ ms: 100 + random.below(2000) }) },
    { name: 'read', weight: 6, draw: () => ({}) },
    { name: 'to the other version', weight: 2, draw: () => ({}) },
    { name: 'to a lost session', weight: 2, draw: () => ({}) },
];

function planFaults(random, setting) {
    const taken = new Set();
    const rows = FAULTS.filter((row) => !row.ensemble || setting.ensemble);
    const faults = [];
    for (let left = random.pick(FAULT_COUNTS); left > 0; left -= 1) {
        const row = pickRow(rows, random);
        const drawn = row.draw(random, setting);
        const at = faults.length === 0 ? 200 : random.below(2500);
        const takes = row.takes(drawn);
        if (!takes.some((name) => taken.has(name))) {
            takes.forEach((name) => taken.add(name));
            faults.push({ row, drawn, at });
        }
    }
    return faults;
}

// setting: {hosts, versions: [how many of the first, and of the second], hasty, ensemble}
function planEpisode(seed, number, setting) {
    const random = new Random(mix(seed, number));
    const faults = planFaults(random, setting);
    const end = Math.max(...faults.map(({ at, drawn }) => at + (drawn.ms || 0))) + AFTERWARDS_MS;
    const operations = [];
    for (let at = 0; at < end; at += random.below(OPERATION_PAUSE_MS)) {
        const row = pickRow(OPERATIONS, random);
        operations.push({ name: row.name, at, host: random.next(), home: random.next(), session: random.next(), drawn: row.draw(random) });
    }
    return { faults, operations };
}

module.exports = { planEpisode };
