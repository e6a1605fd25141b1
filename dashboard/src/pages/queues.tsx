import type { FabricUsage, Queue } from "../api";
import { Cli } from "../parts/cli";
import { Table, rowsShownMax } from "../parts/table";
import { UseBar } from "../parts/use_bar";
import { useFetched } from "../parts/fetched";
import { resourceName } from "../kinds";
import { treeRows, type QueueRow, type ResourceUse } from "../queue_tree";
import { amount, count, hours, money } from "../format";
import { query, setQuery } from "../router";

function Marks({ queue }: { queue: Queue }) {
  return (
    <>
      {queue.reserve && <div class="mark" title="Lent to all, taken back at once">◆ reserve</div>}
      {queue.sandbox && <div class="mark" title="Never lent: an experiment starts at once">▣ sandbox</div>}
    </>
  );
}

function UseCells({ use }: { use: ResourceUse | undefined }) {
  if (!use) return <><td colSpan={6} class="idle">nothing used, nothing set</td></>;
  const shown = (value: number | undefined): string => (value === undefined ? "–" : amount(use.resource, value));
  return (
    <>
      <td>{resourceName(use.resource)}</td>
      <td><UseBar name={resourceName(use.resource)} use={use} /></td>
      <td class="number">{amount(use.resource, use.used)}</td>
      <td class="number">{shown(use.nominal)}</td>
      <td class="number">{shown(use.borrowed)}</td>
      <td class="number">{shown(use.limit)}</td>
    </>
  );
}

// A queue is one row for each of its resources; what is said of the whole queue spans them.
function QueueRows({ row }: { row: QueueRow }) {
  const { queue, resources } = row;
  const span = Math.max(1, resources.length);
  const name = row.depth === 0 ? queue.project : queue.project.slice(queue.project.lastIndexOf("/") + 1);
  return (
    <>
      <tr>
        <th scope="row" rowSpan={span} class={`depth-${Math.min(row.depth, 3)}`} title={queue.project}>{name || "/"} <Marks queue={queue} /></th>
        <UseCells use={resources[0]} />
        <td class="number" rowSpan={span}>{queue.dominant_share.toFixed(2)}</td>
        <td class="number" rowSpan={span}>{count(queue.running_jobs)}</td>
        <td class="number" rowSpan={span}><a href={`/jobs?jobs.q=${encodeURIComponent(queue.project)}`} aria-label={`${queue.pending_jobs} waiting in ${queue.project}`}>{count(queue.pending_jobs)}</a></td>
      </tr>
      {resources.slice(1).map((use) => <tr key={use.resource} class="more"><UseCells use={use} /></tr>)}
    </>
  );
}

function Tree({ queues }: { queues: Queue[] }) {
  const filter = query.value.get("queues.q") ?? "";
  const rows = treeRows(queues).filter((row) => row.queue.project.toLowerCase().includes(filter.toLowerCase()));
  return (
    <section class="table tree" aria-label="Queues">
      <input
        type="search" placeholder="Filter" aria-label="Filter Queues" value={filter}
        onInput={(event) => setQuery("queues.q", event.currentTarget.value)}
      />
      <div class="scroll" tabIndex={0} role="region" aria-label="Queues, scrollable">
        <table aria-label="Queues">
          <thead>
            <tr>
              <th scope="col">Queue</th><th scope="col">Resource</th><th scope="col">Use</th><th scope="col" class="number">Used</th>
              <th scope="col" class="number">Nominal</th><th scope="col" class="number">Borrowed</th><th scope="col" class="number">Limit</th>
              <th scope="col" class="number">Dominant share</th><th scope="col" class="number">Running</th><th scope="col" class="number">Pending</th>
            </tr>
          </thead>
          <tbody>{rows.slice(0, rowsShownMax).map((row) => <QueueRows key={row.queue.project} row={row} />)}</tbody>
        </table>
      </div>
      {rows.length > rowsShownMax && <p class="empty">The first {rowsShownMax} of {count(rows.length)}; filter to see others.</p>}
      {rows.length === 0 && <p class="empty">Nothing matches “{filter}”.</p>}
    </section>
  );
}

