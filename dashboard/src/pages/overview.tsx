import { endpoints, jobs, nodes } from "../live";
import { useFetched } from "../parts/fetched";
import { State } from "../parts/state";
import { Cli } from "../parts/cli";
import { age, bytes, clock, cores } from "../format";
import type { FabricEvent, FabricNode } from "../api";

function Tile({ label, value, detail, href }: { label: string; value: string; detail: string; href: string }) {
  return (
    <a class="tile" href={href}>
      <span>{label}</span>
      <strong>{value}</strong>
      <small>{detail}</small>
    </a>
  );
}

const cardsShownMax = 24;

// A node with a cell for each device: filled when a task holds it.
function NodeCard({ node }: { node: FabricNode }) {
  const used = new Set(node.device_ids_used);
  return (
    <a class="node" href={`/nodes?nodes.q=${encodeURIComponent(node.info.name)}`}>
      <h3>{node.info.name}</h3>
      <State name={node.state} />
      <p>
        {cores(node.cpu_milli_used)} of {cores(node.info.cpu_milli)} cores · {bytes(node.memory_bytes_used)} of {bytes(node.info.memory_bytes)}
      </p>
      <ul class="cells">
        {node.info.devices.map((device) => (
          <li key={device.id} class={used.has(device.id) ? "used" : ""}>
            {device.kind}
            {device.emulated ? " (emulator)" : ""} · {used.has(device.id) ? "in use" : "free"}
          </li>
        ))}
      </ul>
    </a>
  );
}

export function Overview() {
  const events = useFetched<{ events: FabricEvent[] }>("/events", 2000).data?.events ?? [];
  const running = jobs.value.filter((job) => job.state === "RUNNING").length;
  const pending = jobs.value.filter((job) => job.state === "PENDING" || job.state === "BACKOFF").length;
  const ready = nodes.value.filter((node) => node.state === "READY").length;
  const serving = endpoints.value.filter((endpoint) => endpoint.state === "SERVING").length;
  const devices = nodes.value.reduce((sum, node) => sum + node.info.devices.length, 0);
  const held = nodes.value.reduce((sum, node) => sum + node.device_ids_used.length, 0);
  return (
    <>
      <h1>Overview</h1>
      <div class="tiles">
        <Tile label="Nodes" value={`${ready}/${nodes.value.length}`} detail="ready" href="/nodes" />
        <Tile label="Devices" value={`${held}/${devices}`} detail="in use" href="/nodes" />
        <Tile label="Jobs" value={String(running)} detail={`running, ${pending} waiting`} href="/jobs" />
        <Tile label="Endpoints" value={`${serving}/${endpoints.value.length}`} detail="serving" href="/endpoints" />
      </div>
      <h2>Nodes</h2>
      <div class="nodes">{nodes.value.slice(0, cardsShownMax).map((node) => <NodeCard key={node.info.name} node={node} />)}</div>
      {nodes.value.length > cardsShownMax && <p><a href="/nodes">All {nodes.value.length.toLocaleString("en")} nodes</a></p>}
      <h2>What happened</h2>
      <ul class="events">
        {[...events].reverse().slice(0, 25).map((event) => (
          <li key={event.sequence} class={event.severity}>
            <time dateTime={event.time} title={event.time}>{clock(event.time)} · {age(event.time)} ago</time> <b>{event.kind}</b>{" "}
            {event.subject.startsWith("job-") ? <a href={`/jobs/${event.subject}`}>{event.subject}</a> : event.subject} {event.message}
          </li>
        ))}
      </ul>
      <Cli command="oneai job events" />
    </>
  );
}
