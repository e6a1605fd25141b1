// The main job end to end, as its users see it: command line, npm's openai client, grpc-js, a real browser.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { chromium } from "playwright-core";
import { bearer, collect, inferenceClient, openaiClient, ownCredentials } from "./clients.mjs";
import { Fabric, eventually, sourceFile } from "./fabric.mjs";
import { killRank } from "./processes.mjs";

const fabric = new Fabric(27400);
let trainJob = "";
let key = "";

before(async () => fabric.up(), { timeout: 120_000 });
after(() => fabric.down(), { timeout: 120_000 });

test("bad input is refused with the way out", async () => {
  const misspelt = fabric.jobFile("pretrain.yaml", { name: "misspelt" });
  const text = readFileSync(misspelt, "utf8").replace("spread:", "sprad:");
  (await import("node:fs")).writeFileSync(misspelt, text);
  const refused = await fabric.refused("job", "submit", "-f", misspelt);
  assert.equal(refused.code, 2);
  assert.match(refused.text, /unknown key "sprad"; did you mean "spread"/);

  const huge = fabric.jobFile("command.yaml", { name: "huge", cpus: "640" });
  const tooBig = await fabric.refused("job", "submit", "-f", huge);
  assert.match(tooBig.text, /can never run/);

  const again = await fabric.refused("up", "--detach", "--port-base", "27400");
  assert.match(again.text, /already up/);
});

test("a corpus is registered, scanned and protected by its purposes", async () => {
  const data = await fabric.json(
    "data", "register", "retail/tiny-shakespeare", sourceFile("examples/data/tinyshakespeare/input.txt"),
    "--classification", "public", "--purpose", "pretraining", "--purpose", "evaluation");
  assert.equal(data.version, 1);
  assert.equal(data.pii, undefined);
  const forbidden = fabric.jobFile("pretrain.yaml", { name: "forbidden", purpose: "finetuning" });
  const refused = await fabric.refused("job", "submit", "-f", forbidden);
  assert.equal(refused.code, 4);
  assert.match(refused.text, /not for finetuning/);
});

test("a gang of two ranks trains, survives kill -9 of an agent and a rank, and registers its model", { timeout: 300_000 }, async () => {
  const file = fabric.jobFile("pretrain.yaml", {
    name: "small", vocab_size: 512, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4,
    num_key_value_heads: 2, head_dim: 16, max_length: 64, per_device_train_batch_size: 4, max_steps: 60, warmup_steps: 4,
    num_decay_steps: 10, save_steps: 10, logging_steps: 1,
  });
  trainJob = await fabric.cli("job", "submit", "-q", "-f", file);
  const job = await eventually("the second checkpoint", async () => {
    const now = await fabric.json("job", "get", trainJob);
    assert.notEqual(now.state, "FAILED");
    return now.last_checkpoint && /checkpoint-[2-5]0/.test(now.last_checkpoint) ? now : undefined;
  }, 120);
  process.kill(fabric.component(job.tasks[1].node).pid, "SIGKILL");
  killRank(fabric.dir, trainJob, 1);
  await fabric.cli("job", "wait", trainJob, "--timeout", "200");
  const ended = await fabric.json("job", "get", trainJob);
  assert.ok(ended.attempt >= 2, "the gang was placed again");
  const model = await fabric.json("model", "get", "retail/shakespeare");
  assert.equal(model.lineage.job_id, trainJob);
  assert.equal(model.lineage.datasets[0].name, "retail/tiny-shakespeare");
  const losses = (await fabric.cli("job", "metrics", trainJob, "--key", "loss")).split("\n").map((line) => Number(line.split("\t")[2]));
  assert.ok(losses.at(-1) < losses[0] - 0.5, `the loss falls: ${losses[0]} to ${losses.at(-1)}`);
});

test("an evaluation attaches its perplexity", { timeout: 120_000 }, async () => {
  const job = await fabric.cli("job", "submit", "-q", "-f", sourceFile("examples/evaluate.yaml"));
  await fabric.cli("job", "wait", job, "--timeout", "100");
  const model = await fabric.json("model", "get", "retail/shakespeare");
  assert.equal(model.evaluations.length, 1);
  assert.equal(model.evaluations[0].job_id, job);
  assert.ok(Object.entries(model.evaluations[0].metrics).some(([name, value]) => name.includes("perplexity") && value > 1 && value < 512));
});

