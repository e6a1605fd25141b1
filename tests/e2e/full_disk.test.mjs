// The disk of the artifacts is full in the middle of training: the run goes on, the older checkpoints stay whole, the event is
// shown, and later checkpoints are saved once there is room.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fabric, eventually, sourceFile } from "./fabric.mjs";

// A small disk of its own needs a mount; a user namespace gives every user the right to one. The test runs itself again inside.
const inside = process.env.ONEAI_FULL_DISK_INSIDE === "1";
if (!inside) {
  const unshare = spawnSync("unshare", ["--user", "--map-root-user", "--mount", "true"]);
  const skip = unshare.status === 0 ? false : `no mount namespace may be made here: ${unshare.stderr ?? unshare.error}`;
  test("a full disk while checkpointing", { skip, timeout: 300_000 }, (t) => {
    // What is under a mount cannot be removed inside; the mount ends with the namespace.
    const folder = mkdtempSync(join(tmpdir(), "oneai-full-disk-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const env = { ...process.env, ONEAI_FULL_DISK_INSIDE: "1", TMPDIR: folder };
    delete env.NODE_TEST_CONTEXT;
    const run = spawnSync("unshare", ["--user", "--map-root-user", "--mount", process.execPath, fileURLToPath(import.meta.url)], { env, encoding: "utf8" });
    assert.equal(run.status, 0, run.stdout + run.stderr);
  });
} else {
  const fabric = new Fabric(Number(process.env.ONEAI_FULL_DISK_PORT_BASE ?? 30400));
  const artifacts = join(fabric.dir, "controller", "artifacts");

  before(async () => {
    mkdirSync(artifacts, { recursive: true });
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=48m", "artifacts", artifacts], { encoding: "utf8" });
    assert.equal(mount.status, 0, mount.stderr);
    await fabric.up();
  }, { timeout: 120_000 });

  after(() => {
    try {
      fabric.down();
    } catch (error) {
      if (error.code !== "EBUSY") throw error; // the mount; see above
    }
  }, { timeout: 120_000 });

  const kindsOf = async (job, kind) => ((await fabric.json("job", "events", job)).events ?? []).filter((event) => event.kind === kind);

  // Compares a checkpoint with its manifest, as a resuming run does.
  const assertWhole = (folder) => {
    const { files } = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
    assert.ok(files.length > 3);
    for (const file of files) {
      assert.equal(createHash("sha256").update(readFileSync(join(folder, file.path))).digest("hex"), file.sha256, file.path);
    }
  };

  test("training survives a full disk", { timeout: 240_000 }, async () => {
    await fabric.cli("data", "register", "retail/tiny-shakespeare", sourceFile("examples/data/tinyshakespeare/input.txt"),
      "--classification", "public", "--purpose", "pretraining", "--purpose", "evaluation");
    const job = await fabric.cli("job", "submit", "-q", "-f", fabric.jobFile("pretrain.yaml", {
      name: "cramped", max_restarts: 0, vocab_size: 512, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2,
      num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16, max_length: 64, per_device_train_batch_size: 4, max_steps: 400,
      warmup_steps: 4, num_decay_steps: 10, save_steps: 20, logging_steps: 10, register_as: "retail/cramped",
    }));
    await eventually("the first checkpoint", async () => (await kindsOf(job, "checkpoint.saved")).length > 0);
    const ballast = join(artifacts, "ballast");
    assert.throws(() => writeFileSync(ballast, Buffer.alloc(64 << 20)), { code: "ENOSPC" });

    const [failed] = await eventually("the event of the failed checkpoint", async () => {
      const events = await kindsOf(job, "checkpoint.failed");
      return events.length > 0 && events;
    });
    assert.equal(failed.severity, "error");
    assert.match(failed.message, /rank 0 at step \d+: checkpoint-\d+: .*no space left/i);
    assert.match(await fabric.cli("job", "events", job), /checkpoint\.failed.*no space left/);
    const old = readdirSync(join(artifacts, job)).filter((name) => name.startsWith("checkpoint-"));
    assert.ok(old.length > 0);
    old.forEach((name) => assertWhole(join(artifacts, job, name)));
    assert.equal((await fabric.json("job", "get", job)).state, "RUNNING", "training goes on");

    rmSync(ballast);
    const failedStep = Number(/checkpoint-(\d+)/.exec((await kindsOf(job, "checkpoint.failed")).at(-1).message)[1]);
    await eventually("a later checkpoint", async () =>
      (await kindsOf(job, "checkpoint.saved")).some((event) => Number(/checkpoint-(\d+)/.exec(event.message)[1]) > failedStep));
    await fabric.cli("job", "wait", job, "--timeout", "120");
    const ended = await fabric.json("job", "get", job);
    assert.equal(ended.attempt, 1, "the full disk cost no attempt");
    assert.equal(ended.last_checkpoint, "checkpoint-400");
    assertWhole(join(artifacts, job, "checkpoint-400"));
  });
}
