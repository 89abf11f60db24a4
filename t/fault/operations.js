'use strict';
// What backends and clients do. One row per operation:
//   weight  how often, against the others
//   needs   (world) whether it makes sense now
//   run     (world, random) does it, and tells the model; resolves when the request is answered or was
//           cut off. World.compare() then waits for the effects.
//   burst   also used while a fault is near, many at once

const { TRANSPORTS } = require('./clients');
const { makeWish, wishJson } = require('./wishes');

const SESSIONS = 10;
const LIFE_MESSAGES = 1500; // then a session is deleted, so that the model stays small

const live = (world) => world.sessions.filter((session) => session.registered && session.ends.length === 0);
const some = (count) => (world) => live(world).length >= count;
const pickSession = (world, random) => random.pick(live(world).length > 0 ? live(world) : world.sessions);

// --- messages ---

function body(world, random, size) {
    world.serial += 1;
    return `[["m",{"s":${world.serial},"p":"${'x'.repeat(size === undefined ? random.below(random.chance(0.03) ? 9000 : 60) : size)}"}]]`;
}

function pickRecipients(world, random) {
    const count = random.chance(0.8) ? 1 : 1 + random.below(4);
    return [...new Set(Array.from({ length: count }, () => pickSession(world, random)))];
}

// A recipient's result. In calm it can be foretold.
function take(world, send, result) {
    const { session } = send;
    if (result.outcome === 'queued') {
        session.expect(!result.repeated, 'repeated, at the first time');
        session.expect(!result.replaced || session.replaces(send, result.ids[0]), () => `${result.ids} replaced nothing`);
        session.expect(!result.dropped || (world.policy.dropOldest && mayBeFull(world, session)), () => `${result.dropped} were dropped`);
        session.stored(send, result.ids);
        session.expect(!world.calm || !send.mustRefuse, () => `queued as ${result.ids}, above the mailbox's limits`);
    } else if (result.outcome === 'overLimit') {
        session.expect((mayBeFull(world, session) && !world.policy.dropOldest) || world.storeMayBeFull, () => `overLimit, with ${session.pending} messages of ${session.mostBytes} bytes`);
        session.refused(send);
    } else if (result.outcome === 'noSession') {
        session.expect(!session.registered || session.ends.length > 0 || session.mayExpire, 'noSession for a session that lives');
        session.refused(send);
    } else {
        session.expect(!world.calm && result.outcome === 'timedOut', () => `the outcome of a send is ${JSON.stringify(result)}`);
    }
}

function beginSend(world, session, texts, wish = {}) {
    const most = session.mostWaiting + texts.length;
    const send = session.begin(texts, wish);
    // What may be gone by now takes no room, and what takes another's place needs none.
    send.mustRefuse = most > world.limits.mailboxMessages && !world.policy.dropOldest && !session.vanishing && !wish.replaceKey;
    if (wish.receipt) {
        world.receipts.ask(send);
    }
    return send;
}

// Whether the mailbox may have been full: sends that began later may have come first.
function mayBeFull(world, session) {
    const { mailboxMessages, mailboxBytes } = world.limits;
    return session.mostWaiting > mailboxMessages || session.mostBytes > mailboxBytes;
}

const orderJson = (sessions, texts, wish) =>
    `{"to":${JSON.stringify(sessions.map((session) => session.key))},"messages":[${texts.join(',')}]${wishJson(wish)}}`;

async function sendTexts(world, sessions, texts, wish = {}) {
    world.touch(...sessions);
    const sends = sessions.map((session) => beginSend(world, session, texts, wish));
    const answer = await world.call('POST', '/messages', orderJson(sessions, texts, wish));
    if (answer) {
        sends[0].session.expect(answer.status === 200 && answer.body.results.length === sends.length, () => `send: ${answer.status} ${answer.text}`);
        answer.body.results.forEach((result, i) => take(world, sends[i], result));
    }
    return answer ? answer.body.results : null;
}

async function send(world, random) {
    const sessions = pickRecipients(world, random);
    const texts = Array.from({ length: random.chance(0.6) ? 1 : 1 + random.below(5) }, () => body(world, random));
    const wish = makeWish(world, random, sessions, texts.length);
    world.note(`send ${texts.length} to ${sessions.map((session) => session.actorId)}${wishJson(wish)}`);
    await sendTexts(world, sessions, texts, wish);
}

// What was cut off is sent again under its key: then it is there once, and its IDs are known.
async function repeatCut(world) {
    const cut = world.sessions.flatMap((session) => session.openSends).filter(({ options }) => options.idempotencyKey);
    for (const send of cut) {
        await repeat(world, send);
    }
}

