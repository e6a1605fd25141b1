// Numbers and times as people read them.
function span(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function age(iso: string | undefined, now = Date.now()): string {
  if (!iso || iso.startsWith("1970")) return "–";
  return span(Math.max(0, Math.round((now - Date.parse(iso)) / 1000)));
}

// An instant and how far away it is: "24 Nov, 09:30 (in 3 h)". `unixMs` 0: none.
export function instant(unixMs: string | number, now = Date.now()): string {
  const at = Number(unixMs);
  if (at <= 0) return "–";
  const seconds = Math.round((at - now) / 1000);
  const day = new Date(at).toLocaleString("en", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
  return `${day} (${seconds >= 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`})`;
}

export function bytes(value: string | number): string {
  let amount = Number(value);
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`;
}

export const count = (value: string | number): string => Number(value).toLocaleString("en");
export const cores = (milli: string | number): string => (Number(milli) / 1000).toLocaleString("en");
export const clock = (iso: string): string => new Date(iso).toLocaleTimeString();

// An amount of a resource in the unit people use: cores, bytes, devices.
export const amount = (resource: string, value: number): string =>
  resource === "memory" ? bytes(value) : (value / 1000).toLocaleString("en", { maximumFractionDigits: 3 });
export const hours = (seconds: number): string =>
  (seconds / 3600).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const money = (value: number): string => value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
