import { useState } from "preact/hooks";
import { post, type FabricEvent, type Job, type MetricSeries } from "../api";
import { jobs, jobsLeftOut } from "../live";
import { query, setQuery } from "../router";
import { Chart } from "../parts/chart";
import { Cli } from "../parts/cli";
import { Log } from "../parts/log";
import { State } from "../parts/state";
import { Table, rowsShownMax } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { age, clock, count } from "../format";
import { kindName } from "../kinds";
import { ArrayJobs, Standing, Waiting } from "./job_standing";

const ended = (job: Job): boolean => ["SUCCEEDED", "FAILED", "CANCELLED"].includes(job.state);
const waits = (job: Job): boolean => job.state === "PENDING" || job.state === "BACKOFF";

// The first reason; a job in line also says where.
function why(job: Job): string {
  if (!waits(job) && job.state !== "FAILED") return "";
  return `${job.queue_position > 0 ? `#${job.queue_position} in line: ` : ""}${job.reasons[0] ?? ""}`;
}

export function JobList() {
  return (
    <>
      <h1>Jobs</h1>
      <Table<Job>
        id="jobs" label="Jobs" rows={jobs.value} rowKey={(job) => job.id}
        text={(job) => `${job.id} ${job.spec.name} ${job.spec.project} ${job.spec.queue} ${job.spec.kind} ${job.state} ${job.array_id}`}
        empty={<>No jobs yet. Submit one: <code>oneai job submit -f examples/pretrain.yaml --follow</code></>}
        columns={[
          { name: "Job", cell: (job) => <><a href={`/jobs/${job.id}`}>{job.spec.name}</a>{job.array_id && <small class="idle"> [{job.array_index}]</small>}</>, sort: (job) => job.spec.name },
          { name: "State", cell: (job) => <State name={job.state} />, sort: (job) => job.state },
          { name: "Kind", cell: (job) => job.spec.kind, sort: (job) => job.spec.kind },
          { name: "Queue", cell: (job) => job.spec.queue || job.spec.project, sort: (job) => job.spec.queue || job.spec.project },
          { name: "Tasks", cell: (job) => job.spec.num_tasks, sort: (job) => job.spec.num_tasks, number: true },
          { name: "Why", cell: why },
          { name: "Age", cell: (job) => age(job.submitted), sort: (job) => job.submitted ?? "", number: true },
        ]}
      />
      {jobsLeftOut.value > 0 && <p class="empty">{count(jobsLeftOut.value)} older jobs are not listed.</p>}
      <Cli command="oneai job list" />
    </>
  );
}

