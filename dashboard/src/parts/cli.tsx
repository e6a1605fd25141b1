// The same by command line: every page says how.
export function Cli({ command }: { command: string }) {
  return (
    <p class="cli">
      <span>CLI</span> <code>{command}</code>
    </p>
  );
}
