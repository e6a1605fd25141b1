import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { post, type FabricNode, type HealthCheck, type Reservation } from "../api";
import { nodes } from "../live";
import { Cli } from "../parts/cli";
import { State } from "../parts/state";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { age, bytes, cores, instant } from "../format";

const linesShownMax = 16;

// The first few of a list, one a line, and how many more there are.
function Lines<T>({ items, line }: { items: T[]; line: (item: T) => ComponentChildren }) {
  return (
    <>
      {items.slice(0, linesShownMax).map((item, i) => <div key={i}>{line(item)}</div>)}
      {items.length > linesShownMax && <div class="idle">and {items.length - linesShownMax} more</div>}
    </>
  );
}

// The state, and everything that keeps the node out of service or in it.
function Standing({ node }: { node: FabricNode }) {
  const { drain } = node;
  return (
    <>
      <State name={node.state} /> {(!drain?.reason || !node.message.includes(drain.reason)) && node.message}
      {node.cordoned && <div>cordoned{node.cordon_reason && `: ${node.cordon_reason}`}</div>}
      {drain && <div>drain by {drain.by}{drain.reason && `: ${drain.reason}`}</div>}
      {drain && <div>deadline {instant(drain.deadline_unix_ms)}{drain.automatic && "; ends when its checks pass"}</div>}
      {node.spare && <div class="mark">◇ {node.standing_in_for ? `stands in for ${node.standing_in_for}` : "hot spare"}</div>}
    </>
  );
}

function Checks({ checks }: { checks: HealthCheck[] }) {
  const failed = checks.filter((check) => !check.healthy);
  if (failed.length === 0) return <span class="good"><span aria-hidden="true">✓</span> none failed</span>;
  return <Lines items={failed} line={(check) => <><span class="bad"><span aria-hidden="true">✕</span> {check.name}</span> {check.message} <small>since {instant(check.since_unix_ms)}</small></>} />;
}

// Each device with the share of it that tasks hold.
function Devices({ node }: { node: FabricNode }) {
  const held = new Map(node.grants_used.map((grant) => [grant.id, grant.milli]));
  return (
    <Lines
      items={node.info.devices}
      line={(device) => {
        const milli = held.get(device.id) ?? 0;
        return <>{device.name || device.kind}{device.emulated ? " (emulator)" : ""} · {milli === 0 ? "free" : `${milli / 10} % in use`}{device.healthy ? "" : ` – ${device.health_message}`}</>;
      }}
    />
  );
}

function Limits({ node }: { node: FabricNode }) {
  const { enforced, not_enforced } = node.info;
  return (
    <>
      {enforced.length > 0 && <div>enforced: {enforced.join(", ")}</div>}
      {not_enforced.length > 0 && <div><span class="warn">not enforced:</span> {not_enforced.join("; ")}</div>}
    </>
  );
}

const labelsOf = (node: FabricNode): string[] => Object.entries({ ...node.info.labels, ...node.labels }).map(([key, value]) => `${key}=${value}`).sort();

function Reservations() {
  const { data, problem } = useFetched<{ reservations: Reservation[] }>("/reservations", 5000);
  return (
    <>
      <h2>Reservations and maintenance windows</h2>
      {problem && !data && <p class="empty">{problem}</p>}
      <Table<Reservation>
        id="reservations" label="Reservations and maintenance windows" rows={data?.reservations ?? []} rowKey={(hold) => hold.name}
        text={(hold) => `${hold.name} ${hold.kind} ${hold.project} ${hold.nodes.join(" ")}`}
        empty={<>None lies ahead. <code>oneai node reservation create NAME --nodes 2 --start +1h --for 2h --project unit/project</code></>}
        columns={[
          { name: "Name", cell: (hold) => hold.name, sort: (hold) => hold.name },
          { name: "Kind", cell: (hold) => (hold.kind === "MAINTENANCE" ? "maintenance" : `reserved for ${hold.project || "its creator’s unit"}`), sort: (hold) => hold.kind },
          { name: "Nodes", cell: (hold) => <Lines items={hold.nodes} line={(name) => name} /> },
          { name: "Start", cell: (hold) => instant(hold.start_unix_ms), sort: (hold) => Number(hold.start_unix_ms), number: true },
          { name: "End", cell: (hold) => instant(hold.end_unix_ms), sort: (hold) => Number(hold.end_unix_ms), number: true },
          { name: "Reason", cell: (hold) => hold.reason },
          { name: "By", cell: (hold) => hold.created_by, sort: (hold) => hold.created_by },
        ]}
      />
    </>
  );
}

