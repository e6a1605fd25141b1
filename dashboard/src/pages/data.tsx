import type { Dataset, Rule } from "../api";
import { Cli } from "../parts/cli";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { age, bytes, count } from "../format";

const any = (list: string[]): string => list.join(", ") || "any";

export function Data() {
  const datasets = useFetched<{ datasets: Dataset[] }>("/datasets", 3000);
  const rules = useFetched<{ rules: Rule[] }>("/rules", 10000).data?.rules ?? [];
  return (
    <>
      <h1>Data</h1>
      {datasets.problem && <p class="banner" role="alert">{datasets.problem}</p>}
      <Table<Dataset>
        id="datasets" label="Datasets" rows={datasets.data?.datasets ?? []} rowKey={(data) => data.header.name}
        text={(data) => `${data.header.name} ${data.header.description} ${data.header.classification}`}
        empty={<>No dataset yet. <code>oneai data register unit/name FILE --purpose pretraining</code></>}
        columns={[
          { name: "Dataset", cell: (data) => <><b>{data.header.name}@{data.version}</b><div>{data.header.description}</div></>, sort: (data) => data.header.name },
          { name: "Class", cell: (data) => data.header.classification.toLowerCase(), sort: (data) => data.header.classification },
          { name: "Purposes", cell: (data) => data.header.allowed_purposes.join(", ") },
          { name: "Personal data", cell: (data) => (data.pii.length === 0 ? "none found" : data.pii.map((finding) => <div key={finding.kind}>{count(finding.count)} × {finding.kind}</div>)) },
          { name: "Size", cell: (data) => bytes(data.header.files.reduce((sum, file) => sum + Number(file.size_bytes), 0)), number: true },
          { name: "Origin", cell: (data) => `${data.header.origin} (${data.header.license})` },
          { name: "Owner", cell: (data) => `${data.owner?.name} of ${data.owner?.business_unit}` },
          { name: "Age", cell: (data) => age(data.created), number: true },
        ]}
      />
      <h2>Policy</h2>
      <p>A forbid beats every permit; nothing is permitted by default; an owner’s purposes are never widened.</p>
      <Table<Rule>
        id="rules" label="Policy rules" rows={rules} rowKey={(rule) => rule.id} text={(rule) => `${rule.id} ${rule.reason}`} empty="There are no rules."
        columns={[
          { name: "Rule", cell: (rule) => rule.id, sort: (rule) => rule.id },
          { name: "Effect", cell: (rule) => rule.effect.toLowerCase(), sort: (rule) => rule.effect },
          { name: "Datasets", cell: (rule) => any(rule.datasets) },
          { name: "Readers", cell: (rule) => (rule.same_unit_only ? "the owner’s unit" : any(rule.business_units)) },
          { name: "Purposes", cell: (rule) => any(rule.purposes) },
          { name: "Reason", cell: (rule) => rule.reason },
        ]}
      />
      <Cli command="oneai data list" />
    </>
  );
}
