// One stream for all tabs: browsers allow six connections to a site over HTTP/1.1, and a stream keeps one for ever.
import type { Message } from "./live";

const ports = new Set<MessagePort>();
const latest = new Map<string, Message>();
let source: EventSource | null = null;

function broadcast(message: Message): void {
  if ("data" in message) latest.set(message.type, message);
  for (const port of ports) port.postMessage(message);
}

function open(): void {
  source?.close();
  source = new EventSource("/api/v1/stream");
  for (const topic of ["jobs", "nodes", "endpoints"] as const) {
    source.addEventListener(topic, (event) => broadcast({ type: topic, data: (event as MessageEvent<string>).data }));
  }
  source.addEventListener("logout", () => {
    source?.close();
    source = null;
    latest.clear();
    broadcast({ type: "logout" });
  });
  source.onopen = () => broadcast({ type: "alive" });
  source.onerror = () => {
    broadcast({ type: "lost" });
    // A refused stream (the controller restarts, say) is closed by the browser for good: open it again.
    if (source?.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(() => ports.size > 0 && !source && open(), 1000);
    }
  };
}

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (!port) return;
  port.onmessage = (message: MessageEvent<string>) => {
    if (message.data === "bye") {
      ports.delete(port);
      return;
    }
    ports.add(port);
    for (const known of latest.values()) port.postMessage(known);
    if (!source) open();
  };
  port.start();
});
