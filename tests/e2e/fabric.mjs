// A one-machine fabric in a folder of its own, driven by the command line as a user would.
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const source = process.env.ONEAI_SOURCE_DIR;
const oneai = join(process.env.ONEAI_BIN_DIR, "oneai");

export class Fabric {
  constructor(portBase) {
    this.portBase = portBase;
    this.dir = mkdtempSync(join(tmpdir(), "oneai-e2e-"));
  }

  // Runs a command; resolves to stdout, rejects with stderr in the message.
  async cli(...args) {
    const { stdout } = await run(oneai, ["--dir", this.dir, ...args], { timeout: 300_000, maxBuffer: 64 << 20 });
    return stdout.trim();
  }

  // Exit status and stderr of a command that should fail.
  async refused(...args) {
    try {
      await this.cli(...args);
    } catch (error) {
      return { code: error.code, text: error.stderr };
    }
    throw new Error(`oneai ${args.join(" ")} was not refused`);
  }

  async json(...args) {
    return JSON.parse(await this.cli("-o", "json", ...args));
  }

  async up(...flags) {
    await this.cli("up", "--detach", "--port-base", String(this.portBase), "--cpus", "2", ...flags);
    this.client = JSON.parse(readFileSync(join(this.dir, "client.json"), "utf8"));
    this.ca = readFileSync(this.client.ca);
  }

  // Stops everything; what was logged is shown when a test failed before.
  down() {
    try {
      execFileSync(oneai, ["--dir", this.dir, "down"], { timeout: 90_000 });
    } finally {
      if (!process.env.ONEAI_KEEP) rmSync(this.dir, { recursive: true, force: true });
    }
  }

  // A job file from the examples with lines replaced.
  jobFile(example, replacements) {
    let text = readFileSync(join(source, "examples", example), "utf8");
    for (const [key, value] of Object.entries(replacements)) {
      const line = new RegExp(`^( *${key}:).*$`, "m");
      if (!line.test(text)) throw new Error(`${example} has no line ${key}`);
      text = text.replace(line, `$1 ${value}`);
    }
    const path = join(this.dir, `${Object.values(replacements)[0]}.yaml`);
    writeFileSync(path, text);
    return path;
  }

  component(name) {
    const state = JSON.parse(readFileSync(join(this.dir, "up.json"), "utf8"));
    return state.components.find((component) => component.name === name);
  }
}

export const sourceFile = (...parts) => join(source, ...parts);

// Polls until `check` returns something truthy.
export async function eventually(what, check, seconds = 60) {
  const deadline = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < deadline) {
    try {
      const value = await check();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${what} did not happen within ${seconds} s${last ? `: ${last.message}` : ""}`);
}
