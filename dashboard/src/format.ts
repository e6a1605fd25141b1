// Numbers and times as people read them.
export function age(iso: string | undefined, now = Date.now()): string {
  if (!iso || iso.startsWith("1970")) return "–";
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
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
