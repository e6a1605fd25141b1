// kill -9 of every kind of process at random moments, while a gang trains, jobs are submitted and an endpoint answers.
//   ONEAI_CHAOS_SEED     replays the choices of a run (the moments stay the machine's)
//   ONEAI_CHAOS_SECONDS  how long to kill in all; default 40
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fabric, eventually, sourceFile } from "./fabric.mjs";
import { processesOf, seededRandom } from "./processes.mjs";
import { Agent, fetch } from "./trusting-fetch.mjs";

const seed = Number(process.env.ONEAI_CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 32));
const seconds = Number(process.env.ONEAI_CHAOS_SECONDS ?? 40);
const fabric = new Fabric(Number(process.env.ONEAI_CHAOS_PORT_BASE ?? 28400));
const random = seededRandom(seed);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const started = Date.now();
const log = (text) => console.log(`# ${((Date.now() - started) / 1000).toFixed(1)} s ${text}`);
const steps = 300;
const kills = {};
let undisturbed = "";

before(async () => {
  console.log(`# ONEAI_CHAOS_SEED=${seed} ONEAI_CHAOS_SECONDS=${seconds}`);
  await fabric.up();
}, { timeout: 120_000 });

after(() => {
  fabric.down();
  console.log(`# kills: ${JSON.stringify(kills)}`);
}, { timeout: 120_000 });

function kill(victim) {
  try {
    process.kill(victim.pid, "SIGKILL");
  } catch {
    return; // it ended by itself meanwhile
  }
  kills[victim.role] = (kills[victim.role] ?? 0) + 1;
  log(`killed ${victim.role} ${victim.name} (${victim.pid})`);
}

// One victim of a role drawn by weight; shims and ranks only of job `target`.
function killOne(target, weights) {
  const all = processesOf(fabric.dir);
  const pool = Object.entries(weights)
    .map(([role, weight]) => ({ weight, of: all.filter((p) => p.role === role && (!/shim|rank/.test(role) || p.name.startsWith(`${target}.`))) }))
    .filter((entry) => entry.of.length > 0);
  let draw = random() * pool.reduce((sum, entry) => sum + entry.weight, 0);
  const chosen = pool.find((entry) => (draw -= entry.weight) < 0) ?? pool[0];
  if (chosen) kill(chosen.of[Math.floor(random() * chosen.of.length)]);
}

// A fabric that lost its supervisor goes on; the next one adopts what runs and repairs the rest.
async function replaceSupervisor(target, weights) {
  const [supervisor] = processesOf(fabric.dir).filter((p) => p.role === "supervisor");
  kill(supervisor);
  if (random() < 0.5) killOne(target, weights);
  await sleep(random() * 500);
  const survivors = processesOf(fabric.dir).filter((p) => /controller|gateway|node/.test(p.role));
  await fabric.cli("up", "--detach", "--port-base", String(fabric.portBase), "--cpus", "2");
  for (const { role, name, pid } of survivors) {
    const now = processesOf(fabric.dir).filter((p) => p.role === role && p.name === name);
    assert.deepEqual(now.map((p) => p.pid), [pid], `${name} is adopted, not started beside itself`);
  }
}

async function chaos(forSeconds, target, weights, isOver) {
  const end = Date.now() + forSeconds * 1000;
  while (Date.now() < end && !(await isOver())) {
    await sleep(300 + random() * 1200);
    if (random() < 0.1) {
      await replaceSupervisor(target, weights);
    } else {
      killOne(target, weights);
    }
  }
}

function trainingFile(name) {
  const file = fabric.jobFile("pretrain.yaml", {
    name, max_restarts: -1, backoff: "200ms", vocab_size: 512, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
    num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16, max_length: 64, per_device_train_batch_size: 4, max_steps: steps,
    warmup_steps: 4, num_decay_steps: 10, save_steps: 10, logging_steps: 1, register_as: `retail/${name}`,
  });
  writeFileSync(file, readFileSync(file, "utf8").replace("backoff: 200ms", "backoff: 200ms\n  backoff_max: 1s"));
  return file;
}

const lossesOf = async (job) => (await fabric.cli("job", "metrics", job, "--key", "loss")).split("\n");

// A user's script: the same request id until somebody acknowledges.
async function submitStubbornly(file, requestId) {
  return eventually(`submit ${requestId}`, () => fabric.cli("job", "submit", "-q", "-f", file, "--request-id", requestId), 120);
}

test("an undisturbed run is the yardstick", { timeout: 300_000 }, async () => {
  await fabric.cli("data", "register", "retail/tiny-shakespeare", sourceFile("examples/data/tinyshakespeare/input.txt"),
    "--classification", "public", "--purpose", "pretraining", "--purpose", "evaluation");
  undisturbed = await fabric.cli("job", "submit", "-q", "-f", trainingFile("calm"));
  await fabric.cli("job", "wait", undisturbed, "--timeout", "200");
  assert.equal((await lossesOf(undisturbed)).length, steps);
});

