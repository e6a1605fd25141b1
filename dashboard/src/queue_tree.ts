// The queue tree as rows: what of which resource each queue has, uses, borrows and may use at most.
import type { Queue } from "./api";

export interface ResourceUse {
  resource: string;
  used: number;
  nominal: number | undefined; // undefined: it shares what the others leave, or the resource is not divided
  borrowed: number | undefined; // undefined: there is no nominal to be above
  limit: number | undefined; // undefined: none
}
export interface QueueRow { queue: Queue; depth: number; resources: ResourceUse[] }

// Whether any queue's nominal names a resource: only then is it divided, and a nominal that does not name it means 0.
function dividedBy(queues: Queue[]): Set<string> {
  return new Set(queues.flatMap((queue) => Object.keys(queue.nominal)));
}

// The hard limits, with those in the fields from before the tree.
function limitsOf(queue: Queue): Map<string, number> {
  const limits = new Map(Object.entries(queue.limit).map(([resource, value]) => [resource, Number(value)]));
  const before: [string, number][] = [["cpu", Number(queue.cpu_milli_limit)], ["memory", Number(queue.memory_bytes_limit)]];
  for (const [kind, devices] of Object.entries(queue.device_limit)) before.push([kind, Number(devices) * 1000]);
  for (const [resource, value] of before) if (value > 0 && !limits.has(resource)) limits.set(resource, value);
  return limits;
}

// Devices first: they are what is scarce.
const place = (resource: string): number => ["cpu", "memory"].indexOf(resource);
const byScarcity = (a: string, b: string): number => place(a) - place(b) || (a < b ? -1 : a > b ? 1 : 0);

function resourcesOf(queue: Queue, divided: Set<string>): ResourceUse[] {
  const limits = limitsOf(queue);
  const named = new Set([...Object.keys(queue.nominal), ...limits.keys(), ...Object.keys(queue.used)]);
  const hasNominal = Object.keys(queue.nominal).length > 0;
  return [...named].sort(byScarcity).map((resource) => {
    const used = Number(queue.used[resource] ?? 0);
    const nominal = hasNominal && divided.has(resource) ? Number(queue.nominal[resource] ?? 0) : undefined;
    const borrowed = nominal === undefined ? undefined : Math.max(0, used - nominal);
    return { resource, used, nominal, borrowed, limit: limits.get(resource) };
  });
}

// Parents before their children, siblings by name. A unit that nobody has set up is not in the list; its projects then
// stand where it would.
export function treeRows(queues: Queue[]): QueueRow[] {
  const divided = dividedBy(queues);
  const known = new Set(queues.map((queue) => queue.project));
  const key = (path: string): string => path.replaceAll("/", "\u0000");
  const sorted = [...queues].sort((a, b) => (key(a.project) < key(b.project) ? -1 : 1));
  return sorted.map((queue) => {
    const parts = queue.project.split("/");
    const depth = parts.filter((_, i) => i > 0 && known.has(parts.slice(0, i).join("/"))).length;
    return { queue, depth, resources: resourcesOf(queue, divided) };
  });
}
