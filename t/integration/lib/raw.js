'use strict';
// Bytes on a socket, for what no well-behaved client would send, and to see answers as they are.
//   const raw = await Raw.open({host, port} or {path});
//   raw.write(text or bytes)   await raw.response()   await raw.frame()   await raw.closed()

const crypto = require('crypto');
const net = require('net');
const { until } = require('./wait');

const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

// One WebSocket frame as a client would send it; every part can be made wrong.
//   lengthForm: 0 (in 7 bits), 2 or 8 bytes; length: the one announced
function frame(opcode, payload = '', options = {}) {
    const bytes = Buffer.from(payload);
    const length = options.length === undefined ? bytes.length : options.length;
    const natural = length < 126 ? 0 : (length < 65536 ? 2 : 8);
    const form = options.lengthForm === undefined ? natural : options.lengthForm;
    const header = [
        (options.fin === false ? 0 : 0x80) | (options.rsv || 0) << 4 |
            (typeof opcode === 'string' ? OPCODES[opcode] : opcode),
        (options.mask === false ? 0 : 0x80) | (form === 0 ? length : form === 2 ? 126 : 127),
    ];
    const extended = Buffer.alloc(8);
    extended.writeBigUInt64BE(BigInt(length));
    const head = Buffer.concat([Buffer.from(header), extended.subarray(8 - form)]);
    if (options.mask === false) {
        return Buffer.concat([head, bytes]);
    }
    const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);
    return Buffer.concat([head, mask, bytes.map((byte, i) => byte ^ mask[i % 4])]);
}

function closePayload(code, reason = '') {
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    return Buffer.concat([payload, Buffer.from(reason)]);
}

class Raw {
    constructor(socket) {
        this.socket = socket;
        this.input = Buffer.alloc(0);
        this.ended = false;
        socket.on('data', (data) => { this.input = Buffer.concat([this.input, data]); });
        socket.on('error', () => {}); // told by 'close'
        socket.on('close', () => { this.ended = true; });
        socket.on('end', () => { this.ended = true; });
    }

    static async open(address) {
        const socket = net.connect({ noDelay: true, ...address });
        await new Promise((resolve, reject) => {
            socket.once('connect', resolve);
            socket.once('error', reject);
        });
        return new Raw(socket);
    }

    // A connection that has become a WebSocket.
    static async websocket(address, target) {
        const raw = await Raw.open(address);
        raw.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
            `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString('base64')}\r\n\r\n`);
        const { status, text } = await raw.response();
        if (status !== 101) {
            throw new Error(`no WebSocket: ${text}`);
        }
        return raw;
    }

    // What the peer has closed already may refuse the rest: that is no failure.
    write(bytes) {
        if (this.socket.writable) {
            this.socket.write(bytes);
        }
    }

    take(length) {
        const bytes = this.input.subarray(0, length);
        this.input = this.input.subarray(length);
        return bytes;
    }

    // The next answer: {status, text (of the head), headers, names (as sent), body}. A body without a
    // length ends with the connection; `noBody`: the answer to a HEAD.
    async response({ noBody = false } = {}) {
        const end = await until('a response head', () => {
            const at = this.input.indexOf('\r\n\r\n');
            if (at < 0 && this.ended) {
                throw new Error(`the connection ended after ${JSON.stringify(this.input.toString())}`);
            }
            return at >= 0 && at + 4;
        });
        const text = this.take(end).toString('latin1');
        const lines = text.trimEnd().split('\r\n');
        const fields = lines.slice(1).map((line) => /^([^:]*): ?(.*)$/.exec(line).slice(1));
        const headers = Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]));
        const status = Number(lines[0].split(' ')[1]);
        const answer = { status, text, headers, names: fields.map(([name]) => name), body: '' };
        if (noBody || status === 204 || status < 200) {
            return answer;
        }
        const length = headers['content-length'];
        await until('a response body', () => (length === undefined ? this.ended
            : this.input.length >= Number(length)));
        answer.body = this.take(length === undefined ? this.input.length : Number(length)).toString();
        return answer;
    }

    // The next frame from the server: {opcode, payload, code and reason of a close}; null when the
    // connection ends first. Frames of a server are short or of a 2 or 8 byte length, never masked.
    async frame() {
        const found = await until('a frame', () => {
            const { input } = this;
            let length = input[1];
            let head = 2;
            if (length === 126 && input.length >= 4) {
                [length, head] = [input.readUInt16BE(2), 4];
            } else if (length === 127 && input.length >= 10) {
                [length, head] = [Number(input.readBigUInt64BE(2)), 10];
            } else if (length === undefined || length >= 126) {
                return this.ended ? 'ended' : false;
            }
            return input.length >= head + length ? { head, length } : (this.ended && 'ended');
        });
        if (found === 'ended') {
            return null;
        }
        const opcode = this.input[0] & 15;
        const payload = this.take(found.head + found.length).subarray(found.head);
        if (opcode !== OPCODES.close) {
            return { opcode, payload };
        }
        const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
        return { opcode, payload, code, reason: payload.subarray(2).toString() };
    }

    // The close frame, whatever comes before it; null when the connection ends without one.
    async closeFrame() {
        for (;;) {
            const next = await this.frame();
            if (!next || next.opcode === OPCODES.close) {
                return next;
            }
        }
    }

    closed(limit) {
        return until('the server closes the connection', () => this.ended, limit);
    }

    destroy() {
        this.socket.destroy();
    }
}

module.exports = { OPCODES, Raw, closePayload, frame };
