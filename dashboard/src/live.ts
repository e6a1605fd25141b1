// What the whole page knows, kept current by one server-sent stream per browser (worker.ts), shared among its tabs.
import { signal } from "@preact/signals";
import { get, ApiError, type Endpoint, type FabricNode, type Job, type Me } from "./api";
import workerUrl from "./worker?sharedworker&url";

export const me = signal<Me | null | undefined>(undefined); // undefined: not known yet; null: not logged in
export const jobs = signal<Job[]>([]);
export const jobsLeftOut = signal<number>(0); // older ones, that the list does not hold
export const nodes = signal<FabricNode[]>([]);
export const endpoints = signal<Endpoint[]>([]);
export const lastUpdate = signal<number>(0);
export const connected = signal<boolean>(false);

export type Message =
  | { type: "jobs" | "nodes" | "endpoints"; data: string }
  | { type: "alive" | "lost" | "logout" };

function receive(message: Message): void {
  switch (message.type) {
    case "jobs": {
      const list = JSON.parse(message.data);
      jobs.value = list.jobs ?? [];
      jobsLeftOut.value = Number(list.num_more ?? 0);
      break;
    }
    case "nodes":
      nodes.value = JSON.parse(message.data).nodes ?? [];
      break;
    case "endpoints":
      endpoints.value = JSON.parse(message.data).endpoints ?? [];
      break;
    case "logout":
      me.value = null;
      return;
    case "lost":
      connected.value = false;
      return;
    case "alive":
      break;
  }
  connected.value = true;
  lastUpdate.value = Date.now();
}

// The policy named in the page's Content-Security-Policy: only this site's own worker becomes a script.
const policy = (window as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): unknown } } })
  .trustedTypes?.createPolicy("app", {
    createScriptURL: (url: string) => {
      if (url !== workerUrl) throw new TypeError(`not this site's worker: ${url}`);
      return url;
    },
  });

let worker: SharedWorker | null = null;

export function connect(): void {
  if (worker) return;
  const url = (policy ? policy.createScriptURL(workerUrl) : workerUrl) as string;
  worker = new SharedWorker(url, { type: "module" });
  worker.port.onmessage = (event: MessageEvent<Message>) => receive(event.data);
  worker.port.start();
  worker.port.postMessage("connect");
  window.addEventListener("pagehide", () => worker?.port.postMessage("bye"));
}

export async function identify(): Promise<void> {
  try {
    me.value = await get<Me>("/me");
    connect();
  } catch (error) {
    me.value = error instanceof ApiError && error.status === 401 ? null : undefined;
    if (me.value === undefined) window.setTimeout(identify, 1000);
  }
}
