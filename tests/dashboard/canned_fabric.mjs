// What the controller's JSON API says, in the states that a quiet fabric never shows. Shapes as in the protos.
const hour = 3_600_000;
const GiB = 1 << 30;
const now = Date.now();
const at = (ms) => new Date(now + ms).toISOString();

const device = (id, kind, more = {}) =>
  ({ id, kind, name: kind, memory_bytes: String(80 * GiB), emulated: false, healthy: true, health_message: "", topology: "", ...more });

const node = (name, state, more = {}) => ({
  info: {
    name, address: "127.0.0.1", cpu_milli: "64000", memory_bytes: String(512 * GiB), labels: { rack: "r1" }, agent_version: "1",
    devices: [device("gpu-0", "nvidia-h100-80g"), device("asic-0", "hanguang-800", { name: "hanguang-800", emulated: true })],
    enforced: ["process-group"], not_enforced: ["memory: no cgroup is delegated"],
  },
  state, message: "", cordoned: false, cordon_reason: "", last_heartbeat: at(-1000), cpu_milli_used: "1500", memory_bytes_used: String(GiB),
  device_ids_used: [], task_names: [], labels: {}, spare: false, standing_in_for: "", checks: [], grants_used: [], ...more,
});

const drain = { reason: "Xid 79 on gpu-0", deadline_unix_ms: String(now + hour / 4), automatic: true, by: "health", since_unix_ms: String(now) };
export const nodes = [
  node("node-a", "READY", {
    grants_used: [{ id: "gpu-0", milli: 250, memory_bytes: "0" }], device_ids_used: ["gpu-0"], task_names: ["job-runs000001/0"], labels: { zone: "z1" },
  }),
  node("node-b", "DRAINING", {
    drain, checks: [{ name: "device:gpu-0", healthy: false, message: "Xid 79: GPU has fallen off the bus", since_unix_ms: String(now - 5000) }],
  }),
  node("node-c", "DRAINED", { drain: { ...drain, automatic: false, by: "sam", reason: "new fan" } }),
  node("node-d", "NOT_READY", { message: "clock is 40 s ahead" }),
  node("node-e", "READY", { spare: true }),
  node("node-f", "READY", { spare: true, standing_in_for: "node-b" }),
  node("node-g", "CORDONED", { cordoned: true, cordon_reason: "looks odd" }),
];

const queue = (project, more = {}) => ({
  project, cpu_milli_limit: "0", memory_bytes_limit: "0", device_limit: {}, pending_jobs: 0, running_jobs: 0, nominal: {}, borrowing_limit: {},
  lending_limit: {}, limit: {}, used: {}, weight: 1, reserve: false, sandbox: false, dominant_share: 0, ...more,
});
const gpus = (count) => ({ "nvidia-h100-80g": String(count * 1000) });
export const queues = [
  queue("finance", { cpu_milli_limit: "8000", used: { cpu: "2500", memory: String(4 * GiB) } }),
  queue("frontier", { nominal: gpus(48), reserve: true }),
  queue("retail", { nominal: gpus(48), limit: gpus(96), used: gpus(60), weight: 2, dominant_share: 0.125 }),
  queue("retail-labs", { used: { "hanguang-800": "500" } }),
  queue("retail/sandbox", { nominal: gpus(4), sandbox: true }),
  queue("retail/search", { nominal: gpus(30), used: gpus(60), pending_jobs: 3, running_jobs: 7 }),
];

const job = (id, state, spec = {}, more = {}) => ({
  id, state, owner: { name: "alice", business_unit: "retail", on_behalf_of: "", kind: "USER" }, reasons: [], tasks: [], attempt: 0, num_restarts: 0,
  submitted: at(-hour), last_checkpoint: "", num_tasks_now: 0, num_tasks_wanted: 0, num_preemptions: 0, array_id: "", array_index: 0,
  sweep_values: {}, returning: false, smallest_change: "", queue_position: 0, warned_unix_ms: "0", ...more,
  spec: {
    name: id.slice(4), project: "retail/search", kind: "command", num_tasks: 1, num_tasks_min: 0, gang: true, config_json: "", priority: 0,
    priority_class: "", queue: "", reservation: "", time_limit_ms: "0", depends_on: [], ...spec,
  },
});
const array = { array_id: "array-0123456789" };
export const jobs = [
  job("job-waits00001", "PENDING", { num_tasks: 8, priority_class: "high", priority: 100 }, { reasons: ["only the first reason"], queue_position: 3 }),
  job("job-elastic001", "RUNNING", { num_tasks: 4, num_tasks_min: 1, time_limit_ms: "7200000" }, {
    attempt: 3, num_tasks_now: 2, num_tasks_wanted: 4, num_preemptions: 2, started: at(-hour / 2),
    tasks: [{ rank: 0, attempt: 3, state: "TASK_RUNNING", node: "node-a", device: { kind: "hanguang-800", milli: 250 }, ready: true, exit_code: 0, signal: 0, message: "", grants: [] }],
  }),
  ...[0, 1, 2].map((index) => job(`job-sweep0000${index}`, ["SUCCEEDED", "RUNNING", "PENDING"][index], { name: "sweep" },
    { ...array, array_index: index, sweep_values: { learning_rate: `1e-${index + 3}` } })),
];

export const answers = {
  "/me": { principal: jobs[0].owner, bindings: [{ role: "SRE", business_unit: "*" }] },
  "/queues": { queues },
  "/events": { events: [] },
  "/reservations": {
    reservations: [
      { name: "kernel", kind: "MAINTENANCE", nodes: ["node-a"], start_unix_ms: String(now + hour), end_unix_ms: String(now + 3 * hour), project: "", reason: "new kernel", created_by: "sam" },
      { name: "launch", kind: "RESERVED", nodes: ["node-e", "node-f"], start_unix_ms: String(now - hour), end_unix_ms: String(now + hour), project: "retail/search", reason: "", created_by: "ann" },
    ],
  },
  "/usage/fabric": {
    records: [
      { business_unit: "retail", project: "retail/search", user: "alice", resource: "nvidia-h100-80g", seconds: 7200, cost: 5, jobs: "2", day: "" },
      { business_unit: "retail", project: "retail/nlp", user: "bob", resource: "nvidia-h100-80g", seconds: 3600, cost: 2.5, jobs: "1", day: "" },
      { business_unit: "finance", project: "finance/risk", user: "eve", resource: "memory", seconds: 36000, cost: 0.1, jobs: "1", day: "" },
    ],
  },
  "/jobs/job-waits00001/why": {
    reasons: ["queue retail is at its limit of 96 nvidia-h100-80g", "node-b is draining: Xid 79 on gpu-0"], smallest_change: "ask for 6 tasks instead of 8",
    planned_start: at(hour), queue_position: 3, would_preempt: ["job-x (low, finance/risk): loses 12 minutes of 8 devices"],
  },
  "/jobs/job-sweep00002/why": { reasons: ["at most 1 job of its array runs at once"], smallest_change: "", queue_position: 0, would_preempt: [] },
  "/jobs?array_id=array-0123456789&limit=200": { jobs: jobs.filter((one) => one.array_id), num_more: "40", revision: "1" },
};
