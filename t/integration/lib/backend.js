'use strict';
// The backend API as a backend would use it: HTTP over a Unix socket, connections kept.

const http = require('http');

// All that was dropped, for whatever reason.
function droppedOf(status) {
    return Object.entries(status).filter(([name]) => name.startsWith('dropped_')).reduce((sum, [, count]) => sum + count, 0);
}

class Backend {
    constructor(socketPath, options = {}) {
        this.socketPath = socketPath;
        this.agent = new http.Agent({ keepAlive: true, maxSockets: options.maxSockets || 8 });
    }

    // Resolves with {status, headers, body (parsed when JSON), text}.
    call(method, path, body, headers = {}) {
        return new Promise((resolve, reject) => {
            const asIs = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
            const text = asIs ? body : JSON.stringify(body);
            const length = text === undefined ? {} : { 'content-length': Buffer.byteLength(text) };
            const request = http.request({
                socketPath: this.socketPath,
                agent: this.agent,
                method,
                path,
                headers: { ...length, ...headers },
            }, (response) => {
                const parts = [];
                response.on('data', (data) => parts.push(data));
                response.on('error', reject);
                response.on('end', () => {
                    const answer = Buffer.concat(parts).toString();
                    let parsed;
                    try {
                        parsed = JSON.parse(answer);
                    } catch (error) {
                        parsed = undefined;
                    }
                    resolve({ status: response.statusCode, headers: response.headers, body: parsed, text: answer });
                });
            });
            request.on('error', reject);
            request.end(text);
        });
    }

    async must(method, path, body, headers) {
        const answer = await this.call(method, path, body, headers);
        if (answer.status >= 300) {
            throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
        }
        return answer.body;
    }

    async createSession(actorId, more = {}) {
        return (await this.must('POST', '/sessions', { actorId, ...more })).sessionKey;
    }

    session(key) {
        return this.must('GET', `/sessions/${encodeURIComponent(key)}`);
    }

    deleteSession(key) {
        return this.must('DELETE', `/sessions/${encodeURIComponent(key)}`);
    }

    // Resolves with the results, one per recipient.
    async send(to, ...messages) {
        return (await this.must('POST', '/messages', { to, messages })).results;
    }

    // orders: [{to, message}]; resolves with one parsed answer line per order.
    async sendMany(orders) {
        const answer = await this.call('POST', '/messages', orders.map((o) => `${JSON.stringify(o)}\n`).join(''),
            { 'content-type': 'application/x-ndjson' });
        if (answer.status !== 200) {
            throw new Error(`POST /messages: ${answer.status} ${answer.text}`);
        }
        return answer.text.trim().split('\n').map((line) => JSON.parse(line));
    }

    // The figures, whose accounts must balance: nothing is lost in silence.
    async balanced() {
        const status = await this.status();
        const told = status.confirmed + status.pending + droppedOf(status);
        if (status.accepted !== told) {
            throw new Error(`accepted ${status.accepted}, accounted for ${told}: ${JSON.stringify(status)}`);
        }
        return status;
    }

    broadcast(message) {
        return this.must('POST', '/broadcast', { message });
    }

    status() {
        return this.must('GET', '/status');
    }

    close() {
        this.agent.destroy();
    }
}

module.exports = { Backend, droppedOf };
