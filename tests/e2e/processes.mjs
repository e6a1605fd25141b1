// The processes of one fabric as /proc shows them, and seeded chance to choose among them.
import { readFileSync, readdirSync } from "node:fs";
import { basename } from "node:path";

function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // the process has ended
  }
}

// [{pid, role, name}] of everything that belongs to the fabric in `dir`. role: supervisor, controller, gateway, etcd, node, shim, rank
// (what a shim started) or other; name: of the component, or <job>.<rank>.<attempt>.
export function processesOf(dir) {
  const found = [];
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).map(Number)) {
    const args = read(`/proc/${pid}/cmdline`).split("\0");
    const mine = args.some((arg) => arg === dir || arg.startsWith(`${dir}/`)) || read(`/proc/${pid}/environ`).includes(`${dir}/`);
    const [state, parent] = read(`/proc/${pid}/stat`).replace(/^.*\) /, "").split(" ");
    if (!mine || pid === process.pid || !state || state === "Z") continue;
    // A fork that has yet to become another program is not one more of its parent.
    if (read(`/proc/${parent}/cmdline`) === args.join("\0")) continue;
    const program = basename(args[0]);
    const value = (flag) => args[args.indexOf(flag) + 1];
    if (program === "oneai") {
      if (args.includes("up")) found.push({ pid, role: "supervisor", name: "supervisor" });
    } else if (program === "oneai-controller" || program === "oneai-gateway") {
      found.push({ pid, role: program.slice(6), name: args.includes("--name") ? value("--name") : program.slice(6) });
    } else if (program === "oneai-node" || program === "etcd") {
      found.push({ pid, role: program.replace("oneai-", ""), name: value("--name") });
    } else if (program === "oneai-shim") {
      found.push({ pid, role: "shim", name: basename(value("--task-dir")) });
    } else {
      const task = /ONEAI_TASK_DIR=[^\0]*\/([^/\0]+)\0/.exec(read(`/proc/${pid}/environ`));
      found.push({ pid, role: task ? "rank" : "other", name: task ? task[1] : args.join(" ") });
    }
  }
  return found;
}

// Kills the process of a task with signal 9, not its shim.
export function killRank(dir, job, rank) {
  const found = processesOf(dir).find((process) => process.role === "rank" && process.name.startsWith(`${job}.${rank}.`));
  if (!found) throw new Error(`rank ${rank} of ${job} has no process`);
  process.kill(found.pid, "SIGKILL");
}

// mulberry32: numbers in [0, 1) that one seed fixes.
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
