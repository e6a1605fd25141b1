import type { ComponentChildren } from "preact";

// Names and what they are; those that are empty are left out.
export function Facts({ facts }: { facts: [string, ComponentChildren][] }) {
  const given = facts.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  if (given.length === 0) return null;
  return (
    <dl class="facts">
      {given.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
