'use strict';
// Where the store lies: a small file system of its own that can be filled up, when we may mount one
// (run.sh then gives us a mount namespace, which takes the mount away with the last process).

const { execFileSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const SIZE = '20m'; // the store's 16 MiB, and some more
const CHUNK = Buffer.alloc(64 * 1024);

class Volume {
    constructor(directory) {
        this.directory = directory;
        this.mounted = false;
        this.full = false;
        fs.mkdirSync(directory);
        if (process.env.FAULT_MAY_MOUNT) {
            execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', directory]);
            this.mounted = true;
        }
    }

    get filler() {
        return path.join(this.directory, 'filler');
    }

    // Takes every byte that is left.
    fill() {
        const file = fs.openSync(this.filler, 'w');
        try {
            for (let size = CHUNK.length; size > 0;) {
                try {
                    fs.writeSync(file, CHUNK, 0, size);
                } catch (error) {
                    if (error.code !== 'ENOSPC') {
                        throw error;
                    }
                    size >>= 1;
                }
            }
        } finally {
            fs.closeSync(file);
        }
        this.full = true;
    }

    free() {
        fs.rmSync(this.filler, { force: true });
        this.full = false;
    }

    dispose() {
        if (this.mounted) {
            execFileSync('umount', ['--lazy', this.directory]);
            this.mounted = false;
        }
    }
}

module.exports = { Volume };
