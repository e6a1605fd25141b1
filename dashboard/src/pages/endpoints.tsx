import type { Endpoint, UsageRecord } from "../api";
import { endpoints } from "../live";
import { Cli } from "../parts/cli";
import { State } from "../parts/state";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { age, count } from "../format";

export function Endpoints() {
  const usage = useFetched<{ records: UsageRecord[] }>("/usage", 2000).data?.records ?? [];
  return (
    <>
      <h1>Endpoints</h1>
      <Table<Endpoint>
        id="endpoints" label="Endpoints" rows={endpoints.value} rowKey={(endpoint) => endpoint.spec.name}
        text={(endpoint) => `${endpoint.spec.name} ${endpoint.resolved_model} ${endpoint.state}`}
        empty={<>Nothing is served. <code>oneai endpoint deploy NAME --model unit/model --project unit/project --wait</code></>}
        columns={[
          { name: "Endpoint", cell: (endpoint) => endpoint.spec.name, sort: (endpoint) => endpoint.spec.name },
          { name: "State", cell: (endpoint) => <><State name={endpoint.state} /> {endpoint.message}</>, sort: (endpoint) => endpoint.state },
          { name: "Model", cell: (endpoint) => <a href={`/models?models.q=${encodeURIComponent(endpoint.resolved_model.split("@")[0] ?? "")}`}>{endpoint.resolved_model}</a> },
          { name: "Replicas", cell: (endpoint) => endpoint.replicas.map((replica) => <div key={replica.index}>{replica.ready ? "● ready" : "◑ starting"} on {replica.node || "–"} {replica.address}</div>) },
          { name: "Job", cell: (endpoint) => <a href={`/jobs/${endpoint.job_id}`}>{endpoint.job_id}</a> },
          { name: "Age", cell: (endpoint) => age(endpoint.created), number: true },
        ]}
      />
      <h2>Usage</h2>
      <Table<UsageRecord>
        id="usage" label="Usage" rows={usage} rowKey={(record) => `${record.business_unit} ${record.model}`}
        text={(record) => `${record.business_unit} ${record.model}`} empty="No request has been counted yet."
        columns={[
          { name: "Business unit", cell: (record) => record.business_unit, sort: (record) => record.business_unit },
          { name: "Model", cell: (record) => record.model, sort: (record) => record.model },
          { name: "Requests", cell: (record) => count(record.requests), sort: (record) => Number(record.requests), number: true },
          { name: "Prompt tokens", cell: (record) => count(record.prompt_tokens), sort: (record) => Number(record.prompt_tokens), number: true },
          { name: "Completion tokens", cell: (record) => count(record.completion_tokens), sort: (record) => Number(record.completion_tokens), number: true },
          { name: "Errors", cell: (record) => count(record.errors), sort: (record) => Number(record.errors), number: true },
        ]}
      />
      <Cli command="oneai usage" />
    </>
  );
}
