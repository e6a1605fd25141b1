// What a resource is called. A kind whose devices are all emulated says so wherever it is named.
import { computed } from "@preact/signals";
import { nodes } from "./live";

const emulatedKinds = computed(() => {
  const emulated = new Set<string>();
  const real = new Set<string>();
  for (const node of nodes.value) for (const device of node.info.devices) (device.emulated ? emulated : real).add(device.kind);
  for (const kind of real) emulated.delete(kind);
  return emulated;
});

export const kindName = (kind: string): string => (emulatedKinds.value.has(kind) ? `${kind} (emulator)` : kind);

export function resourceName(resource: string): string {
  if (resource === "cpu") return "cores";
  return kindName(resource);
}

// All that the nodes have of a resource, in its amounts.
const capacity = computed(() => {
  const sums = new Map<string, number>();
  const add = (resource: string, value: number) => sums.set(resource, (sums.get(resource) ?? 0) + value);
  for (const { info } of nodes.value) {
    add("cpu", Number(info.cpu_milli));
    add("memory", Number(info.memory_bytes));
    for (const device of info.devices) add(device.kind, 1000);
  }
  return sums;
});

export const capacityOf = (resource: string): number => capacity.value.get(resource) ?? 0;
