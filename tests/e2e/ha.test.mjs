// `oneai up --ha`: three controllers over three members of etcd. Leaders and members die and sleep; jobs go on, none is lost,
// none runs twice.
//   ONEAI_HA_KILLS  how often the leader is killed; default 4. The times until a successor serves are printed.
//   ONEAI_HA_STORM  how many processes of every kind are killed at random; default 20
//   ONEAI_HA_SEED   replays the choices of the storm (the moments stay the machine's)
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fabric, eventually } from "./fabric.mjs";
import { processesOf, seededRandom } from "./processes.mjs";

const kills = Number(process.env.ONEAI_HA_KILLS ?? 4);
const storm = Number(process.env.ONEAI_HA_STORM ?? 20);
const seed = Number(process.env.ONEAI_HA_SEED ?? Math.floor(Math.random() * 2 ** 32));
const fabric = new Fabric(Number(process.env.ONEAI_HA_PORT_BASE ?? 21400));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const started = Date.now();
const log = (text) => console.log(`# ${((Date.now() - started) / 1000).toFixed(1)} s ${text}`);
const skip = existsSync("/usr/bin/etcd") && existsSync("/usr/bin/etcdctl") ? false : "etcd is not installed (apt-get install etcd-server etcd-client)";

const processes = (role) => processesOf(fabric.dir).filter((p) => p.role === role);
const listens = (port) =>
  new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 300 });
    const end = (value) => resolve(value) || socket.destroy();
    socket.on("connect", () => end(true)).on("error", () => end(false)).on("timeout", () => end(false));
  });
const portOf = (controller) => fabric.portBase + controller.name.charCodeAt(controller.name.length - 1) - "a".charCodeAt(0);

// The controller that answers calls, as a process.
async function leader() {
  return eventually("a leader", async () => {
    const address = (await fabric.json("status")).leader;
    return address && processes("controller").find((p) => address.endsWith(`:${portOf(p)}`));
  });
}

// Sends `signal` to the leader; milliseconds until a controller listens, which it does only when it leads. The port of one that
// sleeps stays open; one that was killed is restarted and may be its own successor.
async function failOver(old, signal) {
  const start = performance.now();
  process.kill(old.pid, signal);
  // Its threads end one by one, and the port with the last.
  while (signal === "SIGKILL" && (await listens(portOf(old)))) await sleep(5);
  const ports = [0, 1, 2].map((i) => fabric.portBase + i).filter((port) => signal === "SIGKILL" || port !== portOf(old));
  while (performance.now() - start < 60_000) {
    for (const port of ports) if (await listens(port)) return performance.now() - start;
    await sleep(10);
  }
  throw new Error("nobody took over within a minute");
}

