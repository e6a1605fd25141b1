// The JSON API of the controller: shapes (the protos' field names) and calls. int64 values arrive as strings.

export interface Principal { name: string; business_unit: string; on_behalf_of: string; kind: string }
export interface Device { id: string; kind: string; name: string; memory_bytes: string; emulated: boolean; healthy: boolean; health_message: string }
export interface NodeInfo {
  name: string; address: string; cpu_milli: string; memory_bytes: string; devices: Device[];
  labels: Record<string, string>; agent_version: string; enforced: string[]; not_enforced: string[];
}
export interface HealthCheck { name: string; healthy: boolean; message: string; since_unix_ms: string }
export interface Drain { reason: string; deadline_unix_ms: string; automatic: boolean; by: string; since_unix_ms: string }
export interface DeviceGrant { id: string; milli: number; memory_bytes: string }
export interface FabricNode {
  info: NodeInfo; state: string; message: string; cordoned: boolean; cordon_reason: string; last_heartbeat?: string;
  cpu_milli_used: string; memory_bytes_used: string; device_ids_used: string[]; task_names: string[];
  drain?: Drain; labels: Record<string, string>; spare: boolean; standing_in_for: string; checks: HealthCheck[]; grants_used: DeviceGrant[];
}
export interface Reservation {
  name: string; kind: string; nodes: string[]; start_unix_ms: string; end_unix_ms: string; project: string; reason: string; created_by: string;
}
export type Amounts = Record<string, string>; // cpu in thousandths, memory in bytes, device kinds in thousandths of a device
export interface Queue {
  project: string; cpu_milli_limit: string; memory_bytes_limit: string; device_limit: Amounts; pending_jobs: number; running_jobs: number;
  nominal: Amounts; borrowing_limit: Amounts; lending_limit: Amounts; limit: Amounts; used: Amounts; weight: number; reserve: boolean;
  sandbox: boolean; dominant_share: number;
}
export interface FabricUsage { business_unit: string; project: string; user: string; resource: string; seconds: number; cost: number; jobs: string }
export interface Task {
  rank: number; attempt: number; state: string; node: string; device?: { kind: string; milli: number }; ready: boolean; exit_code: number;
  signal: number; message: string; started?: string; ended?: string; grants: DeviceGrant[];
}
export interface Dependency { job_id: string; condition: string }
export interface JobSpec {
  name: string; project: string; kind: string; num_tasks: number; num_tasks_min: number; gang: boolean; config_json: string;
  priority: number; priority_class: string; queue: string; reservation: string; time_limit_ms: string; depends_on: Dependency[];
}
export interface Job {
  id: string; spec: JobSpec; owner?: Principal; state: string; reasons: string[]; tasks: Task[]; attempt: number; num_restarts: number;
  submitted?: string; started?: string; ended?: string; last_checkpoint: string; num_tasks_now: number; num_tasks_wanted: number;
  num_preemptions: number; array_id: string; array_index: number; sweep_values: Record<string, string>; returning: boolean;
  planned_start?: string; smallest_change: string; queue_position: number; warned_unix_ms: string;
}
// Why a job waits.
export interface Explanation { reasons: string[]; smallest_change: string; planned_start?: string; queue_position: number; would_preempt: string[] }
export interface MetricPoint { step: string; value: number; unix_ms: string; attempt: number }
export interface MetricSeries { name: string; points: MetricPoint[] }
export interface FabricEvent { sequence: string; time: string; kind: string; subject: string; message: string; severity: string }
export interface Replica { index: number; node: string; address: string; ready: boolean }
export interface Endpoint {
  spec: { name: string; model: string; replicas: number; project: string };
  state: string; job_id: string; replicas: Replica[]; message: string; resolved_model: string; created?: string;
}
export interface UsageRecord {
  business_unit: string; model: string; requests: string; prompt_tokens: string; completion_tokens: string; errors: string;
}
export interface DatasetRef { name: string; version: number; sha256: string }
export interface Model {
  name: string; version: number; sha256: string; architecture: string; num_parameters: string; aliases: string[]; created?: string;
  lineage?: { job_id: string; code_revision: string; datasets: DatasetRef[]; base_model: string };
  evaluations: { job_id: string; task: string; metrics: Record<string, number>; dataset?: DatasetRef }[];
  created_by?: Principal;
}
export interface Dataset {
  header: {
    name: string; description: string; classification: string; allowed_purposes: string[]; origin: string; license: string;
    files: { path: string; size_bytes: string }[];
  };
  version: number; sha256: string; owner?: Principal; pii: { kind: string; count: string; example: string }[]; created?: string;
}
export interface Rule {
  id: string; effect: string; datasets: string[]; business_units: string[]; purposes: string[]; same_unit_only: boolean; reason: string;
}
export interface AuditRecord {
  sequence: string; time: string; principal?: Principal; action: string; resource: string; purpose: string; allowed: boolean; detail: string;
}
export interface Me { principal: Principal; bindings: { role: string; business_unit: string }[] }

export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

async function request<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(`/api/v1${path}`, { credentials: "same-origin", ...init });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body?.error?.message ?? `the controller answered ${response.status}`);
  return body as T;
}

export const get = <T>(path: string): Promise<T> => request<T>(path);

export const post = <T>(path: string, body: unknown = {}): Promise<T> =>
  request<T>(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
