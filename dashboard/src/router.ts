// The address bar holds what is shown: path and query. Links are plain <a href>; clicks stay in the page.
import { signal } from "@preact/signals";

export const path = signal(location.pathname);
export const query = signal(new URLSearchParams(location.search));

function update(): void {
  path.value = location.pathname;
  query.value = new URLSearchParams(location.search);
}

export function go(to: string): void {
  history.pushState(null, "", to);
  update();
  window.scrollTo(0, 0);
}

// Changes one query parameter in place; an empty value removes it.
export function setQuery(name: string, value: string): void {
  const next = new URLSearchParams(location.search);
  if (value) next.set(name, value);
  else next.delete(name);
  const text = next.toString();
  history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
  update();
}

export function startRouter(): void {
  window.addEventListener("popstate", update);
  document.addEventListener("click", (event) => {
    const link = (event.target as Element | null)?.closest("a");
    if (!link || link.origin !== location.origin || event.metaKey || event.ctrlKey || event.button !== 0 || link.target) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
