// LoRA adapters from outside: registered, deployed, changed while the endpoint serves, called beside the base model. The model and its
// adapters are fixtures whose greedy answers transformers and PEFT wrote down.
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { bearer, collect, inferenceClient, openaiClient, ownCredentials } from "./clients.mjs";
import { Fabric, eventually, sourceFile } from "./fabric.mjs";
import { killRank } from "./processes.mjs";

const fabric = new Fabric(Number(process.env.ONEAI_ADAPTERS_PORT_BASE ?? 35400));
const fixture = sourceFile("tests", "data", "golden", "qwen2_lora");
const { cases } = JSON.parse(readFileSync(join(fixture, "golden.json"), "utf8"));
const base = cases.filter((one) => one.name.startsWith("base"));
const of = (adapter) => cases.filter((one) => one.name.startsWith(`${adapter}.`));
let client;
let key = "";

before(async () => {
  await fabric.up();
  key = await fabric.cli("token", "create", "shop", "--service", "--unit", "retail", "--role", "inference@retail");
  client = inferenceClient(fabric, ownCredentials(fabric));
}, { timeout: 120_000 });
after(() => {
  client?.close();
  fabric.down();
}, { timeout: 120_000 });

// The answer's token ids; rejects with the gRPC error.
const complete = (model, ids, more = {}) =>
  new Promise((resolve, reject) => {
    const request = { model, token_ids: { ids }, sampling: { temperature: 0, max_tokens: 32, ignore_eos: true, ...more } };
    client.Complete(request, bearer(key), { deadline: Date.now() + 20_000 }, (error, response) =>
      error ? reject(error) : resolve(response.choices[0].token_ids));
  });

async function assertGolden(model, expected) {
  for (const { input_ids, greedy } of expected) assert.deepEqual(await complete(model, input_ids), greedy, model);
}

// What a job would have left in its artifact folder.
function writeFolders(folder) {
  mkdirSync(folder, { recursive: true });
  for (const name of ["adapter_a", "adapter_b", "adapter_c"]) cpSync(join(fixture, name), join(folder, name), { recursive: true });
  // One made for another model: the same file, said to be of rank 4.
  cpSync(join(fixture, "adapter_a"), join(folder, "wrong"), { recursive: true });
  const config = JSON.parse(readFileSync(join(folder, "wrong", "adapter_config.json"), "utf8"));
  writeFileSync(join(folder, "wrong", "adapter_config.json"), JSON.stringify({ ...config, r: 4 }));
  mkdirSync(join(folder, "empty"));
}

test("a model and its adapters come into the registry", { timeout: 60_000 }, async () => {
  const yaml = join(fabric.dir, "make.yaml");
  writeFileSync(yaml, "name: make\nproject: retail/language\ncommand: ['true']\n");
  const job = await fabric.cli("job", "submit", "-q", "-f", yaml);
  await fabric.cli("job", "wait", job, "--timeout", "30");
  const folder = join(fabric.dir, "controller", "artifacts", job);
  writeFolders(folder);
  // A tokenizer of bytes, and a token for every other id that the fixture's answers hold.
  await fabric.cli("model", "init", "--config", join(fixture, "config.json"), join(folder, "base"));
  const file = join(folder, "base", "tokenizer.json");
  const tokenizer = JSON.parse(readFileSync(file, "utf8"));
  for (let id = 259; id < 512; ++id) tokenizer.model.vocab[`token${id}`] = id;
  writeFileSync(file, JSON.stringify(tokenizer));
  cpSync(join(fixture, "model.safetensors"), join(folder, "base", "model.safetensors"));
  for (const [name, path] of [["tiny", "base"], ["law", "adapter_a"], ["care", "adapter_b"], ["care", "adapter_c"], ["wrong", "wrong"]])
    await fabric.cli("model", "register", `retail/${name}`, `${job}/${path}`);
  const refused = await fabric.refused("model", "register", "retail/nothing", `${job}/empty`);
  assert.equal(refused.code, 2, refused.text);
  assert.match(refused.text, /empty/);
});

test("an endpoint is deployed with an adapter", { timeout: 60_000 }, async () => {
  const deploy = ["endpoint", "deploy", "chat", "--model", "retail/tiny", "--project", "retail/language", "--replicas", "2", "--cpus", "0.5",
    "--dtype", "f32"];
  const unknown = await fabric.refused(...deploy, "--adapter", "law=retail/nobody");
  assert.equal(unknown.code, 3, unknown.text);
  assert.match(unknown.text, /retail\/nobody/);
  const model = await fabric.refused(...deploy, "--adapter", "law=retail/tiny");
  assert.equal(model.code, 2, model.text);
  assert.match(model.text, /retail\/tiny@1 is a model, not a LoRA adapter/);
  const adapter = await fabric.refused("endpoint", "deploy", "chat", "--model", "retail/law", "--project", "retail/language");
  assert.equal(adapter.code, 2, adapter.text);
  assert.match(adapter.text, /retail\/law@1 is a LoRA adapter/);
  await fabric.cli(...deploy, "--adapter", "law=retail/law", "--wait");
  assert.match(await fabric.cli("endpoint", "adapter", "list", "chat"), /^law +retail\/law@1/m);
});

