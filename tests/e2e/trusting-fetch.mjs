// fetch over node:https that trusts one CA and no other: what a service sets with NODE_EXTRA_CA_CERTS, for a CA made during the test.
import https from "node:https";
import { Readable } from "node:stream";

export class Agent extends https.Agent {
  constructor(ca) {
    super({ ca, keepAlive: true });
  }
}

export const fetch = (agent) => (url, init = {}) =>
  new Promise((resolve, reject) => {
    const headers = Object.fromEntries(new Headers(init.headers));
    const request = https.request(url, { agent, method: init.method ?? "GET", headers, signal: init.signal ?? undefined }, (response) => {
      const body = response.statusCode === 204 ? null : Readable.toWeb(response);
      resolve(new Response(body, { status: response.statusCode, headers: Object.entries(response.headers).map(([name, value]) => [name, String(value)]) }));
    });
    request.on("error", reject);
    request.end(init.body);
  });
