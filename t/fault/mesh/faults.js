'use strict';
// What goes wrong in the mesh. A row draws its parameters when an episode is planned, from the seed
// alone, and says what it takes for itself, so that faults overlap only where that makes sense.
// run() lasts as long as the fault: it resolves when everything is as before, but for the mesh's view.

const delay = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

const HUB = 1;
// Below and above what libzmq's heartbeats (6 s) and ZooKeeper's sessions (3 s) bear.
const SHORT_MS = [300, 2500];
const MIDDLE_MS = [2500, 5500];
const LONG_MS = [7000, 11000];

const between = (random, [low, high]) => low + random.below(high - low);

// `hasty`: there is no time for long ones.
function duration(random, hasty) {
    return between(random, random.pick(hasty ? [SHORT_MS, SHORT_MS, MIDDLE_MS] : [SHORT_MS, MIDDLE_MS, LONG_MS]));
}

const bothWays = (a, b) => [[a, b], [b, a]];

// --- processes ---

const oneHost = (random, { hosts, hasty }) => ({ host: random.below(hosts), ms: duration(random, hasty) });
const ofHost = ({ host }) => [`processes of ${host}`];

async function killAndStart({ cluster, note }, { host, ms }) {
    const one = cluster.hosts[host];
    note(`kill -9 of all of ${one}`);
    await one.kill();
    cluster.sessions.forEach(({ client }) => client.relayDied(one));
    await delay(ms);
    note(`start ${one}`);
    await one.start();
}

async function comeBackAsAnother({ cluster, note }, { host, ms }) {
    const one = cluster.hosts[host];
    note(`kill -9 of all of ${one}, which comes back with a new cluster ID`);
    await one.kill();
    cluster.forsake(one);
    one.renew();
    await delay(ms / 8); // before ZooKeeper forgets the old one, mostly
    note(`start ${one}`);
    await one.start();
    await cluster.populate(one);
}

async function pause({ cluster, note }, { host, ms }, which) {
    const one = cluster.hosts[host];
    note(`SIGSTOP of ${which} of ${one} for ${ms} ms`);
    one.pause(which);
    await delay(ms);
    one.resume();
    note(`SIGCONT of ${one}`);
    await one.recovered();
}

async function killRelay({ cluster, note }, { host }) {
    const one = cluster.hosts[host];
    note(`kill -9 of the relay of ${one}`);
    cluster.sessions.forEach(({ client }) => client.relayDied(one));
    await one.killRelay();
}

// A host of the other version takes the address and port of one that was killed.
async function takeOver({ cluster, note }, { host, other, ms }) {
    const one = cluster.hosts[host];
    const guest = cluster.hosts[other];
    const home = guest.place;
    note(`kill -9 of ${one} and ${guest}, which takes its address`);
    await Promise.all([one.kill(), guest.kill()]);
    guest.moveTo(one.place);
    await guest.start();
    await delay(ms);
    note(`${one} and ${guest} are back at their places`);
    await guest.kill();
    guest.moveTo(home);
    await Promise.all([one.start(), guest.start()]);
}

const takeOverPair = (random, { versions: [first, second], hasty }) => {
    const [host, other] = [random.below(first), first + random.below(second)];
    const [a, b] = random.chance(0.5) ? [host, other] : [other, host];
    return { host: a, other: b, ms: duration(random, hasty) };
};

// --- the network ---

async function cutFor({ network, note, cluster }, pairs, ms, what) {
    const name = (place) => (place === HUB ? 'ZooKeeper' : cluster.hosts[place - 2].name);
    note(`${what} for ${ms} ms: ${pairs.map(([from, to]) => `${name(from)}→${name(to)}`).join(' ')}`);
    await network.cut(pairs);
    await delay(ms);
    await network.join(pairs);
    note(`joined: ${pairs.map(([from, to]) => `${name(from)}→${name(to)}`).join(' ')}`);
}

const placeOf = (host) => host + 2;

const twoHosts = (random, { hosts, versions: [first], hasty }) => {
    const a = random.below(first);
    const b = random.chance(0.8) ? (a + 1 + random.below(first - 1)) % first : random.below(hosts);
    return { a: placeOf(a), b: placeOf(b === a ? (a + 1) % first : b), ms: duration(random, hasty) };
};

const cutOneWay = (context, { a, b, ms }) => cutFor(context, [[a, b]], ms, 'partition one way');
const cutBothWays = (context, { a, b, ms }) => cutFor(context, bothWays(a, b), ms, 'partition');

const cutZooKeeper = (context, { host, ms }) => cutFor(context, bothWays(placeOf(host), HUB), ms, 'cut off from ZooKeeper');