test("a run whose processes are killed ends with the same losses, bit for bit; no acknowledged job is lost or run twice", { timeout: 900_000 + seconds * 1000 }, async () => {
  const job = await fabric.cli("job", "submit", "-q", "-f", trainingFile("stormy"));
  let over = false;
  const command = fabric.jobFile("command.yaml", {
    name: "brief", tasks: 1, cpus: 0.1, memory: "32MiB",
    command: `[sh, -c, 'echo "$ONEAI_ATTEMPT" >> "$ONEAI_ARTIFACT_DIR/starts"; sleep 0.5; echo end >> "$ONEAI_ARTIFACT_DIR/ends"']`,
  });
  const acknowledged = new Map();
  const submitter = (async () => {
    for (let i = 0; !over; ++i) {
      acknowledged.set(`brief-${i}`, await submitStubbornly(command, `brief-${i}`));
      await sleep(1000);
    }
  })();
  const weights = { controller: 3, gateway: 1, node: 3, rank: 2, shim: 1 };
  await chaos(seconds * 0.6, job, weights, async () => false);
  over = true;
  await submitter;
  log("the storm is over");

  const done = await eventually("the end of the run", async () => {
    const now = await fabric.json("job", "get", job);
    assert.notEqual(now.state, "FAILED");
    return now.state === "SUCCEEDED" && now;
  }, 240).catch(async (error) => {
    for (const command of ["get", "why"]) log(await fabric.cli("job", command, job).catch((e) => e.message));
    log(JSON.stringify(processesOf(fabric.dir)));
    throw error;
  });
  log(`${done.attempt} attempts, ${acknowledged.size} brief jobs`);
  await eventually("all metrics", async () => (await lossesOf(job)).length === steps);
  assert.deepEqual(await lossesOf(job), await lossesOf(undisturbed));
  for (let attempt = 1; attempt <= done.attempt; ++attempt) {
    const output = await fabric.cli("job", "logs", job, "--rank", "0", "--attempt", String(attempt)).catch(() => "");
    assert.ok(output.split("\n").filter((line) => line.startsWith("preparing ")).length <= 1, `attempt ${attempt} started once`);
  }
  assert.equal((await fabric.json("model", "get", "retail/stormy")).version, 1, "the model is registered once");

  for (const [requestId, id] of acknowledged) {
    await fabric.cli("job", "wait", id, "--timeout", "60");
    const folder = join(fabric.dir, "controller", "artifacts", id);
    assert.equal(readFileSync(join(folder, "starts"), "utf8"), "1\n", `${requestId} (${id}) ran once`);
    assert.equal(readFileSync(join(folder, "ends"), "utf8"), "end\n");
  }
  const listed = (await fabric.json("job", "list")).jobs.filter((entry) => entry.spec.name === "brief").map((entry) => entry.id);
  assert.deepEqual(listed.sort(), [...acknowledged.values()].sort(), "exactly the acknowledged jobs exist");
  assert.match(await fabric.cli("audit", "verify"), /^intact/);
});

test("an endpoint whose processes are killed answers whoever asks again, with the same text", { timeout: 300_000 + seconds * 1000 }, async () => {
  await fabric.cli("endpoint", "deploy", "stormy", "--model", "retail/stormy", "--project", "retail/language",
    "--replicas", "2", "--cpus", "0.5", "--wait");
  const key = await fabric.cli("token", "create", "shop", "--service", "--unit", "retail", "--role", "inference@retail");
  const refusals = {};
  const complete = async (promptSeed) => {
    // A client of its own each time: a killed gateway leaves no half-open connection behind.
    const send = fetch(new Agent(fabric.ca));
    const response = await send(`${fabric.client.gateway_http}/v1/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "stormy", prompt: "ROMEO:", max_tokens: 32, temperature: 0.9, seed: promptSeed }),
      signal: AbortSignal.timeout(20_000),
    });
    const body = await response.json();
    if (response.status === 200) return body.choices[0].text;
    refusals[response.status] = (refusals[response.status] ?? 0) + 1;
    // Only "try again" is a fair answer to a fair question.
    if (![503, 429].includes(response.status)) return Promise.reject(Object.assign(new Error(`${response.status} ${JSON.stringify(body)}`), { final: true }));
    throw new Error(`${response.status} ${JSON.stringify(body)}`);
  };
  const ask = async (promptSeed) => {
    const { text, final } = await eventually(`an answer for seed ${promptSeed}`, async () => {
      try {
        return { text: await complete(promptSeed) };
      } catch (error) {
        if (error.final) return { final: error };
        throw error;
      }
    }, 60);
    if (final) throw final;
    return text;
  };
  const expected = new Map();
  for (let i = 0; i < 5; ++i) expected.set(i, await ask(i));
  assert.ok(new Set(expected.values()).size > 1, "seeds differ");
  const { job_id: job } = await fabric.json("endpoint", "get", "stormy");

  let over = false;
  let answers = 0;
  const client = (async () => {
    while (!over) {
      const which = answers % 5;
      assert.equal(await ask(which), expected.get(which));
      ++answers;
      await sleep(50);
    }
  })();
  client.catch(() => {}); // awaited below
  await chaos(seconds * 0.4, job, { controller: 2, gateway: 1, node: 2, rank: 2, shim: 1 }, async () => false);
  over = true;
  await client;
  log(`${answers} answers, refused meanwhile: ${JSON.stringify(refusals)}`);
  await eventually("both replicas ready again", async () =>
    (await fabric.json("endpoint", "get", "stormy")).replicas.filter((replica) => replica.ready).length === 2, 60);
  for (let i = 0; i < 5; ++i) assert.equal(await ask(i), expected.get(i));
});

test("after down nothing is left running, even when agents were killed a moment before", { timeout: 120_000 }, async () => {
  processesOf(fabric.dir).filter((p) => p.role === "node" || p.role === "supervisor").forEach(kill);
  await fabric.cli("down");
  assert.deepEqual(processesOf(fabric.dir), []);
  await fabric.up();
  assert.equal((await fabric.json("model", "get", "retail/stormy")).version, 1, "what was there is there again");
  processesOf(fabric.dir).filter((p) => p.role === "node").forEach(kill);
  await fabric.cli("down");
  assert.deepEqual(processesOf(fabric.dir), []);
  await fabric.up(); // for the last tidying up
});