function Actions({ job }: { job: Job }) {
  const [problem, setProblem] = useState("");
  const run = async (action: () => Promise<unknown>) => {
    try {
      setProblem("");
      await action();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  const cancel = () => {
    const reason = window.prompt(`Why is ${job.spec.name} (${job.id}) to be cancelled? The reason is kept in the audit log.`);
    if (reason) void run(() => post(`/jobs/${job.id}/cancel`, { reason }));
  };
  return (
    <p class="actions">
      {!ended(job) && <button type="button" onClick={cancel}>Cancel…</button>}
      {ended(job) && job.state !== "SUCCEEDED" && (
        <button type="button" onClick={() => void run(() => post(`/jobs/${job.id}/retry`))}>Retry from the last checkpoint</button>
      )}
      {problem && <span role="alert" class="bad">{problem}</span>}
    </p>
  );
}

// submitted → started → ended, with what lies between.
function Timeline({ job }: { job: Job }) {
  const points: [string, string | undefined][] = [["submitted", job.submitted], ["started", job.started], ["ended", job.ended]];
  return (
    <ol class="timeline">
      {points.map(([name, at]) => (
        <li key={name} class={at ? "done" : ""}>
          {name} {at ? <time dateTime={at}>{clock(at)}</time> : "–"}
        </li>
      ))}
    </ol>
  );
}

function Curves({ job }: { job: Job }) {
  const { data } = useFetched<{ series: MetricSeries[] }>(`/jobs/${encodeURIComponent(job.id)}/metrics`, ended(job) ? 5000 : 1000);
  const first = ["loss", "learning_rate", "tokens_per_second", "grad_norm"];
  const rank = (name: string) => (first.indexOf(name) + 1 || first.length + 1);
  const series = [...(data?.series ?? [])].sort((a, b) => rank(a.name) - rank(b.name));
  if (series.length === 0) return <p class="empty">The job has reported no metrics yet.</p>;
  return <div class="charts">{series.map((one) => <Chart key={one.name} series={one} />)}</div>;
}

function Tasks({ job }: { job: Job }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Tasks, scrollable">
      <table aria-label="Tasks">
        <thead><tr><th scope="col">Rank</th><th scope="col">State</th><th scope="col">Node</th><th scope="col">Device</th><th scope="col">Exit</th><th scope="col">Message</th></tr></thead>
        <tbody>
          {job.tasks.slice(0, rowsShownMax).map((task) => (
            <tr key={task.rank}>
              <td>{task.rank}</td>
              <td><State name={task.state} /></td>
              <td>{task.node}</td>
              <td>{task.device?.kind ? kindName(task.device.kind) : "–"}{task.device && task.device.milli > 0 && task.device.milli < 1000 ? `, ${task.device.milli / 10} % of it` : ""}</td>
              <td>{task.state === "TASK_EXITED" ? (task.signal ? `signal ${task.signal}` : task.exit_code) : "–"}</td>
              <td>{task.message}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function ArrayDetail({ id }: { id: string }) {
  return (
    <>
      <h1>{id}</h1>
      <ArrayJobs id={id} />
      <Cli command={`oneai job list --array ${id}`} />
    </>
  );
}

export function JobDetail({ id }: { id: string }) {
  const live = jobs.value.find((job) => job.id === id);
  const fetched = useFetched<Job>(`/jobs/${encodeURIComponent(id)}`, live ? 0 : 3000);
  const events = useFetched<{ events: FabricEvent[] }>(`/jobs/${encodeURIComponent(id)}/events`, 2000).data?.events ?? [];
  const job = live ?? fetched.data;
  if (!job) return <p class="empty">{fetched.problem || "Asking…"}</p>;
  const rank = Number(query.value.get("rank") ?? 0);
  return (
    <>
      <h1>{job.spec.name} <small>{job.id}</small></h1>
      <p><State name={job.state} /> · {job.spec.kind} · {job.spec.project} · attempt {job.attempt}, {job.num_restarts} restarts{job.num_preemptions > 0 && `, ${job.num_preemptions} preemptions`} · by {job.owner?.name}</p>
      {!waits(job) && job.reasons.map((reason) => <p key={reason} class="reason">{reason}</p>)}
      <Timeline job={job} />
      <Actions job={job} />
      {waits(job) && <Waiting job={job} />}
      <Standing job={job} />
      <h2>Metrics</h2>
      <Curves job={job} />
      <h2>Tasks</h2>
      <Tasks job={job} />
      {job.tasks.length > rowsShownMax && <p class="empty">The first {rowsShownMax} of {count(job.tasks.length)} tasks.</p>}
      {job.array_id && <h2>{Object.keys(job.sweep_values).length > 0 ? "Sweep" : "Array"} {job.array_id}</h2>}
      {job.array_id && <ArrayJobs id={job.array_id} own={job.id} />}
      <h2>Output</h2>
      <p class="actions" role="group" aria-label="Rank">
        {Array.from({ length: Math.min(job.spec.num_tasks, 64) }, (_, i) => (
          <button type="button" key={i} aria-pressed={i === rank} onClick={() => setQuery("rank", i === 0 ? "" : String(i))}>rank {i}</button>
        ))}
      </p>
      {job.attempt > 0 && <Log job={job.id} rank={rank} attempt={job.attempt} />}
      <h2>Events</h2>
      <ul class="events">
        {events.map((event) => (
          <li key={event.sequence} class={event.severity}>
            <time dateTime={event.time}>{clock(event.time)}</time> <b>{event.kind}</b> {event.message}
          </li>
        ))}
      </ul>
      <details>
        <summary>Settings</summary>
        <pre>{prettyJson(job.spec.config_json)}</pre>
      </details>
      <Cli command={`oneai job ${waits(job) ? "why" : "get"} ${job.id}`} />
    </>
  );
}

function prettyJson(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