// Takes a node out of service and back: the rights are those of the command line.
function Changes({ node, run }: { node: FabricNode; run: (action: string, body?: object) => void }) {
  const name = node.info.name;
  const ask = (action: string, question: string) => {
    const reason = window.prompt(question);
    if (reason) run(action, { reason });
  };
  if (node.cordoned || node.drain) {
    return <button type="button" onClick={() => run("uncordon")} aria-label={`${node.drain ? "Undrain" : "Uncordon"} ${name}`}>{node.drain ? "Undrain" : "Uncordon"}</button>;
  }
  return (
    <span class="actions">
      <button type="button" aria-label={`Cordon… ${name}`} onClick={() => ask("cordon", `Why is ${name} to be cordoned? Running tasks stay, no new ones come.`)}>Cordon…</button>
      <button type="button" aria-label={`Drain… ${name}`} onClick={() => ask("drain", `Why is ${name} to be drained? Gangs move whole; what still runs after 15 minutes is stopped.`)}>Drain…</button>
    </span>
  );
}

export function Nodes() {
  const [problem, setProblem] = useState("");
  const run = (node: FabricNode) => async (action: string, body?: object) => {
    try {
      setProblem("");
      await post(`/nodes/${encodeURIComponent(node.info.name)}/${action}`, body);
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <>
      <h1>Nodes</h1>
      {problem && <p class="banner" role="alert">{problem}</p>}
      <Table<FabricNode>
        id="nodes" label="Nodes" rows={nodes.value} rowKey={(node) => node.info.name}
        text={(node) => `${node.info.name} ${node.state} ${node.spare ? "spare" : ""} ${labelsOf(node).join(" ")} ${node.info.devices.map((device) => device.kind).join(" ")}`}
        empty={<>No node has joined. <code>oneai up</code> starts some on this machine.</>}
        columns={[
          { name: "Node", cell: (node) => <>{node.info.name}<Lines items={labelsOf(node)} line={(label) => <small class="idle">{label}</small>} /></>, sort: (node) => node.info.name },
          { name: "State", cell: (node) => <Standing node={node} />, sort: (node) => node.state },
          { name: "Checks", cell: (node) => <Checks checks={node.checks} />, sort: (node) => -node.checks.filter((check) => !check.healthy).length },
          { name: "Cores", cell: (node) => `${cores(node.cpu_milli_used)} / ${cores(node.info.cpu_milli)}`, sort: (node) => Number(node.cpu_milli_used), number: true },
          { name: "Memory", cell: (node) => `${bytes(node.memory_bytes_used)} / ${bytes(node.info.memory_bytes)}`, sort: (node) => Number(node.memory_bytes_used), number: true },
          { name: "Devices", cell: (node) => <Devices node={node} /> },
          { name: "Tasks", cell: (node) => <Lines items={node.task_names} line={(name) => <a href={`/jobs/${name.split("/")[0]}`}>{name}</a>} /> },
          { name: "Limits", cell: (node) => <Limits node={node} /> },
          { name: "Seen", cell: (node) => age(node.last_heartbeat), number: true },
          { name: "Change", cell: (node) => <Changes node={node} run={(action, body) => void run(node)(action, body)} /> },
        ]}
      />
      <Reservations />
      <Cli command="oneai node list; oneai node reservation list" />
    </>
  );
}
