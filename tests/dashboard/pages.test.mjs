// The pages over canned answers, in a real browser under the controller's own security policy: states that a quiet fabric
// never shows, and that each page is accessible. tests/e2e/story.test.mjs has the same pages over a running fabric.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { answers, jobs, nodes } from "./canned_fabric.mjs";

const dist = process.env.ONEAI_DASHBOARD_DIST;
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
// As in src/controller/web/web_server.cc.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; " +
  "font-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types app";

const posted = [];
let server;
let browser;
let page;
let listed = { nodes, jobs, num_more: "0" };
const problems = [];

function stream(response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  const send = (topic, data) => response.write(`event: ${topic}\ndata: ${JSON.stringify(data)}\n\n`);
  send("jobs", { jobs: listed.jobs, num_more: listed.num_more });
  send("nodes", { nodes: listed.nodes });
  send("endpoints", { endpoints: [] });
}

function api(request, response, path) {
  if (path === "/stream") return stream(response);
  if (request.method === "POST") {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      posted.push([path, body]);
      response.writeHead(200, { "Content-Type": "application/json" }).end("{}");
    });
    return undefined;
  }
  const answer = answers[path] ?? jobs.find((one) => path === `/jobs/${one.id}`) ?? {};
  return response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
}

function serve(request, response) {
  response.setHeader("Content-Security-Policy", policy);
  if (request.url.startsWith("/api/v1")) return api(request, response, request.url.slice(7));
  const name = request.url.startsWith("/assets/") ? request.url : "/index.html";
  return response.writeHead(200, { "Content-Type": types[extname(name)] }).end(readFileSync(join(dist, name)));
}

before(async () => {
  server = createServer(serve);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, reducedMotion: "reduce" });
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.message));
}, { timeout: 60_000 });

after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function open(path, heading) {
  problems.length = 0;
  await page.goto(`http://127.0.0.1:${server.address().port}${path}`);
  await page.getByRole("heading", { level: 1, name: heading }).waitFor({ timeout: 10_000 });
}

// No violation in either colour scheme, no error in the console.
async function audit(name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    // What is not up to date yet is shown faded, on purpose.
    await page.locator("main:not(.stale)").waitFor({ timeout: 10_000 });
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) => `${one.id}: ${one.nodes[0].html}`), [], `${name}, ${colorScheme}`);
    if (process.env.ONEAI_SHOTS) await page.screenshot({ path: `${process.env.ONEAI_SHOTS}/${name}-${colorScheme}.png`, fullPage: true });
  }
  assert.deepEqual(problems, [], `console of ${name}`);
}

const cells = (label) => page.getByRole("table", { name: label }).locator("tbody tr").evaluateAll((rows) =>
  rows.map((row) => [...row.children].map((cell) => cell.innerText.trim().replaceAll(/\s+/g, " "))));

test("the queue tree shows what is nominal, used, borrowed and limited", { timeout: 60_000 }, async () => {
  await open("/queues", "Queues");
  await page.getByText("◆ reserve").waitFor();
  const rows = await cells("Queues");
  assert.deepEqual(rows, [
    ["finance", "cores", "", "2.5", "–", "–", "8", "0.00", "0", "0"],
    ["memory", "", "4.0 GiB", "–", "–", "–"],
    ["frontier ◆ reserve", "nvidia-h100-80g", "", "0", "48", "0", "–", "0.00", "0", "0"],
    ["retail", "nvidia-h100-80g", "", "60", "48", "12", "96", "0.13", "0", "0"],
    ["sandbox ▣ sandbox", "nvidia-h100-80g", "", "0", "4", "0", "–", "0.00", "0", "0"],
    ["search", "nvidia-h100-80g", "", "60", "30", "30", "–", "0.00", "7", "3"],
    ["retail-labs", "hanguang-800 (emulator)", "", "0.5", "–", "–", "–", "0.00", "0", "0"],
  ]);
  await page.getByRole("img", { name: "nvidia-h100-80g: 60 used, 48 nominal, 12 borrowed, 96 limit" }).waitFor();
  await page.getByRole("img", { name: "hanguang-800 (emulator): 0.5 used, 7 in the fabric" }).waitFor();
  await page.getByRole("heading", { name: "Usage and cost by unit" }).waitFor();
  await page.getByRole("row", { name: "retail nvidia-h100-80g 3.00 7.50 3" }).waitFor();
  await page.getByRole("row", { name: "finance GiB of memory 10.00 0.10 1" }).waitFor();
  await audit("queues");
});