async function repeat(world, send) {
    const { session, texts, options, first } = send;
    send.lastSentAt = Date.now();
    const answer = await world.call('POST', '/messages', orderJson([session], texts, options));
    session.expect(answer.status === 200, () => `repeated: ${answer.status} ${answer.text}`);
    const [result] = answer.body.results;
    world.repeated += result.repeated ? 1 : 0;
    if (result.outcome === 'queued' && (first > 0 || result.repeated)) {
        session.expect(result.repeated, () => `ID ${first} was sent again, and came to ${result.ids}`);
        session.stored(send, result.ids);
    } else if (result.outcome !== 'noSession') {
        session.expect(first === 0, () => `ID ${first} was sent again, and is ${result.outcome}`);
        take(world, send, result);
    } // else it may have been stored before the session ended
}

// A sender that did not believe the answer; and one that takes the key for something else.
async function sendAgain(world, random) {
    const session = pickSession(world, random);
    const keyed = [...session.messages.values()].map(({ send: one }) => one).filter(({ options, first }) => options.idempotencyKey && first > 0);
    world.note(`send again to ${session.actorId}`);
    world.touch(session);
    if (keyed.length === 0) {
        return;
    }
    const { options } = random.pick(keyed);
    if (random.chance(0.7)) {
        await repeat(world, keyed.find((one) => one.options === options));
        return;
    }
    const answer = await world.call('POST', '/messages', orderJson([session], [body(world, random)], options));
    const { outcome } = answer.body.results[0];
    session.expect(outcome === 'keyReused' || (outcome === 'noSession' && session.mayExpire), () => `another message under a key: ${answer.text}`);
}

function checkLineOrder(sends) {
    const last = new Map();
    for (const { session, first } of sends) {
        session.expect(first > (last.get(session) || 0), () => `ID ${first} went to a later line than ID ${last.get(session)}`);
        last.set(session, first);
    }
}

// Many lines in one request.
async function bulk(world, random) {
    const sends = Array.from({ length: 2 + random.below(20) }, () => {
        const session = pickSession(world, random);
        const text = body(world, random);
        const wish = makeWish(world, random, [session], 1);
        return beginSend(world, session, [text], wish);
    });
    world.note(`bulk of ${sends.length}`);
    world.touch(...sends.map(({ session }) => session));
    const lines = sends.map(({ session, texts, options }) => `${orderJson([session], texts, options)}\n`);
    const answer = await world.call('POST', '/messages', lines.join(''), { 'content-type': 'application/x-ndjson' });
    if (answer) {
        const answers = answer.text.trim().split('\n').map((line) => JSON.parse(line));
        answers.forEach(({ results: [result] }, i) => take(world, sends[i], result));
        checkLineOrder(sends.filter(({ first, options }) => first > 0 && !options.replaceKey));
    }
}

// Which mailboxes had no room, and which ended meanwhile, their own figures say.
async function broadcast(world, random) {
    const text = body(world, random);
    const sends = world.sessions.map((session) => beginSend(world, session, [text]));
    world.note('broadcast');
    world.broadcasts.push(text);
    world.touch(...world.sessions);
    const answer = await world.call('POST', '/broadcast', `{"message":${text}}`);
    if (answer) {
        sends[0].session.expect(answer.status === 200, () => `broadcast: ${answer.status} ${answer.text}`);
        const { overLimit } = answer.body;
        const least = sends.filter(({ mustRefuse }) => mustRefuse).length;
        const most = world.policy.dropOldest ? 0 : sends.filter(({ session }) => mayBeFull(world, session)).length;
        sends[0].session.expect(!world.calm || world.storeMayBeFull || sends.some(({ session }) => session.mayExpire)
            || (overLimit >= least && overLimit <= most), () => `broadcast, with ${least} to ${most} full mailboxes: ${answer.text}`);
    }
}

// More than the mailbox takes, in requests that it takes or refuses as a whole.
async function fillMailbox(world, random) {
    const session = pickSession(world, random);
    world.note(`fill the mailbox of ${session.actorId}`);
    for (let left = world.limits.mailboxMessages + 20; left > 0; left -= 20) {
        await sendTexts(world, [session], Array.from({ length: 20 }, () => body(world, random, 5)));
    }
}

// Large messages until the store refuses them.
async function fillStore(world, random) {
    world.note('fill the store');
    for (let i = 0; i < 40; i += 1) {
        const results = await sendTexts(world, [pickSession(world, random)], Array.from({ length: 16 }, () => body(world, random, 50000)));
        if (results && results[0].outcome === 'overLimit' && world.storeMayBeFull) {
            world.storeFilled = (world.storeFilled || 0) + 1;
            return;
        }
    }
    throw new Error('32 MB fit into 16 MiB');
}

// --- clients ---

// Nothing, or an ID that a client has and that is not confirmed yet.
function pickConfirmation(session, random) {
    const most = session.received - session.floor;
    return most <= 0 || random.chance(0.3) ? 0 : session.floor + (random.chance(0.6) ? most : 1 + random.below(most));
}

function attachTo(world, random, session, transport) {
    const confirm = pickConfirmation(session, random);
    const before = [...session.attachments];
    const attachment = world.attach(session, transport, { confirm });
    world.note(`attach ${attachment.name} to ${session.actorId}${confirm ? `, confirms ${confirm}` : ''}${before.length > 0 ? `, evicts ${before}` : ''}`);
}

