'use strict';
// Envelopes as MMRP's description writes them: 'A|<>|addr|never|<>|B|V|\x01msgServer.connect'. A part
// that is a name stands for its value, or for several frames; '<>' is an empty frame.

// The frames of a template, as Buffers.
function framesOf(template, names) {
    return template.split('|').flatMap((part) => (part === '<>' ? '' : names[part] === undefined ? part : names[part]))
        .map((frame) => Buffer.from(frame, 'latin1'));
}

// Frames as text, byte by byte, with '<>' for those that are empty.
function textOf(frames) {
    return frames.map((frame) => (frame.length === 0 ? '<>' : Buffer.from(frame).toString('latin1'))).join('|');
}

// What a host of ours says beyond what MAGE's would, so that two of ours understand each other better.
// MAGE reads the first messages only, and flags and return route only of what it answers.
//   more: what is taken away to get MAGE's bytes (`less` is put there); it must be there.
const SAID_BESIDES = [
    {
        type: 'mmrp.handshake',
        what: 'members behind isClient',
        why: 'a host of ours is known by them, and whether it is of this game and version',
        more: /,"server":"msgserver"(?:,"[a-z]+":"[^"]*")*(?=\}\|)/,
    }, {
        type: 'msgServer.send',
        what: 'TRACK_ROUTE, and so our cluster ID as return route',
        why: 'a host on the way can say that it did not arrive',
        more: /\|<>\|[^|<>]+\|\x01(?=msgServer\.send$)/,
        less: '|<>|\x00',
    },
];

// An envelope that a host of ours made, without what MAGE's would not have said.
function asMageSays(text) {
    const besides = SAID_BESIDES.find(({ type }) => text.endsWith(type));
    if (!besides) {
        return text;
    }
    if (!besides.more.test(text)) {
        throw new Error(`without ${besides.what}: ${text}`);
    }
    return text.replace(besides.more, besides.less || '');
}

module.exports = { SAID_BESIDES, asMageSays, framesOf, textOf };
