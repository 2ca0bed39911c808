// spawn.js - Node's child_process (libuv inside). See ../README.md.
"use strict";
const fs = require("fs");
const { spawn, spawnSync } = require("child_process");
const env = process.env;

spawnSync(env.XLHOST_CHILD, ["exit", "0"]);
const first = spawn(env.XLHOST_CHILD, ["exit", "0"]);
first.on("exit", () => {
  fs.writeFileSync(env.XLHOST_GO, "go\n", { flag: "r+" });
  let living = 50;
  for (let i = 0; i < 50; i++) {
    const words = ["sleep-ms", String(i % 16), "exit", String(101 + i)];
    const child = spawn(env.XLHOST_CHILD, words, { stdio: "ignore" });
    child.on("exit", (code, signal) => {
      const word = code === null ? `signal ${signal}` : code;
      fs.appendFileSync(env.XLHOST_RESULT, `${i} ${word}\n`);
      if (--living === 0) {
        fs.writeFileSync(env.XLHOST_GO, "done\n", { flag: "r+" });
        fs.readSync(fs.openSync(env.XLHOST_END, "r"), Buffer.alloc(4));
      }
    });
    child.on("error", (error) =>
      fs.appendFileSync(env.XLHOST_RESULT, `${i} lost ${error.code}\n`));
  }
});