test("two replicas are deployed", { timeout: 120_000 }, async () => {
  await fabric.cli("endpoint", "deploy", "shakespeare", "--model", "retail/shakespeare", "--project", "retail/language",
    "--replicas", "2", "--cpus", "0.5", "--wait");
  key = await fabric.cli("token", "create", "shop", "--service", "--unit", "retail", "--role", "inference@retail");
});

const openai = (apiKey = key) => openaiClient(fabric, apiKey);

test("npm's openai client works unchanged", { timeout: 60_000 }, async () => {
  const client = await openai();
  const models = await client.models.list();
  assert.deepEqual(models.data.map((model) => model.id), ["shakespeare"]);

  const ask = { model: "shakespeare", prompt: "ROMEO:", max_tokens: 24, temperature: 0.8, seed: 11 };
  const whole = await client.completions.create(ask);
  assert.equal(whole.choices[0].finish_reason, "length");
  assert.equal(whole.usage.completion_tokens, 24);
  let streamed = "";
  let usage;
  const stream = await client.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.text ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, whole.choices[0].text, "streamed and whole are the same text for the same seed");
  assert.deepEqual(usage, whole.usage);

  const messages = [{ role: "user", content: "Speak!" }];
  const chat = await client.chat.completions.create({ model: "shakespeare", messages, max_tokens: 8, temperature: 0 });
  assert.equal(chat.choices[0].message.role, "assistant");
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model: "shakespeare", messages, max_tokens: 8, temperature: 0, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.equal(text, chat.choices[0].message.content);
});

test("answers take the form that was asked for", { timeout: 120_000 }, async () => {
  const client = await openai();
  const messages = [{ role: "user", content: "Who speaks?" }];
  const ask = { model: "shakespeare", messages, temperature: 1, seed: 5 };
  const schema = {
    type: "object",
    properties: { name: { type: "string", maxLength: 12 }, act: { type: "integer", minimum: 1, maximum: 5 }, dies: { type: "boolean" } },
    required: ["name", "act", "dies"],
    additionalProperties: false,
  };
  const answer = await client.chat.completions.create({ ...ask, response_format: { type: "json_schema", json_schema: { name: "speaker", schema } } });
  const speaker = JSON.parse(answer.choices[0].message.content);
  assert.deepEqual(Object.keys(speaker), ["name", "act", "dies"]);
  assert.ok(speaker.act >= 1 && speaker.act <= 5 && typeof speaker.dies === "boolean");
  assert.equal(answer.choices[0].finish_reason, "stop");

  const choice = await client.completions.create({ model: "shakespeare", prompt: "To be,", structured_outputs: { choice: ["or not", "always"] } });
  assert.ok(["or not", "always"].includes(choice.choices[0].text));

  // The model reads 64 tokens, question and answer together.
  const tools = [{ type: "function", function: { name: "go", parameters: { type: "object", properties: { a: { enum: [1, 2] } }, required: ["a"] } } }];
  ask.messages = [{ role: "user", content: "I" }];
  const called = await client.chat.completions.create({ ...ask, tools, tool_choice: "required" });
  assert.equal(called.choices[0].finish_reason, "tool_calls");
  const call = called.choices[0].message.tool_calls[0];
  assert.equal(call.function.name, "go");
  assert.ok([1, 2].includes(JSON.parse(call.function.arguments).a));
  let pieces = "";
  for await (const chunk of await client.chat.completions.create({ ...ask, tools, tool_choice: "required", stream: true })) {
    for (const delta of chunk.choices[0]?.delta?.tool_calls ?? []) pieces += delta.function.arguments;
  }
  assert.equal(pieces, call.function.arguments, "streamed and whole are the same call");
  await assert.rejects(client.chat.completions.create({ ...ask, response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "strnig" } } } }), { status: 400 });
});

