import { useState } from "preact/hooks";
import { get, type AuditRecord } from "../api";
import { Cli } from "../parts/cli";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { query } from "../router";

interface Verdict { intact: boolean; num_records: string; first_bad_sequence: string; explanation: string }

export function Audit() {
  const before = query.value.get("before") ?? "";
  const { data, problem } = useFetched<{ records: AuditRecord[] }>(`/audit${before ? `?before=${encodeURIComponent(before)}` : ""}`, before ? 0 : 2000);
  const [verdict, setVerdict] = useState("");
  const verify = async () => {
    try {
      const result = await get<Verdict>("/audit/verify");
      setVerdict(result.intact ? `Intact: ${result.num_records} records.` : `Broken at record ${result.first_bad_sequence}: ${result.explanation}`);
    } catch (error) {
      setVerdict((error as Error).message);
    }
  };
  const records = data?.records ?? [];
  const last = records[records.length - 1];
  return (
    <>
      <h1>Audit</h1>
      <p class="actions">
        <button type="button" onClick={() => void verify()}>Verify the hash chain</button> <span role="status">{verdict}</span>
      </p>
      {problem && <p class="banner" role="alert">{problem}</p>}
      <Table<AuditRecord>
        id="audit" label="Audit records" rows={records} rowKey={(record) => record.sequence}
        text={(record) => `${record.action} ${record.resource} ${record.principal?.name} ${record.purpose} ${record.detail}`}
        empty="No records yet."
        columns={[
          { name: "#", cell: (record) => record.sequence, number: true },
          { name: "Time", cell: (record) => <time dateTime={record.time}>{new Date(record.time).toLocaleString()}</time> },
          { name: "Who", cell: (record) => `${record.principal?.name ?? ""}${record.principal?.on_behalf_of ? ` for ${record.principal.on_behalf_of}` : ""}` },
          { name: "Action", cell: (record) => record.action, sort: (record) => record.action },
          { name: "Resource", cell: (record) => record.resource, sort: (record) => record.resource },
          { name: "Purpose", cell: (record) => record.purpose },
          { name: "Allowed", cell: (record) => (record.allowed ? "✓ yes" : "✕ no") },
          { name: "Detail", cell: (record) => record.detail },
        ]}
      />
      <p class="actions">
        {before && <a href="/audit">Newest</a>} {last && Number(last.sequence) > 1 && <a href={`/audit?before=${last.sequence}`}>Older</a>}
      </p>
      <Cli command="oneai audit query" />
    </>
  );
}
