// A port that somebody else uses: refused with the component and its words, nothing left running, and no harm to the next try.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { Fabric } from "./fabric.mjs";
import { processesOf } from "./processes.mjs";

const fabric = new Fabric(Number(process.env.ONEAI_PORTS_PORT_BASE ?? 33400));
after(() => fabric.down(), { timeout: 120_000 });

for (const [component, offset] of [["controller", 0], ["gateway", 180]]) {
  test(`a port of the ${component} in use`, { timeout: 120_000 }, async () => {
    const other = createServer((socket) => socket.destroy());
    await new Promise((resolve) => other.listen(fabric.portBase + offset, "127.0.0.1", resolve));
    try {
      const { code, text } = await fabric.refused("up", "--detach", "--port-base", String(fabric.portBase), "--cpus", "2");
      assert.ok([1, 5, 7].includes(code), `exit ${code}`);
      assert.match(text, new RegExp(`${component} ended while starting`));
      assert.match(text, /in use/i);
      assert.match(text, new RegExp(String(fabric.portBase + offset)));
      assert.deepEqual(processesOf(fabric.dir), []);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });
}

test("with the ports free again it comes up", { timeout: 120_000 }, async () => {
  await fabric.up();
  assert.equal((await fabric.json("node", "list")).nodes.length, 3);
});