test("choices, log-probabilities, bias and cached prompts", { timeout: 60_000 }, async () => {
  const client = await openai();
  const ask = { model: "shakespeare", prompt: "ROMEO: " + "But soft, what light through yonder window breaks? ", max_tokens: 6, seed: 3 };
  const many = await client.completions.create({ ...ask, n: 3, logprobs: 2, temperature: 1.2 });
  assert.deepEqual(many.choices.map((choice) => choice.index), [0, 1, 2]);
  for (const { logprobs } of many.choices) {
    assert.ok(logprobs.tokens.length >= 1);
    assert.ok(logprobs.token_logprobs.every((value) => value <= 0));
    assert.ok(Object.keys(logprobs.top_logprobs[0]).length >= 1);
  }
  const again = await client.completions.create({ ...ask, temperature: 0 });
  const third = await client.completions.create({ ...ask, temperature: 0 });
  const fourth = await client.completions.create({ ...ask, temperature: 0 });
  assert.equal(third.choices[0].text, again.choices[0].text);
  assert.equal(fourth.choices[0].text, again.choices[0].text, "a cached prompt changes nothing");
  assert.ok(Math.max(third.usage.prompt_tokens_details.cached_tokens, fourth.usage.prompt_tokens_details.cached_tokens) > 0, "two replicas have seen it");
  await assert.rejects(client.completions.create({ ...ask, logit_bias: { 99999999: 5 } }), { status: 400 });
  await assert.rejects(client.embeddings.create({ model: "shakespeare", input: "x" }), { status: 400 });
});

test("the openai client sees exact errors", { timeout: 60_000 }, async () => {
  const client = await openai();
  const ask = { model: "shakespeare", prompt: "x", max_tokens: 4 };
  await assert.rejects((await openai("wrong")).completions.create(ask), { status: 401 });
  await assert.rejects(client.completions.create({ ...ask, model: "nobody" }), { status: 404 });
  await assert.rejects(client.completions.create({ ...ask, prompt: "word ".repeat(5000) }), { status: 400 });
  await assert.rejects(client.completions.create({ ...ask, temperature: -3 }), { status: 400 });
  const broken = await client.completions.create({ ...ask, max_tokens: 40, stream: true });
  for await (const chunk of broken) {
    assert.ok(chunk.id);
    break; // closes the connection in the middle of the stream
  }
  assert.equal((await client.completions.create(ask)).choices.length, 1);
});

test("grpc-js streams over mutual TLS; deadlines and wrong credentials are exact", { timeout: 60_000 }, async () => {
  const client = inferenceClient(fabric, ownCredentials(fabric));
  const request = { model: "shakespeare", text: "ROMEO:", sampling: { max_tokens: 24, temperature: 0.8, seed: "11" } };
  // Pieces that nobody has read yet are merged, so that a small model may be done before the first is sent.
  const chunks = await eventually("an answer in several pieces", async () => {
    const pieces = await collect(client.CompleteStream(request, bearer(key), { deadline: Date.now() + 20_000 }));
    return pieces.length > 1 ? pieces : undefined;
  });
  const last = chunks.at(-1);
  assert.equal(last.finish_reason, "LENGTH");
  assert.equal(last.usage.completion_tokens, 24);
  const http = await (await openai()).completions.create({ model: "shakespeare", prompt: "ROMEO:", max_tokens: 24, temperature: 0.8, seed: 11 });
  assert.equal(chunks.map((chunk) => chunk.text).join(""), http.choices[0].text, "both doors give the same text");

  await assert.rejects(collect(client.CompleteStream(request, bearer("wrong"), { deadline: Date.now() + 5000 })), { code: grpc.status.UNAUTHENTICATED });
  await assert.rejects(collect(client.CompleteStream({ ...request, model: "nobody" }, bearer(key), { deadline: Date.now() + 5000 })), { code: grpc.status.NOT_FOUND });
  await assert.rejects(collect(client.CompleteStream(request, bearer(key), { deadline: Date.now() + 1 })), { code: grpc.status.DEADLINE_EXCEEDED });
  const stranger = inferenceClient(fabric, grpc.credentials.createSsl(fabric.ca));
  await assert.rejects(collect(stranger.CompleteStream(request, bearer(key), { deadline: Date.now() + 3000 })), "no client certificate, no call");
  client.close();
  stranger.close();
});

test("usage is counted per business unit", async () => {
  const record = await eventually("the report of usage", async () =>
    (await fabric.json("usage")).records?.find((entry) => entry.business_unit === "retail" && Number(entry.requests) >= 6));
  assert.ok(Number(record.completion_tokens) > 60);
});

