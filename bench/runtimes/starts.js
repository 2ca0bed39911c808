// starts.js - children by Node's child_process.spawn
//
// Called by bench/run.py; see README.md for the options.
'use strict';
const { spawn } = require('child_process');

const options = {};
for (let i = 2; i + 1 < process.argv.length; i += 2)
    options[process.argv[i]] = process.argv[i + 1];

function number(name, otherwise) {
    return name in options ? Number(options[name]) : otherwise;
}

function die(what) {
    console.error(`starts.js: ${what}`);
    process.exit(2);
}

const concurrency = number('--concurrency', 16);

// How many were started and reaped, when all have ended.
function run(children, until) {
    return new Promise((done) => {
        let started = 0;
        let running = 0;

        function over() {
            return started >= children ||
                (until && process.hrtime.bigint() >= until);
        }

        function start() {
            const child = spawn(options['--child'], [],
                                { stdio: ['inherit', 'ignore', 'inherit'] });
            started++;
            running++;
            child.on('error', die);
            child.on('exit', (code, signal) => {
                if (code !== 0)
                    die(`a child ended with ${code} ${signal}`);
                running--;
                if (!over())
                    start();
                else if (!running)
                    done(started);
            });
        }

        while (running < concurrency && !over())
            start();
    });
}

async function main() {
    await run(number('--warmup', 50), null);
    const before = process.cpuUsage();
    const begin = process.hrtime.bigint();
    const limit = BigInt(number('--for-ms', 0)) * 1000000n;
    const reaped = await run(number('--children', 1000),
                             limit ? begin + limit : null);
    const wall = Number(process.hrtime.bigint() - begin) / 1e3;
    const used = process.cpuUsage(before);
    console.log(JSON.stringify({
        peer: 'node', version: process.versions.node, reaped,
        us_per_child: wall / reaped,
        cpu_us: (used.user + used.system) / reaped,
    }));
}

main();
