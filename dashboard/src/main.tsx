import { render } from "preact";
import { effect } from "@preact/signals";
import "uplot/dist/uPlot.min.css";
import "./style.css";
import { post } from "./api";
import { connected, identify, lastUpdate, me } from "./live";
import { path, startRouter } from "./router";
import { Login } from "./pages/login";
import { Overview } from "./pages/overview";
import { ArrayDetail, JobDetail, JobList } from "./pages/jobs";
import { Nodes } from "./pages/nodes";
import { Queues } from "./pages/queues";
import { Endpoints } from "./pages/endpoints";
import { Models } from "./pages/models";
import { Data } from "./pages/data";
import { Audit } from "./pages/audit";

const sections: [string, string][] = [
  ["/", "Overview"],
  ["/jobs", "Jobs"],
  ["/queues", "Queues"],
  ["/nodes", "Nodes"],
  ["/endpoints", "Endpoints"],
  ["/models", "Models"],
  ["/data", "Data"],
  ["/audit", "Audit"],
];

function Page() {
  const at = path.value;
  if (at === "/") return <Overview />;
  if (at === "/jobs") return <JobList />;
  if (at.startsWith("/jobs/array-")) return <ArrayDetail key={at} id={decodeURIComponent(at.slice(6))} />;
  if (at.startsWith("/jobs/")) return <JobDetail key={at} id={decodeURIComponent(at.slice(6))} />;
  if (at === "/queues") return <Queues />;
  if (at === "/nodes") return <Nodes />;
  if (at === "/endpoints") return <Endpoints />;
  if (at === "/models") return <Models />;
  if (at === "/data") return <Data />;
  if (at === "/audit") return <Audit />;
  return <p>There is no page {at}.</p>;
}

function isCurrent(href: string): boolean {
  return href === "/" ? path.value === "/" : path.value.startsWith(href);
}

async function logout() {
  await post("/logout");
  location.reload();
}

function App() {
  if (me.value === undefined) return <p class="wait">Asking the controller…</p>;
  if (me.value === null) return <Login />;
  return (
    <>
      <header>
        <a class="brand" href="/">oneai</a>
        <nav aria-label="Sections">
          {sections.map(([href, name]) => (
            <a key={href} href={href} aria-current={isCurrent(href) ? "page" : undefined}>{name}</a>
          ))}
        </nav>
        <span class="who">
          {me.value.principal.name} <button type="button" onClick={logout}>Log out</button>
        </span>
      </header>
      {!connected.value && lastUpdate.value > 0 && (
        <p class="banner" role="alert">
          The controller does not answer; what you see is from {new Date(lastUpdate.value).toLocaleTimeString()}. Trying again…
        </p>
      )}
      <main class={connected.value ? "" : "stale"}>
        <Page />
      </main>
    </>
  );
}

startRouter();
void identify();
effect(() => {
  const name = sections.find(([href]) => isCurrent(href))?.[1] ?? "oneai";
  document.title = `${name} · oneai`;
});
render(<App />, document.getElementById("app") as HTMLElement);
