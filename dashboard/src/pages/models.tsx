import type { Model } from "../api";
import { Cli } from "../parts/cli";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { age, count } from "../format";

function Lineage({ model }: { model: Model }) {
  const lineage = model.lineage;
  if (!lineage) return <>–</>;
  return (
    <>
      <div>job <a href={`/jobs/${lineage.job_id}`}>{lineage.job_id}</a></div>
      {lineage.datasets.map((data) => (
        <div key={data.name}>data <a href={`/data?datasets.q=${encodeURIComponent(data.name)}`}>{data.name}@{data.version}</a></div>
      ))}
      {lineage.base_model && <div>from {lineage.base_model}</div>}
      <div>code {lineage.code_revision.slice(0, 12)}</div>
    </>
  );
}

export function Models() {
  const { data, problem } = useFetched<{ models: Model[] }>("/models", 2000);
  return (
    <>
      <h1>Models</h1>
      {problem && <p class="banner" role="alert">{problem}</p>}
      <Table<Model>
        id="models" label="Models" rows={data?.models ?? []} rowKey={(model) => `${model.name}@${model.version}`}
        text={(model) => `${model.name} ${model.architecture} ${model.aliases.join(" ")}`}
        empty={<>No model yet. A training job with <code>register_as</code> adds one.</>}
        columns={[
          { name: "Model", cell: (model) => `${model.name}@${model.version}`, sort: (model) => model.name },
          { name: "Architecture", cell: (model) => model.architecture, sort: (model) => model.architecture },
          { name: "Parameters", cell: (model) => count(model.num_parameters), sort: (model) => Number(model.num_parameters), number: true },
          { name: "Lineage", cell: (model) => <Lineage model={model} /> },
          { name: "Evaluations", cell: (model) => model.evaluations.map((evaluation, i) => (
            <div key={i}>{evaluation.task}: {Object.entries(evaluation.metrics).map(([name, value]) => `${name} ${value.toPrecision(4)}`).join(", ")}</div>
          )) },
          { name: "Aliases", cell: (model) => model.aliases.join(", ") },
          { name: "Age", cell: (model) => age(model.created), sort: (model) => model.created ?? "", number: true },
        ]}
      />
      <Cli command="oneai model list" />
    </>
  );
}