test("requests with and without it share a batch and answer as PEFT does", { timeout: 60_000 }, async () => {
  const asked = [];
  for (let round = 0; round < 4; ++round) {
    for (const one of base) asked.push(["chat", one]);
    for (const one of of("adapter_a")) asked.push(["chat:law", one]);
  }
  const answers = await Promise.all(asked.map(([name, one]) => complete(name, one.input_ids)));
  answers.forEach((answer, i) => assert.deepEqual(answer, asked[i][1].greedy, `${asked[i][0]} ${asked[i][1].name}`));
});

test("adapters are added while it serves", { timeout: 60_000 }, async () => {
  await fabric.cli("endpoint", "adapter", "add", "chat", "care=retail/care@1", "late=retail/care");
  const list = await fabric.cli("endpoint", "adapter", "list", "chat");
  for (const line of [/^law +retail\/law@1/m, /^care +retail\/care@1/m, /^late +retail\/care@2/m]) assert.match(list, line);
  // Both replicas have them: two requests in turn go to two replicas.
  for (let i = 0; i < 2; ++i) {
    await assertGolden("chat:care", of("adapter_b"));
    await assertGolden("chat:late", of("adapter_c"));
  }
  await assertGolden("chat", base);
  await assertGolden("chat:law", of("adapter_a"));
  const openai = await openaiClient(fabric, key);
  const { data } = await openai.models.list();
  assert.deepEqual(data.map(({ id }) => id).sort(), ["chat", "chat:care", "chat:late", "chat:law"]);
  assert.equal(data.find(({ id }) => id === "chat:care").parent, "chat");
  assert.equal((await openai.models.retrieve("chat:care")).parent, "chat");
});

test("what cannot be added is refused, and nothing changes", { timeout: 60_000 }, async () => {
  const refusals = [
    [["wrong=retail/wrong"], 2, /adapter wrong: .*lora_A.* is F32 \[8, 64\] where floating-point \[4, 64\] is expected/],
    [["new=retail/nobody"], 3, /retail\/nobody/],
    [["law=retail/care"], 5, /law/],
    [["a/b=retail/care"], 2, /letters, digits/],
    [["new=retail/care", "wrong=retail/wrong"], 2, /wrong/],
  ];
  for (const [words, code, message] of refusals) {
    const refused = await fabric.refused("endpoint", "adapter", "add", "chat", ...words);
    assert.equal(refused.code, code, refused.text);
    assert.match(refused.text, message);
  }
  const { spec } = await fabric.json("endpoint", "get", "chat");
  assert.deepEqual(spec.adapters.map(({ name }) => name).sort(), ["care", "late", "law"]);
  await assert.rejects(complete("chat:new", base[0].input_ids), { code: grpc.status.NOT_FOUND });
});

test("an unknown adapter is an exact error at every door", { timeout: 60_000 }, async () => {
  const message = "model chat has no adapter nobody; it has: care, late, law";
  await assert.rejects(complete("chat:nobody", base[0].input_ids), { code: grpc.status.NOT_FOUND, details: message });
  await assert.rejects((await openaiClient(fabric, key)).completions.create({ model: "chat:nobody", prompt: "x" }), (error) => {
    assert.equal(error.status, 404);
    assert.deepEqual(error.error, { message, type: "invalid_request_error", param: null, code: "model_not_found" });
    return true;
  });
  await assert.rejects((await openaiClient(fabric, key)).models.retrieve("chat:nobody"), { status: 404 });
  const refused = await fabric.refused("infer", "complete", "chat:nobody", "x");
  assert.equal(refused.code, 3, refused.text);
  assert.match(refused.text, /no adapter nobody/);
});

test("a replica that starts again has all of them", { timeout: 60_000 }, async () => {
  const { job_id } = await fabric.json("endpoint", "get", "chat");
  killRank(fabric.dir, job_id, 0);
  await eventually("the replica's return", async () => {
    const { tasks } = await fabric.json("job", "get", job_id);
    return tasks[0].restarts >= 1 && tasks.every((task) => task.ready);
  }, 40);
  await eventually("answers of both", async () => {
    for (let i = 0; i < 4; ++i) await assertGolden("chat:care", of("adapter_b"));
    return true;
  }, 20);
});

test("after a removal what runs keeps its adapter, and what comes is refused", { timeout: 60_000 }, async () => {
  const [{ input_ids }] = of("adapter_a");
  const long = { max_tokens: 400 };
  const whole = await complete("chat:law", input_ids, long);
  const request = { model: "chat:law", token_ids: { ids: input_ids }, sampling: { temperature: 0, ignore_eos: true, ...long } };
  const running = collect(client.CompleteStream(request, bearer(key), { deadline: Date.now() + 50_000 }));
  await fabric.cli("endpoint", "adapter", "remove", "chat", "law");
  assert.deepEqual((await running).flatMap((chunk) => chunk.token_ids ?? []), whole);
  await assert.rejects(complete("chat:law", input_ids), { code: grpc.status.NOT_FOUND });
  await assertGolden("chat:care", of("adapter_b"));
  await assertGolden("chat", base);
  const again = await fabric.refused("endpoint", "adapter", "remove", "chat", "law");
  assert.equal(again.code, 3, again.text);
  await fabric.cli("endpoint", "adapter", "add", "chat", "law=retail/care@2"); // the name is free again
  await assertGolden("chat:law", of("adapter_c"));
  assert.match(await fabric.cli("audit", "query"), /endpoint\.adapters/);
});
