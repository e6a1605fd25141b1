// The clients that users bring to the gateway: npm's openai over HTTP, grpc-js over mutual TLS.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { sourceFile } from "./fabric.mjs";

export async function openaiClient(fabric, apiKey) {
  const { default: OpenAI } = await import("openai");
  const { Agent, fetch } = await import("./trusting-fetch.mjs");
  return new OpenAI({ baseURL: `${fabric.client.gateway_http}/v1`, apiKey, maxRetries: 0, fetch: fetch(new Agent(fabric.ca)) });
}

// With the certificate that `oneai up` made for this user.
export const ownCredentials = (fabric) =>
  grpc.credentials.createSsl(fabric.ca, readFileSync(fabric.client.private_key), readFileSync(fabric.client.certificate));

export function inferenceClient(fabric, credentials) {
  const definition = loadSync("oneai/inference/v1/inference.proto", { includeDirs: [sourceFile("proto")], keepCase: true, longs: String, enums: String });
  const Service = grpc.loadPackageDefinition(definition).oneai.inference.v1.InferenceService;
  return new Service(fabric.client.gateway_grpc, credentials);
}

export function bearer(token) {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return metadata;
}

// All messages of a stream.
export function collect(call) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    call.on("data", (chunk) => chunks.push(chunk));
    call.on("error", reject);
    call.on("end", () => resolve(chunks));
  });
}
