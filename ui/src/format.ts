// Numbers and times as people read them.

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) < 10_000) return Math.round(value).toLocaleString("en");
  const units = ["k", "M", "G", "T"];
  let at = -1;
  let rest = value;
  while (Math.abs(rest) >= 1000 && at < units.length - 1) {
    rest /= 1000;
    at += 1;
  }
  return `${rest.toFixed(rest < 100 ? 1 : 0)} ${units[at]}`;
}

export function bytes(value: number | null | undefined): string {
  if (!value) return "0 B";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const at = Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  const rest = value / 1000 ** at;
  return `${rest < 10 && at ? rest.toFixed(1) : Math.round(rest)} ${units[at]}`;
}

export function moment(value: string | number): string {
  if (!value) return "–";
  const date = new Date(value);
  const today = new Date().toDateString() === date.toDateString();
  const time = date.toLocaleTimeString("en-GB");
  return today ? time : `${date.toLocaleDateString("en-CA")} ${time}`;
}

export function ago(value: string | number): string {
  if (!value) return "–";
  const seconds = Math.max(0, (Date.now() - new Date(value).getTime()) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** How long seconds are. */
export function span(seconds: number): string {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

export function several(count: number, one: string): string {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

export function base(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function csv(heads: string[], rows: unknown[][]): string {
  // A cell that a spreadsheet would take for a formula is quoted with an apostrophe (OWASP, CSV injection).
  const cell = (value: unknown) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text))) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [heads, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
