// Jobs as an engineer and a platform owner use them, from outside: arrays, sweeps, dependencies, giving way with a
// checkpoint, what-if and why, queues, usage.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fabric, eventually, sourceFile } from "./fabric.mjs";

const fabric = new Fabric(Number(process.env.ONEAI_JOBS_PORT_BASE ?? 25400));

before(() => fabric.up(), { timeout: 120_000 });
after(() => fabric.down());

const example = (name) => sourceFile("examples", name);
const job = (id) => fabric.json("job", "get", id);
const inState = (id, state, seconds = 60) =>
  eventually(`${id} ${state}`, async () => {
    const now = await job(id);
    return now.state === state && now;
  }, seconds);

function file(name, lines) {
  const path = join(fabric.dir, `${name}.yaml`);
  const head = [`name: ${name}`, "project: retail/language"];
  writeFileSync(path, [...head, ...lines].join("\n") + "\n");
  return path;
}

test("an array runs as many at once as it may, and what depends on it waits for all of it", async () => {
  const [array, ...ids] = (await fabric.cli("job", "submit", "-q", "-f", example("array.yaml"))).split("\n");
  assert.match(array, /^array-/);
  assert.equal(ids.length, 10);
  const reduce = await fabric.cli("job", "submit", "-q", "-f",
    file("reduce", [`depends_on: ["afterok:${array}"]`, "command: [sh, -c, 'echo done']"]));
  const why = await fabric.cli("job", "why", reduce);
  assert.match(why, new RegExp(`waits for ${array} \\(afterok\\)`));
  let most = 0;
  await eventually("the array to end", async () => {
    const { jobs } = await fabric.json("job", "list", "--array", array);
    most = Math.max(most, jobs.filter((one) => ["STARTING", "RUNNING", "STOPPING"].includes(one.state)).length);
    return jobs.every((one) => one.state === "SUCCEEDED");
  });
  assert.ok(most <= 4, `${most} ran at once`);
  assert.match(await fabric.cli("job", "list"), new RegExp(`${array} +shards \\[10\\].*10 SUCCEEDED`));
  await inState(reduce, "SUCCEEDED");
});

test("a sweep gives each job its values", async () => {
  const [, ...ids] = (await fabric.cli("job", "submit", "-q", "-f", example("sweep.yaml"))).split("\n");
  assert.equal(ids.length, 6);
  const first = await inState(ids[0], "SUCCEEDED");
  assert.equal(await fabric.cli("job", "logs", ids[0]), `lr=${first.sweep_values.lr} batch=${first.sweep_values.batch}`);
  // The next test counts on an empty fabric.
  for (const id of ids) await inState(id, "SUCCEEDED");
});

test("a job that gives way is warned, saves, and goes on at no cost", async () => {
  const elastic = await fabric.cli("job", "submit", "-q", "-f", example("elastic.yaml"));
  await inState(elastic, "RUNNING");
  const urgent = file("urgent", ["tasks: 6", "priority_class: high", "resources: {cpus: 1}", "command: [sleep, '5']"]);
  const plan = await fabric.refused("job", "plan", "-f", urgent);
  assert.equal(plan.code, 6);
  const what_if = await fabric.json("job", "plan", "-f", urgent).catch((error) => JSON.parse(error.stdout));
  assert.ok(what_if.preempts.some((victim) => victim.includes(elastic)), JSON.stringify(what_if));
  const id = await fabric.cli("job", "submit", "-q", "-f", urgent);
  await inState(id, "RUNNING");
  const waiting = await job(elastic);
  assert.equal(waiting.state, "PENDING");
  assert.equal(waiting.num_preemptions, 1);
  assert.match(waiting.last_checkpoint, /^checkpoint-/);
  await inState(id, "SUCCEEDED");
  const again = await inState(elastic, "RUNNING");
  assert.equal(again.attempt, 2);
  assert.equal(again.num_restarts ?? 0, 0);
  await fabric.cli("job", "cancel", elastic);
});

test("bad input is refused with the nearest valid value", async () => {
  const cases = [
    [["depends_on: [job-nothere]"], /no job or array job-nothere/],
    [["queue: retail/sandbx"], /nearest valid value is "retail\/sandbox"/],
    [["tasks: {min: 4, max: 2}"], /nearest valid value is 2/],
    [["tasks: 4000"], /the largest that fits is/],
    [["resources: {devices: [{kind: nvidia-h1000, count: 1}]}"], /the fabric's kinds/],
    [['array: "9-0"'], /nearest valid value is "0-9"/],
  ];
  for (const [lines, message] of cases) {
    const refused = await fabric.refused("job", "submit", "-f", file("bad", [...lines, "command: [true]"]));
    assert.equal(refused.code, 2, refused.text);
    assert.match(refused.text, message);
  }
});

test("the queue tree is set as a whole, and usage is counted", async () => {
  await fabric.cli("queue", "set", "-f", example("queues.yaml"));
  assert.match(await fabric.cli("queue", "list"), /frontier +reserve/);
  const bad = join(fabric.dir, "queues.yaml");
  writeFileSync(bad, "queues:\n  - {queue: retail/search, nominal: {nvidia-h100-80g: 60}}\n");
  const refused = await fabric.refused("queue", "set", "-f", bad);
  assert.equal(refused.code, 2, refused.text);
  assert.match(refused.text, /retail/);
  const csv = (await fabric.cli("usage", "fabric", "--csv")).split(/\r?\n/);
  assert.equal(csv[0], "business_unit,project,user,resource,day,seconds,cost,jobs");
  assert.ok(csv.some((line) => /^retail,retail\/language,.*,cpu,/.test(line)), csv.join("\n"));
});
