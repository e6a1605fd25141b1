// What the scheduler knows of a job: why it waits, what it holds, which array it belongs to.
import type { Explanation, Job } from "../api";
import { Facts } from "../parts/facts";
import { State } from "../parts/state";
import { Table } from "../parts/table";
import { useFetched } from "../parts/fetched";
import { count, instant } from "../format";

const siblingsAsked = 200;

// Every blocker, and what would help. Asked apart from the job's list, which explains the first ones only.
export function Waiting({ job }: { job: Job }) {
  const asked = useFetched<Explanation>(`/jobs/${encodeURIComponent(job.id)}/why`, 2000).data;
  const reasons = asked?.reasons ?? job.reasons;
  const position = asked?.queue_position ?? job.queue_position;
  const planned = asked ? asked.planned_start : job.planned_start;
  const preempts = asked?.would_preempt ?? [];
  return (
    <section aria-label="Why it waits">
      <h2>Why it waits</h2>
      {reasons.map((reason) => <p key={reason} class="reason">{reason}</p>)}
      {reasons.length === 0 && <p class="empty">Nothing is in its way: it starts with the next pass.</p>}
      <Facts
        facts={[
          ["Smallest change that lets it start", asked?.smallest_change ?? job.smallest_change],
          ["Planned start", planned ? instant(Date.parse(planned)) : "not foreseeable"],
          ["Position in line", position > 0 ? (position === 1 ? "1, next" : count(position)) : ""],
          ["Would preempt", preempts.length > 0 && <ul class="plain">{preempts.slice(0, 16).map((victim) => <li key={victim}>{victim}</li>)}{preempts.length > 16 && <li>and {preempts.length - 16} more</li>}</ul>],
        ]}
      />
    </section>
  );
}

// "2 of 1 to 4, 4 wanted": an elastic gang's size.
function size(job: Job): string {
  const { num_tasks, num_tasks_min, gang } = job.spec;
  if (!gang || num_tasks_min === 0 || num_tasks_min === num_tasks) return "";
  const now = job.attempt === 0 ? "not started" : `${job.num_tasks_now || num_tasks} now`;
  const wanted = job.num_tasks_wanted > 0 ? `, ${job.num_tasks_wanted} wanted from the next checkpoint on` : "";
  return `${now}${wanted}; ${num_tasks_min} to ${num_tasks}`;
}

const when: Record<string, string> = { AFTER_OK: "after success of", AFTER_ANY: "after the end of" };

export function Standing({ job }: { job: Job }) {
  const { spec } = job;
  const sweep = Object.entries(job.sweep_values).sort().map(([name, value]) => `${name}=${value}`).join(", ");
  return (
    <Facts
      facts={[
        ["Queue", spec.queue || spec.project],
        ["Priority", spec.priority_class ? `${spec.priority_class} (${spec.priority})` : spec.priority !== 0 && String(spec.priority)],
        ["Elastic size", size(job)],
        ["Preemptions", job.num_preemptions > 0 && count(job.num_preemptions)],
        ["Giving way", Number(job.warned_unix_ms) > 0 && `warned ${instant(job.warned_unix_ms)}`],
        ["Returning", job.returning && "lost its place through no fault of its own: goes before its equals"],
        ["Array", job.array_id && <><a href={`/jobs/${job.array_id}`}>{job.array_id}</a>, index {job.array_index}</>],
        ["Sweep", sweep],
        ["Starts", spec.depends_on.length > 0 && <ul class="plain">{spec.depends_on.slice(0, 16).map((on) => <li key={on.job_id}>{when[on.condition] ?? "after"} <a href={`/jobs/${on.job_id}`}>{on.job_id}</a></li>)}{spec.depends_on.length > 16 && <li>and {spec.depends_on.length - 16} more</li>}</ul>],
        ["Reservation", spec.reservation],
        ["Time limit", Number(spec.time_limit_ms) > 0 && `${count(Math.ceil(Number(spec.time_limit_ms) / 60000))} min`],
      ]}
    />
  );
}

// The jobs of an array or sweep; `own` is the one whose page it is.
export function ArrayJobs({ id, own }: { id: string; own?: string }) {
  const list = useFetched<{ jobs: Job[]; num_more: string }>(`/jobs?array_id=${encodeURIComponent(id)}&limit=${siblingsAsked}`, 5000).data;
  const jobs = [...(list?.jobs ?? [])].sort((a, b) => a.array_index - b.array_index);
  const more = Number(list?.num_more ?? 0);
  const states = new Map<string, number>();
  for (const one of jobs) states.set(one.state, (states.get(one.state) ?? 0) + 1);
  return (
    <>
      <p class="actions">{[...states].map(([state, number]) => <span key={state}>{number} × <State name={state} /></span>)}{more > 0 && <span>and {count(more)} that are not listed</span>}</p>
      <Table<Job>
        id="array" label="Jobs of the array" rows={jobs} rowKey={(one) => one.id} empty={list ? "It has no jobs, or they have been forgotten." : "Asking…"}
        text={(one) => `${one.array_index} ${one.id} ${one.state} ${JSON.stringify(one.sweep_values)}`}
        columns={[
          { name: "Index", cell: (one) => one.array_index, sort: (one) => one.array_index, number: true },
          { name: "Job", cell: (one) => (one.id === own ? <b>{one.id}</b> : <a href={`/jobs/${one.id}`}>{one.id}</a>) },
          { name: "State", cell: (one) => <State name={one.state} />, sort: (one) => one.state },
          { name: "Values", cell: (one) => Object.entries(one.sweep_values).sort().map(([name, value]) => `${name}=${value}`).join(", ") },
        ]}
      />
    </>
  );
}