const etcdctl = (...args) => {
  const pki = join(fabric.dir, "etcd", "pki");
  const endpoints = [20, 21, 22].map((i) => `127.0.0.1:${fabric.portBase + i}`).join(",");
  return execFileSync("etcdctl", ["--endpoints", endpoints, "--cacert", `${pki}/ca.crt`, "--cert", `${pki}/client.crt`, "--key", `${pki}/client.key`,
    "--command-timeout", "2s", ...args], { env: { ...process.env, ETCDCTL_API: "3" }, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
};
// etcd's own leader, as a process.
function etcdLeader() {
  const status = JSON.parse(etcdctl("endpoint", "status", "-w", "json"));
  const at = status.find((member) => member.Status.leader === member.Status.header.member_id);
  return processes("etcd").find((p) => p.name === `etcd-${String.fromCharCode(97 + Number(at.Endpoint.split(":")[1]) - fabric.portBase - 20)}`);
}

let ticker;
const acknowledged = new Map();
let submitter;
let over = false;
const artifact = (id, file) => readFileSync(join(fabric.dir, "controller", "artifacts", id, file), "utf8");

before(async () => {
  if (!skip) await fabric.up("--ha", "--asic-nodes", "0");
}, { timeout: 120_000 });

after(async () => {
  over = true;
  if (submitter) await submitter.catch(() => {});
  if (!skip) fabric.down();
}, { timeout: 120_000 });

test("one controller leads and says so; the others do not listen", { skip, timeout: 60_000 }, async () => {
  const first = await leader();
  log(`${first.name} leads`);
  assert.equal(processes("controller").length, 3);
  assert.equal(processes("etcd").length, 3);
  for (const other of processes("controller").filter((p) => p.pid !== first.pid)) assert.equal(await listens(portOf(other)), false);
  assert.match(await fabric.cli("status"), /leader: +127\.0\.0\.1:\d+\n/);
  assert.match(await fabric.cli("ui"), new RegExp(`https://127.0.0.1:${portOf(first) + 80}\n`));
});

test("a folder of one kind is not brought up as the other", { skip, timeout: 60_000 }, async () => {
  const { text } = await fabric.refused("up", "--detach", "--port-base", String(fabric.portBase + 3000));
  assert.match(text, /already up|keeps its state in etcd/);
});

test("leaders are killed while jobs are submitted and run", { skip, timeout: 120_000 + kills * 30_000 }, async () => {
  const file = (name, command) => fabric.jobFile("command.yaml", { name, tasks: 1, cpus: 0.1, memory: "32MiB", command });
  ticker = await fabric.cli("job", "submit", "-q", "-f",
    file("ticker", `[sh, -c, 'echo "$ONEAI_ATTEMPT" >> "$ONEAI_ARTIFACT_DIR/starts"; while true; do date +%s >> "$ONEAI_ARTIFACT_DIR/ticks"; sleep 0.2; done']`));
  await eventually("the ticker", () => artifact(ticker, "ticks").length > 0);
  const brief = file("brief", `[sh, -c, 'echo "$ONEAI_ATTEMPT" >> "$ONEAI_ARTIFACT_DIR/starts"; sleep 0.3; echo end >> "$ONEAI_ARTIFACT_DIR/ends"']`);
  // A user's script: the same request id until somebody acknowledges.
  submitter = (async () => {
    for (let i = 0; !over; ++i) {
      const id = `brief-${i}`;
      acknowledged.set(id, await eventually(`submit ${id}`, () => fabric.cli("job", "submit", "-q", "-f", brief, "--request-id", id), 60));
      await sleep(700);
    }
  })();
  const times = [];
  for (let i = 0; i < kills; ++i) {
    // Not before all three stand: two dead of three would be another test.
    await eventually("three controllers", () => processes("controller").length === 3);
    await sleep(500 + Math.random() * 1000);
    const victim = await leader();
    times.push(await failOver(victim, "SIGKILL"));
    log(`killed ${victim.name}; a successor serves after ${times.at(-1).toFixed(0)} ms`);
    const answered = performance.now();
    await fabric.cli("node", "list");
    log(`the next command was answered within ${(performance.now() - answered).toFixed(0)} ms more`);
  }
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.max(0, Math.ceil(share * times.length) - 1)].toFixed(0);
  console.log(`# ${kills} leaders killed: a successor served after ${at(0)}..${at(1)} ms, median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}`);
});

test("a member of etcd and etcd's leader die; the fabric's leader stays", { skip, timeout: 120_000 }, async () => {
  const before = await leader();
  for (const choose of [() => processes("etcd").find((p) => p.pid !== etcdLeader().pid), etcdLeader]) {
    await eventually("three members", () => JSON.parse(etcdctl("endpoint", "status", "-w", "json")).length === 3);
    const victim = choose();
    process.kill(victim.pid, "SIGKILL");
    log(`killed ${victim.name}`);
    const count = acknowledged.size;
    await eventually("jobs submitted meanwhile", () => acknowledged.size > count + 1);
  }
  log(`${before.name} led before, ${(await leader()).name} leads now`);
});

test("a leader that sleeps is followed, and refused when it wakes", { skip, timeout: 120_000 }, async () => {
  await eventually("three controllers", () => processes("controller").length === 3);
  const sleeper = await leader();
  const took = await failOver(sleeper, "SIGSTOP");
  log(`${sleeper.name} sleeps; a successor serves after ${took.toFixed(0)} ms`);
  const count = acknowledged.size;
  await eventually("jobs submitted meanwhile", () => acknowledged.size > count + 1);
  process.kill(sleeper.pid, "SIGCONT");
  await eventually("the end of the sleeper", () => !processes("controller").some((p) => p.pid === sleeper.pid));
  assert.match(readFileSync(join(fabric.dir, "logs", `${sleeper.name}.log`), "utf8"), /leads no more/);
  await eventually("its return as a standby", () => processes("controller").length === 3);
  assert.notEqual((await leader()).name, sleeper.name);
});

test("without a majority of etcd nothing is accepted, jobs run on, and all comes back", { skip, timeout: 180_000 }, async () => {
  const [first, second] = processes("etcd");
  const ticks = artifact(ticker, "ticks").length;
  process.kill(first.pid, "SIGSTOP");
  process.kill(second.pid, "SIGSTOP");
  await eventually("nobody leads", async () => (await Promise.all([0, 1, 2].map((i) => listens(fabric.portBase + i)))).every((up) => !up));
  await sleep(2000);
  assert.ok(artifact(ticker, "ticks").length > ticks + 40, "the job runs on");
  process.kill(first.pid, "SIGCONT");
  process.kill(second.pid, "SIGCONT");
  await leader();
  const count = acknowledged.size;
  await eventually("jobs submitted again", () => acknowledged.size > count + 1);
});

test("processes of every kind are killed at random", { skip, timeout: 120_000 + storm * 20_000 }, async () => {
  console.log(`# ONEAI_HA_SEED=${seed}`);
  const random = seededRandom(seed);
  const file = fabric.jobFile("command.yaml", { name: "stormy", tasks: 1, cpus: 0.1, memory: "32MiB", command: `[sh, -c, 'while true; do sleep 1; done']` });
  writeFileSync(file, `${readFileSync(file, "utf8")}\nrestart:\n  max_restarts: -1\n  backoff: 200ms\n  backoff_max: 1s\n`);
  const stormy = await fabric.cli("job", "submit", "-q", "-f", file);
  const weights = { controller: 3, etcd: 3, node: 2, gateway: 1, shim: 1 };
  const gaps = [];
  for (let i = 0; i < storm; ++i) {
    await sleep(200 + random() * 1200);
    let draw = random() * 10;
    const [role] = Object.entries(weights).find(([, weight]) => (draw -= weight) < 0);
    // A brief job whose own shim dies is rightly run again; only the stormy one's are.
    const pool = processes(role).filter((p) => role !== "shim" || p.name.startsWith(`${stormy}.`));
    if (pool.length === 0) continue;
    const victim = pool[Math.floor(random() * pool.length)];
    const count = acknowledged.size;
    const start = performance.now();
    try {
      process.kill(victim.pid, "SIGKILL");
    } catch {
      continue; // it ended by itself meanwhile
    }
    if (random() < 0.5) continue; // the next one dies soon
    await eventually("a job is submitted", () => acknowledged.size > count, 60);
    gaps.push(performance.now() - start);
    log(`killed ${victim.role} ${victim.name}; a job was acknowledged ${gaps.at(-1).toFixed(0)} ms later`);
  }
  await eventually("the stormy job runs again", async () => (await fabric.json("job", "get", stormy)).state === "RUNNING");
  await fabric.cli("job", "cancel", stormy);
});

test("nothing acknowledged is lost, nothing ran twice, and the ticker never stopped", { skip, timeout: 180_000 }, async () => {
  over = true;
  await submitter;
  log(`${acknowledged.size} jobs were acknowledged`);
  for (const [requestId, id] of acknowledged) {
    await fabric.cli("job", "wait", id, "--timeout", "60");
    assert.equal(artifact(id, "starts"), "1\n", `${requestId} (${id}) ran once`);
    assert.equal(artifact(id, "ends"), "end\n");
  }
  const listed = (await fabric.json("job", "list")).jobs.filter((entry) => entry.spec.name === "brief").map((entry) => entry.id);
  assert.deepEqual(listed.sort(), [...acknowledged.values()].sort(), "exactly the acknowledged jobs exist");
  assert.equal(artifact(ticker, "starts"), "1\n", "the ticker was never restarted");
  const seconds = artifact(ticker, "ticks").trim().split("\n").map(Number);
  const gap = Math.max(...seconds.slice(1).map((time, i) => time - seconds[i]));
  assert.ok(gap <= 5, `the ticker paused for ${gap} s`);
  assert.match(await fabric.cli("audit", "verify"), /^intact/);
});

test("after down nothing is left running, and the next up knows everything", { skip, timeout: 180_000 }, async () => {
  await fabric.cli("down");
  assert.deepEqual(processesOf(fabric.dir), []);
  await fabric.up("--ha", "--asic-nodes", "0");
  const jobs = (await fabric.json("job", "list")).jobs;
  assert.equal(jobs.filter((entry) => entry.spec.name === "brief").length, acknowledged.size);
});
