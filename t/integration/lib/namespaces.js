'use strict';
// Network namespaces on one bridge: hosts of their own, from which nothing else can be reached.

const { execFileSync } = require('child_process');

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });

// Why namespaces cannot be made here, or false.
function impossible() {
    if (process.getuid() !== 0) {
        return 'network namespaces need root';
    }
    const name = `msgserver-${process.pid}-try`;
    try {
        ip('netns', 'add', name);
        ip('netns', 'del', name);
        return false;
    } catch (error) {
        return `no network namespaces here: ${error.message.split('\n')[0]}`;
    }
}

class Namespaces {
    // addresses: {name: IPv4 address}; all are in one /24. The first one has the bridge.
    constructor(addresses) {
        this.names = {};
        this.ports = {};
        const [hub, ...others] = Object.keys(addresses);
        try {
            for (const name of [hub, ...others]) {
                const netns = `msgserver-${process.pid}-${name}`;
                ip('netns', 'add', netns);
                this.names[name] = netns;
                ip('-n', netns, 'link', 'set', 'lo', 'up');
            }
            const bridge = this.names[hub];
            ip('-n', bridge, 'link', 'add', 'bridge', 'type', 'bridge');
            ip('-n', bridge, 'addr', 'add', `${addresses[hub]}/24`, 'dev', 'bridge');
            ip('-n', bridge, 'link', 'set', 'bridge', 'up');
            others.forEach((name, i) => {
                const netns = this.names[name];
                this.ports[name] = `port${i}`;
                ip('-n', bridge, 'link', 'add', `port${i}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
                ip('-n', bridge, 'link', 'set', `port${i}`, 'master', 'bridge', 'up');
                ip('-n', netns, 'addr', 'add', `${addresses[name]}/24`, 'dev', 'eth0');
                ip('-n', netns, 'link', 'set', 'eth0', 'up');
            });
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    // The host's packets vanish from now on, as in a tunnel; or they pass again.
    setLink(name, up) {
        ip('-n', Object.values(this.names)[0], 'link', 'set', this.ports[name], up ? 'up' : 'down');
    }

    dispose() {
        Object.values(this.names).forEach((netns) => ip('netns', 'del', netns));
        this.names = {};
    }
}

module.exports = { Namespaces, impossible };
