import { useState } from "preact/hooks";
import { post, type FabricNode } from "../api";
import { nodes } from "../live";
import { Cli } from "../parts/cli";
import { State } from "../parts/state";
import { Table } from "../parts/table";
import { age, bytes, cores } from "../format";

export function Nodes() {
  const [problem, setProblem] = useState("");
  const change = async (node: FabricNode) => {
    try {
      setProblem("");
      if (node.cordoned) {
        await post(`/nodes/${encodeURIComponent(node.info.name)}/uncordon`);
      } else {
        const reason = window.prompt(`Why is ${node.info.name} to be cordoned? Running tasks stay, no new ones come.`);
        if (reason) await post(`/nodes/${encodeURIComponent(node.info.name)}/cordon`, { reason });
      }
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
        text={(node) => `${node.info.name} ${node.state} ${node.info.devices.map((device) => device.kind).join(" ")}`}
        empty={<>No node has joined. <code>oneai up</code> starts some on this machine.</>}
        columns={[
          { name: "Node", cell: (node) => node.info.name, sort: (node) => node.info.name },
          { name: "State", cell: (node) => <><State name={node.state} /> {node.message || node.cordon_reason}</>, sort: (node) => node.state },
          { name: "Cores", cell: (node) => `${cores(node.cpu_milli_used)} / ${cores(node.info.cpu_milli)}`, sort: (node) => Number(node.cpu_milli_used), number: true },
          { name: "Memory", cell: (node) => `${bytes(node.memory_bytes_used)} / ${bytes(node.info.memory_bytes)}`, sort: (node) => Number(node.memory_bytes_used), number: true },
          { name: "Devices", cell: (node) => node.info.devices.map((device) => <div key={device.id}>{device.name || device.kind}{device.emulated ? " (emulator)" : ""}{device.healthy ? "" : ` – ${device.health_message}`}</div>) },
          { name: "Tasks", cell: (node) => node.task_names.map((name) => <div key={name}><a href={`/jobs/${name.split("/")[0]}`}>{name}</a></div>) },
          { name: "Not enforced", cell: (node) => node.info.not_enforced.join("; ") },
          { name: "Seen", cell: (node) => age(node.last_heartbeat), number: true },
          { name: "Change", cell: (node) => <button type="button" onClick={() => void change(node)}>{node.cordoned ? "Uncordon" : "Cordon…"}</button> },
        ]}
      />
      <Cli command="oneai node list" />
    </>
  );
}