interface UnitUse { unit: string; resource: string; seconds: number; cost: number; jobs: number }

function byUnit(records: FabricUsage[]): UnitUse[] {
  const sums = new Map<string, UnitUse>();
  for (const record of records) {
    const key = `${record.business_unit} ${record.resource}`;
    const sum = sums.get(key) ?? { unit: record.business_unit, resource: record.resource, seconds: 0, cost: 0, jobs: 0 };
    sum.seconds += record.seconds;
    sum.cost += record.cost;
    sum.jobs += Number(record.jobs);
    sums.set(key, sum);
  }
  return [...sums.values()];
}

// memory is counted in GiB-seconds, everything else in the resource's own seconds.
const timeOf = (resource: string): string => (resource === "memory" ? "GiB of memory" : resourceName(resource));

function Usage() {
  const { data, problem } = useFetched<{ records: FabricUsage[] }>("/usage/fabric", 5000);
  const records = data?.records ?? [];
  if (problem && !data) return <p class="empty">{problem}</p>;
  return (
    <>
      <h2>Usage and cost by unit</h2>
      <Table<UnitUse>
        id="units" label="Usage and cost by unit" rows={byUnit(records)} rowKey={(use) => `${use.unit} ${use.resource}`}
        text={(use) => `${use.unit} ${timeOf(use.resource)}`} empty="Nothing has been used yet."
        columns={[
          { name: "Unit", cell: (use) => use.unit, sort: (use) => use.unit },
          { name: "Resource", cell: (use) => timeOf(use.resource), sort: (use) => timeOf(use.resource) },
          { name: "Hours", cell: (use) => hours(use.seconds), sort: (use) => use.seconds, number: true },
          { name: "Cost", cell: (use) => money(use.cost), sort: (use) => use.cost, number: true },
          { name: "Jobs", cell: (use) => count(use.jobs), sort: (use) => use.jobs, number: true },
        ]}
      />
      <h2>By project and user</h2>
      <Table<FabricUsage>
        id="projects" label="Usage and cost by project and user" rows={records} empty="Nothing has been used yet."
        rowKey={(use) => `${use.project} ${use.user} ${use.resource}`} text={(use) => `${use.project} ${use.user} ${timeOf(use.resource)}`}
        columns={[
          { name: "Project", cell: (use) => use.project, sort: (use) => use.project },
          { name: "User", cell: (use) => use.user, sort: (use) => use.user },
          { name: "Resource", cell: (use) => timeOf(use.resource), sort: (use) => timeOf(use.resource) },
          { name: "Hours", cell: (use) => hours(use.seconds), sort: (use) => use.seconds, number: true },
          { name: "Cost", cell: (use) => money(use.cost), sort: (use) => use.cost, number: true },
          { name: "Jobs", cell: (use) => count(use.jobs), sort: (use) => Number(use.jobs), number: true },
        ]}
      />
    </>
  );
}

export function Queues() {
  const { data, problem } = useFetched<{ queues: Queue[] }>("/queues", 2000);
  const queues = data?.queues ?? [];
  return (
    <>
      <h1>Queues</h1>
      {problem && <p class="banner" role="alert">{problem}</p>}
      <p>Use counts in every queue above. The full bar is a queue’s own, the half-high one is borrowed; a line marks nominal, a thick one the limit. Without either, the bar is against all that the nodes have.</p>
      {queues.length === 0 ? <p class="empty">No queue has been set up and no job has been submitted. <code>oneai queue set -f examples/queues.yaml</code></p> : <Tree queues={queues} />}
      <Usage />
      <Cli command="oneai queue list; oneai usage fabric --csv" />
    </>
  );
}
