import { amount } from "../format";
import { capacityOf } from "../kinds";
import type { ResourceUse } from "../queue_tree";

// What is used as a bar: the own part full, the borrowed part half as high, a line at nominal, a thick one at the limit.
// A queue without either is drawn against all that the nodes have. The numbers stand beside it; the bar says them again
// for those who do not see it.
export function UseBar({ name, use }: { name: string; use: ResourceUse }) {
  const borrowed = use.borrowed ?? 0;
  const own = use.used - borrowed;
  const unbounded = use.nominal === undefined && use.limit === undefined;
  const capacity = unbounded ? capacityOf(use.resource) : 0;
  const whole = Math.max(use.used, use.nominal ?? 0, use.limit ?? 0, capacity, 1);
  const part = (value: number): number => (100 * value) / whole;
  const text = [
    `${name}: ${amount(use.resource, use.used)} used`,
    use.nominal !== undefined && `${amount(use.resource, use.nominal)} nominal`,
    borrowed > 0 && `${amount(use.resource, borrowed)} borrowed`,
    use.limit !== undefined && `${amount(use.resource, use.limit)} limit`,
    capacity > 0 && `${amount(use.resource, capacity)} in the fabric`,
  ].filter(Boolean).join(", ");
  return (
    <svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" role="img" aria-label={text}>
      <rect class="own" x="0" y="1" width={part(own)} height="10" />
      <rect class="borrowed" x={part(own)} y="6" width={part(borrowed)} height="5" />
      {use.nominal !== undefined && <line class="nominal" x1={part(use.nominal)} x2={part(use.nominal)} y1="0" y2="12" />}
      {use.limit !== undefined && <line class="limit" x1={part(use.limit)} x2={part(use.limit)} y1="0" y2="12" />}
    </svg>
  );
}