async function attach(world, random) {
    attachTo(world, random, pickSession(world, random), random.pick(TRANSPORTS));
}

const isAttached = (session) => session.attachments.size > 0;

async function evict(world, random) {
    const sessions = live(world).filter(isAttached);
    const session = sessions.length > 0 ? random.pick(sessions) : pickSession(world, random);
    attachTo(world, random, session, random.pick(TRANSPORTS.slice(0, 3)));
}

const confirming = (session) => [...session.attachments].find((attachment) => attachment.canConfirm && attachment.last > session.floor);

async function confirm(world, random) {
    const sessions = live(world).filter(confirming);
    if (sessions.length > 0) {
        const session = random.pick(sessions);
        const attachment = confirming(session);
        const most = attachment.last - session.floor;
        const id = session.floor + (random.chance(0.5) ? most : 1 + random.below(most));
        world.note(`confirm ${id} on ${attachment.name} of ${session.actorId}`);
        world.touch(session);
        attachment.confirm(id);
    }
}

// Only clients that the server knows: a request that it has not read yet would take effect later.
async function detach(world, random) {
    const sessions = live(world).filter((session) => isAttached(session) && !world.touched.has(session));
    if (sessions.length > 0) {
        const session = random.pick(sessions);
        const abruptly = random.chance(0.5);
        world.note(`detach ${[...session.attachments]} of ${session.actorId}`);
        world.touch(session);
        session.attachments.forEach((attachment) => attachment.leave(abruptly));
    }
}

// A client that comes, takes everything, and confirms it.
async function catchUp(world, random) {
    const session = pickSession(world, random);
    world.note(`catch up ${session.actorId}`);
    await drain(world, session);
}

async function drain(world, session) {
    for (let round = 0; round < 100 && world.sessions.includes(session) && (session.lastId > session.floor || round === 0); round += 1) {
        world.attach(session, 'shortpolling', { confirm: session.received > session.floor ? session.received : 0 });
        await world.settle(session);
    }
}

// --- sessions ---

async function register(world, random) {
    const ttl = world.calm && random.chance(0.25) ? 1 : 3600;
    world.note(`register, ttl ${ttl}`);
    await world.register(ttl);
}

async function remove(world, random) {
    const old = live(world).find((session) => session.lastId > LIFE_MESSAGES);
    const session = old || pickSession(world, random);
    world.note(`delete ${session.actorId}`);
    world.touch(session);
    if (!session.registered) {
        return;
    }
    const end = { cause: 'deleted', sure: false };
    session.ends.push(end);
    const answer = await world.call('DELETE', world.path(session));
    end.sure = answer !== null && answer.status === 200;
    session.expect(!answer || answer.status === 200 || session.ends.length > 1 || session.mayExpire, () => `delete: ${answer.status}`);
}

// A client of another mailbox than this one.
async function confirmTooMuch(world, random) {
    const session = pickSession(world, random);
    world.note(`confirm what ${session.actorId} never got`);
    if (session.registered) {
        session.ends.push({ cause: 'broken', sure: world.calm });
        world.attach(session, random.pick(TRANSPORTS), { tooMuch: session.lastId + 1e6 });
    }
}

const brief = (world) => live(world).filter((session) => session.ttlMs < 60000 && !isAttached(session));

async function expire(world, random) {
    const session = random.pick(brief(world));
    world.note(`wait for the end of ${session.actorId}`);
    await world.expired(session);
}

const OPERATIONS = [
    { name: 'register', weight: 4, run: register, burst: true, needs: (world) => world.sessions.length < SESSIONS },
    { name: 'send', weight: 30, run: send, burst: true, needs: some(1) },
    { name: 'bulk', weight: 6, run: bulk, burst: true, needs: some(1) },
    { name: 'broadcast', weight: 8, run: broadcast, burst: true, needs: some(1) },
    { name: 'attach', weight: 25, run: attach, burst: true, needs: some(1) },
    { name: 'confirm', weight: 20, run: confirm, burst: true, needs: some(1) },
    { name: 'detach', weight: 6, run: detach, burst: true, needs: some(1) },
    { name: 'evict', weight: 8, run: evict, burst: true, needs: some(1) },
    { name: 'catch up', weight: 6, run: catchUp, needs: some(1) },
    { name: 'delete', weight: 1.5, run: remove, burst: true, needs: some(SESSIONS / 2) },
    { name: 'confirm too much', weight: 0.5, run: confirmTooMuch, burst: true, needs: some(SESSIONS / 2) },
    { name: 'expire', weight: 0.5, run: expire, needs: (world) => brief(world).length > 0 },
    { name: 'fill the mailbox', weight: 0.7, run: fillMailbox, needs: some(1) },
    { name: 'fill the store', weight: 0.15, run: fillStore, needs: (world) => some(1)(world) && !world.policy.dropOldest },
    { name: 'send again', weight: 4, run: sendAgain, needs: (world) => world.takesWishes && some(1)(world) },
];

module.exports = { OPERATIONS, drain, repeatCut };
