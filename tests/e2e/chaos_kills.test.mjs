// A hundred times kill -9 under load: controllers, agents, shims, members of etcd, one or two at a time at random moments. Nothing
// acknowledged is lost, nothing runs twice, and how long each recovery took is printed.
//   ONEAI_KILLS_SEED      replays the choices of a run (the moments stay the machine's)
//   ONEAI_KILLS_EMBEDDED  how many with the embedded store; default 70
//   ONEAI_KILLS_ETCD      how many with three controllers on etcd; default 30
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Fabric, eventually } from "./fabric.mjs";
import { processesOf, seededRandom } from "./processes.mjs";

const seed = Number(process.env.ONEAI_KILLS_SEED ?? Math.floor(Math.random() * 2 ** 32));
const random = seededRandom(seed);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const started = Date.now();
const log = (text) => console.log(`# ${((Date.now() - started) / 1000).toFixed(1)} s ${text}`);
const hasEtcd = existsSync("/usr/bin/etcd");
console.log(`# ONEAI_KILLS_SEED=${seed}`);

// Every attempt of a rank notes its start and holds a lock while anything of it lives. Whoever finds the lock of another attempt
// taken has met it alive; those who only look share.
const guarded = (work) => `
  cd "$ONEAI_ARTIFACT_DIR"
  echo "$RANK.$ONEAI_ATTEMPT" >> starts
  exec 9> "lock.$ONEAI_ATTEMPT.$RANK"
  flock -n -x 9 || echo "$RANK.$ONEAI_ATTEMPT runs already" >> overlaps
  for other in lock.*; do
    case "$other" in "lock.$ONEAI_ATTEMPT."*) continue ;; esac
    flock -n -s "$other" true || echo "$RANK.$ONEAI_ATTEMPT meets $other" >> overlaps
  done
  ${work}`;

class Load {
  constructor(fabric) {
    this.fabric = fabric;
    this.acknowledged = new Map();
    this.over = false;
  }

  jobFile(name, tasks, work) {
    const file = join(this.fabric.dir, `${name}.yaml`);
    writeFileSync(file, `name: ${name}\nproject: retail/language\ntasks: ${tasks}\nresources:\n  cpus: 0.05\n  memory: 32MiB\n` +
      `restart:\n  max_restarts: -1\n  backoff: 100ms\n  backoff_max: 200ms\ngrace: 1s\ncommand: [sh, -c, ${JSON.stringify(guarded(work))}]\n`);
    return file;
  }

  // A user's script: the same request id until somebody acknowledges.
  submit(file, requestId) {
    return eventually(`submit ${requestId}`, () => this.fabric.cli("job", "submit", "-q", "-f", file, "--request-id", requestId), 60);
  }

  async begin() {
    this.gang = await this.submit(this.jobFile("gang", 2, "while true; do sleep 0.5; done"), "gang");
    this.brief = this.jobFile("brief", 1, "sleep 0.3; echo end >> ends");
    this.submitter = (async () => {
      for (let i = 0; !this.over; ++i) {
        this.acknowledged.set(`brief-${i}`, await this.submit(this.brief, `brief-${i}`));
        await sleep(600);
      }
    })();
    this.submitter.catch(() => {}); // awaited at the end
    await this.gangRuns(0);
  }

  gangRuns(afterAttempt) {
    return eventually(`the gang runs after attempt ${afterAttempt}`, async () => {
      const job = await this.fabric.json("job", "get", this.gang);
      assert.notEqual(job.state, "FAILED");
      return job.state === "RUNNING" && job.attempt > afterAttempt && job;
    });
  }

  artifact(id, file) {
    const path = join(this.fabric.dir, "controller", "artifacts", id, file);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  assertRanOnce(id) {
    const starts = this.artifact(id, "starts").split("\n").filter(Boolean);
    assert.deepEqual([...new Set(starts)], starts, `${id}: no attempt of a rank starts twice`);
    assert.equal(this.artifact(id, "overlaps"), "", `${id}: no two attempts are alive together`);
  }

  // Nothing lost, nothing run twice.
  async end() {
    this.over = true;
    await this.submitter;
    await eventually("the gang's cancel", () => this.fabric.cli("job", "cancel", this.gang));
    for (const [requestId, id] of this.acknowledged) {
      const job = await eventually(`the end of ${requestId}`, async () => {
        const now = await this.fabric.json("job", "get", id);
        return /SUCCEEDED|FAILED|CANCELLED/.test(now.state) && now;
      }, 120);
      assert.equal(job.state, "SUCCEEDED", `${requestId} (${id})`);
      this.assertRanOnce(id);
      assert.equal(this.artifact(id, "ends"), "end\n", `${requestId} (${id}) did its work once`);
    }
    this.assertRanOnce(this.gang);
    const listed = (await this.fabric.json("job", "list")).jobs.filter((job) => job.spec.name === "brief").map((job) => job.id);
    assert.deepEqual(listed.sort(), [...this.acknowledged.values()].sort(), "exactly the acknowledged jobs exist");
  }
}

// As `eventually`, but looking more often: what it takes is measured.
async function soon(what, check) {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    if (await check().catch(() => false)) return;
    await sleep(20);
  }
  throw new Error(`${what} did not happen within a minute`);
}