test("nodes say why they are out of service, and are taken out and put back", { timeout: 60_000 }, async () => {
  await open("/nodes", "Nodes");
  const row = (name) => page.getByRole("region", { name: "Nodes, scrollable" }).getByRole("row").filter({ hasText: name }).first();
  await row("node-a").getByText("25 % in use").waitFor();
  const expected = {
    "node-b": ["draining", "drain by health: Xid 79 on gpu-0", "ends when its checks pass", "device:gpu-0", "GPU has fallen off the bus"],
    "node-c": ["drained", "drain by sam: new fan"], "node-d": ["not ready", "clock is 40 s ahead"], "node-e": ["hot spare"],
    "node-f": ["stands in for node-b"], "node-g": ["cordoned: looks odd"],
    "node-a": ["zone=z1", "hanguang-800 (emulator)", "enforced: process-group", "not enforced: memory: no cgroup is delegated", "none failed"],
  };
  const texts = await page.getByRole("region", { name: "Nodes, scrollable" }).locator("tbody tr").allInnerTexts();
  for (const [name, words] of Object.entries(expected)) {
    const text = texts.find((one) => one.trim().startsWith(name));
    for (const word of words) assert.ok(text.includes(word), `${name} says ${word}: ${text}`);
  }
  await page.getByText("new kernel").waitFor();
  await page.getByText("reserved for retail/search").waitFor();
  await audit("nodes");
  page.once("dialog", (dialog) => dialog.accept("fan"));
  await page.getByRole("button", { name: "Drain… node-a" }).click();
  await page.getByRole("button", { name: "Undrain node-b" }).click();
  while (posted.length < 2) await new Promise((soon) => setTimeout(soon, 20));
  assert.deepEqual(posted, [["/nodes/node-a/drain", '{"reason":"fan"}'], ["/nodes/node-b/uncordon", "{}"]]);
});

test("a waiting job says every reason and what would help", { timeout: 60_000 }, async () => {
  await open("/jobs/job-waits00001", /waits00001/);
  for (const words of [/at its limit of 96/, /node-b is draining/, /ask for 6 tasks instead of 8/, /in 60 min|in 59 min/, /loses 12 minutes/, /high \(100\)/])
    await page.getByText(words).first().waitFor({ timeout: 5000 });
  await audit("job-waiting");
});

test("an elastic job says its size, a sweep its siblings", { timeout: 60_000 }, async () => {
  await open("/jobs/job-elastic001", /elastic001/);
  await page.getByText("2 now, 4 wanted from the next checkpoint on; 1 to 4").waitFor();
  await page.getByText("2 preemptions").waitFor();
  await page.getByText("hanguang-800 (emulator), 25 % of it").waitFor();
  await audit("job-elastic");
  await open("/jobs/job-sweep00002", /sweep/);
  await page.getByText("and 40 that are not listed").waitFor();
  await page.getByText("at most 1 job of its array runs at once").waitFor();
  await page.getByRole("row", { name: /0 job-sweep00000 .*succeeded learning_rate=1e-3/ }).waitFor();
  await audit("job-sweep");
  await page.getByRole("link", { name: "array-0123456789" }).click();
  await page.getByRole("heading", { level: 1, name: "array-0123456789" }).waitFor();
  await page.getByRole("link", { name: "job-sweep00002" }).waitFor();
  await audit("array");
});

test("a thousand nodes stay a page", { timeout: 60_000 }, async () => {
  listed = { nodes: Array.from({ length: 1000 }, (_, i) => ({ ...nodes[0], info: { ...nodes[0].info, name: `node-${i}` } })), jobs, num_more: "99000" };
  await open("/nodes", "Nodes");
  await page.getByText("The first 200 of 1,000; filter to see others.").waitFor();
  await page.getByLabel("Filter Nodes").fill("node-999");
  await page.getByRole("button", { name: "Cordon… node-999" }).waitFor();
  await open("/", "Overview");
  await page.getByRole("link", { name: "All 1,000 nodes" }).waitFor();
  await open("/jobs", "Jobs");
  await page.getByText("99,000 older jobs are not listed.").waitFor();
  await audit("jobs");
});
