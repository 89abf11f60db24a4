'use strict';
// Faults, in the midst of operations: rows like those of operations.js.

const { OPERATIONS, repeatCut } = require('./operations');
const { until } = require('../integration/lib/wait');
const { Violation } = require('./model');

const REQUEST_LIMIT_MS = 20000;
const FIRST_ANSWER_MS = 20;

// A row by weight, of those that make sense.
function pickRow(rows, world, random) {
    const possible = rows.filter(({ needs }) => !needs || needs(world));
    let at = random.next() * possible.reduce((sum, { weight }) => sum + weight, 0);
    return possible.find(({ weight }) => {
        at -= weight;
        return at < 0;
    });
}

const BURST = OPERATIONS.filter(({ burst }) => burst);

// Operations that nobody waits for, all under way at once.
function fire(world, random, count) {
    return Array.from({ length: count }, () => {
        const row = pickRow(BURST, world, random);
        const done = row ? row.run(world, random) : Promise.resolve();
        done.catch(() => {}); // told by allDone()
        return done;
    });
}

async function allDone(pending) {
    let done = false;
    const all = Promise.all(pending).then(() => { done = true; });
    await Promise.race([all, until('every request is answered or cut off', () => done, REQUEST_LIMIT_MS).catch((error) => {
        throw new Violation(error.message);
    })]);
    await all;
}

// Until something is answered, or some turns of our own loop: from before the first byte is sent to
// when most is answered.
async function aMoment(random, pending) {
    if (random.chance(0.4)) {
        await Promise.race([...pending, new Promise((resolve) => setTimeout(resolve, FIRST_ANSWER_MS))]);
        return;
    }
    const turns = random.pick([0, 0, 1, 2, 3, 5, 8, 13, 20, 40]);
    for (let i = 0; i < turns; i += 1) {
        await new Promise(setImmediate);
    }
    if (random.chance(0.2)) {
        await new Promise((resolve) => setTimeout(resolve, random.below(8)));
    }
}

function relayDies(world) {
    world.sessions.forEach((session) => session.attachments.forEach((attachment) => attachment.relayDied()));
}

// --- what is killed: each row chooses now, and returns what does it, at once and without a look around ---

const some = (world, random, count) => world.driver.targets('client-worker').map(({ pid }) => pid).sort(() => random.next() - 0.5).slice(0, count);
const relay = (world) => world.driver.targets('relay-worker').map(({ pid }) => pid);

function killWorkers(world, random) {
    const pids = some(world, random, 3);
    return () => world.driver.killChildren(pids, 'worker');
}

function killWorker(world, random) {
    const pids = some(world, random, 1);
    return () => world.driver.killChildren(pids, 'worker');
}

function killRelay(world) {
    const pids = relay(world);
    return () => {
        world.driver.killChildren(pids, 'relay');
        relayDies(world);
    };
}

function killRelayAndWorker(world, random) {
    const kills = [killRelay(world, random), killWorker(world, random)].sort(() => random.next() - 0.5);
    return () => kills.forEach((now) => now());
}

const killMaster = (world) => () => world.driver.killMaster();
const killAll = (world) => () => world.driver.killAll();
const terminate = (world) => () => world.driver.terminate();

const workersLeft = (world) => world.driver.targets('client-worker').length;
const relayLeft = (world) => world.driver.targets('relay-worker').length > 0;

const KILLS = [
    { name: 'kill -9 of a client worker', weight: 6, run: killWorker, needs: (world) => workersLeft(world) > 0 },
    { name: 'kill -9 of client workers', weight: 1, run: killWorkers, needs: (world) => workersLeft(world) > 1 },
    { name: 'kill -9 of the relay', weight: 6, run: killRelay, needs: relayLeft },
    { name: 'kill -9 of the relay and a client worker', weight: 2, run: killRelayAndWorker, needs: (world) => relayLeft(world) && workersLeft(world) > 0 },
    { name: 'kill -9 of the master', weight: 1.5, run: killMaster, masterGone: true },
    { name: 'kill -9 of all', weight: 2, run: killAll, masterGone: true },
    { name: 'SIGTERM', weight: 0.5, run: terminate, masterGone: true },
];

// --- faults ---

// `fault` gets the requests under way, may add some, and resolves with whether the master is gone.
async function disturbed(world, random, fault) {
    world.calm = false;
    world.disturbed = true;
    const pending = fire(world, random, 1 + random.below(12));
    const masterGone = await fault(pending);
    world.driver.resume();
    await world.driver.recover(masterGone, random.chance(0.15) ? random.below(30) : null);
    await allDone(pending);
    world.driver.leaveFormerConnections();
    world.calm = true;
    await repeatCut(world);
}

// Requests are under way, some meet the outage, and another process may be paused meanwhile.
async function kill(world, random) {
    await disturbed(world, random, async (pending) => {
        if (random.chance(0.1)) {
            await aMoment(random, pending);
            pauseOne(world, random);
            pending.push(...fire(world, random, 1 + random.below(5)));
        }
        const row = pickRow(KILLS, world, random);
        const now = row.run(world, random);
        world.note(row.name);
        await aMoment(random, pending);
        now();
        if (random.chance(0.4)) {
            pending.push(...fire(world, random, 1 + random.below(5)));
            await aMoment(random, pending);
        }
        return row.masterGone === true;
    });
}

function pauseOne(world, random) {
    const { driver } = world;
    const victim = random.pick([{ pid: driver.server.process.pid, name: 'msgserverd' }, ...driver.children]);
    world.note(`pause ${victim.name}`);
    driver.pause(victim.pid);
}

async function pause(world, random) {
    await disturbed(world, random, async (pending) => {
        await aMoment(random, pending);
        pauseOne(world, random);
        pending.push(...fire(world, random, 1 + random.below(12)));
        await aMoment(random, pending);
        world.note('resume');
        return false;
    });
}

async function fillDisk(world) {
    world.note('fill the disk');
    world.driver.volume.fill();
}

async function freeDisk(world) {
    world.note('free the disk');
    world.driver.volume.free();
}

const FAULTS = [
    { name: 'kill', weight: 60, run: kill },
    { name: 'pause', weight: 5, run: pause },
    { name: 'fill the disk', weight: 0.7, run: fillDisk, needs: ({ driver: { volume } }) => volume.mounted && !volume.full },
    { name: 'free the disk', weight: 1.5, run: freeDisk, needs: ({ driver: { volume } }) => volume.full },
];

module.exports = { FAULTS, pickRow };