function isolate(context, { host, ms }) {
    const one = placeOf(host);
    const others = context.cluster.hosts.map((_, i) => placeOf(i)).filter((place) => place !== one);
    return cutFor(context, [HUB, ...others].flatMap((place) => bothWays(one, place)), ms, 'isolated');
}

async function impair({ network, note }, { impairment, ms }) {
    note(`for ${ms} ms: ${JSON.stringify(impairment)}`);
    await network.impair(impairment);
    await delay(ms);
    await network.impair({ loss: 0, delay: 0, jitter: 0 });
    note('neither loss nor delay');
}

const lossy = (random, { hasty }) => ({ impairment: { loss: 1 + random.below(10) }, ms: duration(random, hasty) });
const slow = (random, { hasty }) => ({ impairment: { delay: 5 + random.below(150), jitter: random.below(50) }, ms: duration(random, hasty) });
const bad = (random, { hasty }) => ({
    impairment: { loss: 1 + random.below(5), delay: 5 + random.below(100), jitter: random.below(50) }, ms: duration(random, hasty),
});

// --- ZooKeeper ---

const forATime = (random, { hasty }) => ({ ms: duration(random, hasty) });

async function restartZooKeeper({ zookeeper, note }, { ms }, empty) {
    note(`ZooKeeper is stopped for ${ms} ms${empty ? ', and forgets everything' : ''}`);
    await zookeeper.stop();
    await delay(ms);
    if (empty) {
        await zookeeper.wipe();
    }
    await zookeeper.start();
    note('ZooKeeper serves');
}

async function hangZooKeeper({ zookeeper, note }, { ms }) {
    note(`ZooKeeper hangs for ${ms} ms`);
    await zookeeper.pause();
    await delay(ms);
    await zookeeper.resume();
    note('ZooKeeper goes on');
}

async function stopOneServer({ zookeeper, note }, { server, ms }) {
    note(`ZooKeeper's server ${server} is stopped for ${ms} ms`);
    await zookeeper.stopOne(server);
    await delay(ms);
    await zookeeper.startOne(server);
}

const longEnough = (random, { hosts }) => ({ host: random.below(hosts), ms: between(random, MIDDLE_MS) + 1000 });

const FAULTS = [
    { name: 'host killed', weight: 6, draw: oneHost, takes: ofHost, run: killAndStart },
    { name: 'new cluster ID', weight: 4, draw: oneHost, takes: ofHost, run: comeBackAsAnother },
    { name: 'host paused', weight: 5, draw: oneHost, takes: ofHost, run: (context, drawn) => pause(context, drawn, 'all') },
    { name: 'relay paused', weight: 5, draw: oneHost, takes: ofHost, run: (context, drawn) => pause(context, drawn, 'relay') },
    { name: 'relay killed', weight: 5, draw: oneHost, takes: ofHost, run: killRelay },
    { name: 'address taken', weight: 2, draw: takeOverPair, takes: ({ host, other }) => [`processes of ${host}`, `processes of ${other}`], run: takeOver },
    { name: 'partition one way', weight: 6, draw: twoHosts, takes: () => [], run: cutOneWay },
    { name: 'partition', weight: 5, draw: twoHosts, takes: () => [], run: cutBothWays },
    { name: 'host isolated', weight: 4, draw: oneHost, takes: () => [], run: isolate },
    { name: 'cut off from ZooKeeper', weight: 3, draw: oneHost, takes: () => [], run: cutZooKeeper },
    { name: 'loss', weight: 3, draw: lossy, takes: () => ['quality'], run: impair },
    { name: 'delay', weight: 3, draw: slow, takes: () => ['quality'], run: impair },
    { name: 'loss and delay', weight: 2, draw: bad, takes: () => ['quality'], run: impair },
    { name: 'ZooKeeper restarted', weight: 2, draw: forATime, takes: () => ['ZooKeeper'], run: (context, drawn) => restartZooKeeper(context, drawn, false) },
    { name: 'ZooKeeper emptied', weight: 2, draw: forATime, takes: () => ['ZooKeeper'], run: (context, drawn) => restartZooKeeper(context, drawn, true) },
    { name: 'ZooKeeper hangs', weight: 2, draw: forATime, takes: () => ['ZooKeeper'], run: hangZooKeeper },
    { name: 'session expired', weight: 2, draw: longEnough, takes: ofHost, run: (context, drawn) => pause(context, drawn, 'master') },
    {
        name: 'one ZooKeeper server stopped', weight: 3, ensemble: true, draw: (random, { hasty }) => ({ server: random.below(3), ms: duration(random, hasty) }),
        takes: () => ['ZooKeeper'], run: stopOneServer,
    },
];

module.exports = { FAULTS, delay };