test("the dashboard shows the run, live, in a real browser", { timeout: 120_000 }, async (t) => {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  t.after(() => browser.close());
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1440, height: 1000 } });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));

  const code = /login code: (\S+)/.exec(await fabric.cli("ui"))[1];
  await page.goto(fabric.client.web);
  await page.getByLabel("Login code").fill(code);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  problems.length = 0; // the 401 that led to the login form

  const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const audit = async (name) => {
    // Evaluated through the debugger, so that the page's own policy stays as strict as it is.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const serious = violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
    assert.deepEqual(serious.map((violation) => `${violation.id}: ${violation.nodes[0].html}`), [], `accessibility of ${name}`);
    if (process.env.ONEAI_SHOTS) await page.screenshot({ path: `${process.env.ONEAI_SHOTS}/${name}.png`, fullPage: true });
  };
  await page.getByText("hanguang-800 (emulator)").first().waitFor();
  await audit("overview");
  await page.getByRole("link", { name: "Jobs", exact: true }).click();
  await page.getByRole("link", { name: "small" }).click();
  await page.locator("[data-metric=loss]").waitFor();
  await page.locator("figure canvas").first().waitFor();
  await page.locator("pre.log").filter({ hasText: /loss/ }).waitFor();
  await audit("job");
  for (const [section, expected] of [["Queues", "retail/language"], ["Nodes", "node-a"], ["Endpoints", "2"], ["Models", "retail/shakespeare@1"], ["Data", "retail/tiny-shakespeare@1"], ["Audit", "dataset.open"]]) {
    await page.getByRole("navigation").getByRole("link", { name: section }).click();
    await page.getByRole("heading", { level: 1, name: section }).waitFor();
    await page.getByText(expected).first().waitFor();
    await audit(section.toLowerCase());
  }
  await page.getByRole("button", { name: "Verify the hash chain" }).click();
  await page.getByText(/Intact: \d+ records/).waitFor();

  await page.goto(`${fabric.client.web}/jobs`);
  const submitted = await fabric.cli("job", "submit", "-q", "-f", fabric.jobFile("command.yaml", { name: "seen-live" }));
  await page.getByRole("link", { name: "seen-live" }).waitFor({ timeout: 5000 });
  await fabric.cli("job", "wait", submitted, "--timeout", "30");
  assert.deepEqual(problems, [], "no error in the browser's console");

  const metrics = await (await context.request.get(`${fabric.client.web}/metrics`)).text();
  assert.match(metrics, /^oneai_nodes\{state="ready"\} 3$/m);
  assert.match(metrics, /^oneai_endpoint_replicas\{state="ready"\} 2$/m);
  assert.match(metrics, /^oneai_jobs\{state="succeeded"\} [3-9]$/m);

  const again = await context.request.post(`${fabric.client.web}/api/v1/login`, { data: { code }, headers: { "Sec-Fetch-Site": "same-origin" } });
  assert.equal(again.status(), 401, "a login code works once");
  const foreign = await context.request.post(`${fabric.client.web}/api/v1/logout`, { data: {}, headers: { "Sec-Fetch-Site": "cross-site" } });
  assert.equal(foreign.status(), 403);
});

test("kill -9 of the controller loses nothing, and serving goes on meanwhile", { timeout: 60_000 }, async () => {
  const jobs = (await fabric.json("job", "list")).jobs.map((job) => job.id).sort();
  process.kill(fabric.component("controller").pid, "SIGKILL");
  const client = await openai();
  assert.equal((await client.completions.create({ model: "shakespeare", prompt: "x", max_tokens: 2 })).choices.length, 1);
  const now = await eventually("the controller's return", async () => (await fabric.json("job", "list")).jobs.map((job) => job.id).sort());
  assert.deepEqual(now, jobs);
  assert.match(await fabric.cli("audit", "verify"), /^intact/);
  const endpoint = await fabric.json("endpoint", "get", "shakespeare");
  assert.equal(endpoint.replicas.length, 2);
});

test("kill -9 of the gateway and of a replica is repaired", { timeout: 60_000 }, async () => {
  process.kill(fabric.component("gateway").pid, "SIGKILL");
  const endpoint = await fabric.json("endpoint", "get", "shakespeare");
  killRank(fabric.dir, endpoint.job_id, 0);
  await eventually("the replica started again and ready", async () => {
    const tasks = (await fabric.json("job", "get", endpoint.job_id)).tasks;
    return tasks[0].restarts >= 1 && tasks.every((task) => task.ready);
  }, 40);
  await eventually("an answer", async () =>
    (await (await openai()).completions.create({ model: "shakespeare", prompt: "x", max_tokens: 2 })).choices.length === 1);
});