// What has to be true again after a victim's death, as a promise; asked for before the kill.
async function recoveryOf(load, victim) {
  const { fabric } = load;
  if (victim.role === "controller") return () => soon("an answer", async () => (await fabric.cli("node", "list")) !== "");
  if (victim.role === "node") {
    const incarnation = async () => (await fabric.json("node", "get", victim.name)).incarnation;
    const before = await eventually("the agent's name", incarnation);
    return () => soon(`${victim.name} is heard again`, async () => (await incarnation()) !== before);
  }
  if (victim.role === "shim") {
    const { attempt } = await load.gangRuns(0);
    return () => soon("the gang runs again", async () => {
      const job = await fabric.json("job", "get", load.gang);
      return job.state === "RUNNING" && job.attempt > attempt;
    });
  }
  const request = `write-${victim.pid}`;
  return () => soon("a durable write", async () => {
    load.acknowledged.set(request, await fabric.cli("job", "submit", "-q", "-f", load.brief, "--request-id", request));
    return true;
  });
}

function pickVictim(load, weights, except) {
  const all = processesOf(load.fabric.dir).filter((p) => p.pid !== except && (p.role !== "shim" || p.name.startsWith(`${load.gang}.`)));
  const pool = Object.entries(weights).map(([role, weight]) => ({ weight, of: all.filter((p) => p.role === role) })).filter(({ of }) => of.length > 0);
  let draw = random() * pool.reduce((sum, { weight }) => sum + weight, 0);
  const chosen = pool.find(({ weight }) => (draw -= weight) < 0) ?? pool[0];
  return chosen.of[Math.floor(random() * chosen.of.length)];
}

async function killOnce(load, victims, times) {
  const recoveries = [];
  for (const victim of victims) recoveries.push(await recoveryOf(load, victim));
  const start = performance.now();
  const killed = victims.map((victim) => {
    try {
      process.kill(victim.pid, "SIGKILL");
      return true;
    } catch {
      return false; // it ended by itself meanwhile
    }
  });
  await Promise.all(victims.map(async (victim, i) => {
    if (!killed[i]) return;
    await recoveries[i]();
    times.push({ role: victim.role, ms: performance.now() - start, alone: victims.length === 1 });
  }));
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)];
function report(title, times) {
  for (const role of [...new Set(times.map((entry) => entry.role)), "all"]) {
    const sorted = times.filter((entry) => role === "all" || entry.role === role).map((entry) => entry.ms).sort((a, b) => a - b);
    const [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1].map((q) => `${(quantile(sorted, q) / 1000).toFixed(2)} s`);
    console.log(`# recovery, ${title}, ${role.padEnd(10)} n=${String(sorted.length).padEnd(3)} p50 ${p50}, p90 ${p90}, p99 ${p99}, max ${max}`);
  }
}

async function storm(fabric, title, num_kills, weights, whole) {
  const load = new Load(fabric);
  await load.begin();
  const times = [];
  while (times.length < num_kills) {
    await whole();
    await sleep(random() * 400);
    const victims = [pickVictim(load, weights)];
    if (random() < 0.1) victims.push(pickVictim(load, weights, victims[0].pid));
    if (victims.some((victim) => victim === undefined)) continue;
    // Two of three members dead is an outage, not a failure of one.
    if (victims.length === 2 && victims[0].role === victims[1].role) victims.pop();
    await killOnce(load, victims, times);
  }
  report(title, times);
  log(`${title}: ${times.length} kills, ${load.acknowledged.size} brief jobs acknowledged`);
  await load.end();
}

test("the embedded store: controller, agents and shims are killed", { timeout: 900_000 }, async () => {
  const fabric = new Fabric(Number(process.env.ONEAI_KILLS_PORT_BASE ?? 23400));
  await fabric.up("--asic-nodes", "0");
  try {
    await storm(fabric, "embedded", Number(process.env.ONEAI_KILLS_EMBEDDED ?? 70), { controller: 3, node: 3, shim: 2 }, async () => {});
  } finally {
    fabric.down();
  }
});

test("etcd: controllers, members, agents and shims are killed", { skip: hasEtcd ? false : "etcd is not installed (apt-get install etcd-server)", timeout: 900_000 }, async () => {
  const fabric = new Fabric(Number(process.env.ONEAI_KILLS_PORT_BASE ?? 23400) + 200);
  await fabric.up("--ha", "--asic-nodes", "0");
  try {
    const three = (role) => processesOf(fabric.dir).filter((p) => p.role === role).length === 3;
    await storm(fabric, "etcd", Number(process.env.ONEAI_KILLS_ETCD ?? 30), { controller: 3, etcd: 2, node: 2, shim: 2 },
      () => eventually("three controllers and three members", () => three("controller") && three("etcd")));
  } finally {
    fabric.down();
  }
});
