// A state as shape and word: never by colour alone.
const looks: Record<string, [string, string]> = {
  PENDING: ["◔", "wait"], STARTING: ["◑", "wait"], RUNNING: ["▶", "good"], STOPPING: ["◒", "wait"], BACKOFF: ["↻", "warn"],
  SUCCEEDED: ["✓", "good"], FAILED: ["✕", "bad"], CANCELLED: ["⊘", "idle"],
  TASK_ASSIGNED: ["◑", "wait"], TASK_RUNNING: ["▶", "good"], TASK_EXITED: ["■", "idle"], TASK_LOST: ["✕", "bad"], TASK_STOPPING: ["◒", "wait"],
  READY: ["●", "good"], CORDONED: ["⊘", "warn"], LOST: ["✕", "bad"], NOT_READY: ["!", "warn"],
  DRAINING: ["◒", "warn"], DRAINED: ["○", "idle"],
  DEPLOYING: ["◑", "wait"], SERVING: ["●", "good"], DEGRADED: ["!", "warn"], UNAVAILABLE: ["✕", "bad"], DELETING: ["◒", "wait"],
};

export function State({ name }: { name: string }) {
  const [shape, tone] = looks[name] ?? ["?", "idle"];
  const word = name.replace(/^TASK_/, "").replaceAll("_", " ").toLowerCase();
  return (
    <span class={`state ${tone}`}>
      <span aria-hidden="true">{shape}</span> {word}
    </span>
  );
}
