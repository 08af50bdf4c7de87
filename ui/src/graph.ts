// From the map's answer to what is drawn: nodes in columns, edges between them, both grouped when there are many.
import { base } from "./format";
import type { Connection, MapAnswer, Severity } from "./types";
import { SEVERITIES } from "./types";

export type Layer = "3" | "4" | "7";
export type Kind = "group" | "workload" | "service" | "database" | "host" | "port" | "model" | "tool";

export interface Node { id: string; kind: Kind; name: string; about: string; column: number; weight: number; severity: Severity | ""; provider: string; members: number }
export interface Edge {
  id: string; from: string; to: string; weight: number; label: string; severity: Severity | ""; kinds: string[]; errors: number;
  /** What it stands for, to ask for its exchanges or flows. */
  workload: string; workloads: number; domain: string; model: string; provider: string; layer: Layer; amount: string; last: number;
}
export interface Drawing { nodes: Node[]; edges: Edge[]; workloads: number; hidden: number }

const MANY = 40;
const MANY_SERVICES = 24;
const DATABASES: Record<number, string> = {
  5432: "PostgreSQL", 3306: "MySQL", 6379: "Redis", 27017: "MongoDB", 9200: "Elasticsearch", 6333: "Qdrant", 19530: "Milvus", 1433: "SQL Server", 9042: "Cassandra",
};

/** Workloads of a namespace, of an image's folder, of a kind. */
function groupOf(id: string): string {
  const [kind = "", rest = ""] = [id.slice(0, id.indexOf(":")), id.slice(id.indexOf(":") + 1)];
  if (kind === "pod") return `namespace ${rest.split("/")[0]}`;
  if (kind === "container") return "containers";
  if (kind === "systemd") return "services of this host";
  const path = rest.slice(rest.lastIndexOf(":/") + 1); // a script's rather than its interpreter's
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  return `programs in ${folder}`;
}

/** Is it an address of a private network (RFC 1918, RFC 4193, loopback, link-local)? */
function inside(address: string): boolean {
  return /^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|\[?(fd|fc|fe80|::1))/.test(address);
}

/** The different `of` of the rows that have the same `by`. A group of one is not worth folding. */
function gathered<T>(rows: T[], by: (row: T) => string, of: (row: T) => string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const row of rows) found.set(by(row), (found.get(by(row)) ?? new Set()).add(of(row)));
  return found;
}

function addressOf(c: Connection): string {
  return c.dst.replace(/:\d+$/, "");
}

/** Where a connection leads: name and port, or on layer 3 the address. */
function placeOf(c: Connection, layers: Set<Layer>): string {
  return layers.has("4") ? `${c.place}:${c.port}` : addressOf(c);
}

/** The group that a place is folded into when there are many. */
function groupOfPlace(c: Connection, layers: Set<Layer>): string {
  const where = DATABASES[c.port] ?? (inside(addressOf(c)) ? "inside" : "outside");
  return layers.has("4") ? `${where}, port ${c.port}` : where;
}

function worse(a: Severity | "", b: Severity | ""): Severity | "" {
  return SEVERITIES.indexOf(b as Severity) > SEVERITIES.indexOf(a as Severity) ? b : a;
}

export function draw(answer: MapAnswer, layers: Set<Layer>, opened: Set<string>, filter: string, human: (n: number, layer: Layer) => string): Drawing {
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Edge>();
  const wanted = filter.toLowerCase();
  const fits = (...names: string[]) => !wanted || names.some((name) => name.toLowerCase().includes(wanted));
  const conversations = layers.has("7") ? answer.conversations.filter((c) => fits(c.workload, c.domain, c.provider, c.model)) : [];
  const connections = layers.has("4") || layers.has("3") ? answer.connections.filter((c) => c.l7 !== "dns" && fits(c.workload, c.place, c.dst)) : [];
  const all = new Set([...conversations, ...connections].map((c) => c.workload_id));
  const grouped = all.size > MANY;
  const alike = gathered([...all], groupOf, (id) => id);
  const risks = new Map<string, Severity | "">();
  for (const f of answer.findings) {
    for (const key of [`${f.workload_id}\n${f.destination}`, `${f.workload_id}\n`]) risks.set(key, worse(risks.get(key) ?? "", f.severity));
  }
  const kinds = new Map<string, Set<string>>();
  for (const d of answer.data) {
    if (d.side === "response") continue;
    const key = `${d.workload_id}\n${d.domain}`;
    kinds.set(key, (kinds.get(key) ?? new Set()).add(d.kind));
  }
  const services = new Set(conversations.map((c) => `${c.provider}\n${c.domain}`));
  const models = new Set(conversations.map((c) => c.model));
  const domainsOf = gathered(conversations, (c) => c.provider, (c) => c.domain);
  const modelsOf = gathered(conversations.filter((c) => c.model), (c) => c.provider, (c) => c.model);
  const members = new Map<string, Set<string>>();

  const node = (id: string, kind: Kind, name: string, column: number, about = "", provider = ""): Node => {
    let found = nodes.get(id);
    if (!found) nodes.set(id, (found = { id, kind, name, about, column, weight: 0, severity: "", provider, members: 0 }));
    return found;
  };
  const workload = (id: string, name: string, exe: string): Node => {
    const group = groupOf(id);
    const folded = grouped && alike.get(group)!.size > 1 && !opened.has(group);
    const key = folded ? `group:${group}` : `workload:${id}`;
    const found = folded ? node(key, "group", group, 0) : node(key, "workload", name || base(exe) || id, 0, grouped ? group : id);
    members.set(key, (members.get(key) ?? new Set()).add(id));
    found.severity = worse(found.severity, risks.get(`${id}\n`) ?? "");
    return found;
  };
  const edge = (from: Node, to: Node, amount: number, layer: Layer, more: Partial<Edge>): void => {
    const id = `${from.id}→${to.id}→${layer}`;
    let found = edges.get(id);
    if (!found)
      edges.set(id, (found = { id, from: from.id, to: to.id, weight: 0, label: `${from.name} → ${to.name}`, severity: "", kinds: [], errors: 0, workload: "", workloads: 0, domain: "", model: "", provider: "", layer, amount: "", last: 0, ...more }));
    found.weight += amount;
    found.errors += more.errors ?? 0;
    found.last = Math.max(found.last, more.last ?? 0);
    found.severity = worse(found.severity, more.severity ?? "");
    for (const kind of more.kinds ?? []) if (!found.kinds.includes(kind)) found.kinds.push(kind);
    if (more.workload !== undefined && found.workload !== more.workload) found.workload = "";
    from.weight += amount;
    to.weight += amount;
    to.severity = worse(to.severity, more.severity ?? "");
  };

  if (layers.has("7")) {
    for (const c of conversations) {
      const from = workload(c.workload_id, c.workload, c.exe);
      const key = `${c.workload_id}\n${c.domain}`;
      const severity = risks.get(key) ?? "";
      const found = [...(kinds.get(key) ?? [])];
      const fold = services.size > MANY_SERVICES && domainsOf.get(c.provider)!.size > 1 && !opened.has(`services of ${c.provider}`);
      const service = fold
        ? node(`group:service:${c.provider}`, "group", `services of ${c.provider}`, 1, c.provider, c.provider)
        : node(`service:${c.provider}:${c.domain}`, "service", /^[\d.:[\]]*$/.test(c.domain) ? `${c.provider} at ${c.domain || c.dst}` : c.domain, 1, c.provider, c.provider);
      if (fold) members.set(service.id, (members.get(service.id) ?? new Set()).add(c.domain));
      const facts = { workload: c.workload_id, domain: c.domain, provider: c.provider, errors: c.errors, last: c.last, severity, kinds: found };
      edge(from, service, c.exchanges, "7", facts);
      const folded = models.size > MANY_SERVICES && (modelsOf.get(c.provider)?.size ?? 0) > 1 && !opened.has(`models of ${c.provider}`);
      const model = !c.model ? undefined : folded ? node(`group:model:${c.provider}`, "group", `models of ${c.provider}`, 2, c.provider, c.provider) : node(`model:${c.model}`, "model", c.model, 2, c.provider, c.provider);
      if (model && folded) members.set(model.id, (members.get(model.id) ?? new Set()).add(c.model));
      if (model) edge(service, model, c.exchanges, "7", { ...facts, severity: "", kinds: [], model: c.model });
    }
    const byDomain = new Map([...nodes.values()].filter((n) => n.kind === "service").map((n) => [n.id.slice(`service:${n.provider}:`.length), n]));
    for (const t of answer.tools) {
      if (!t.tool || !fits(t.tool, t.domain)) continue;
      const service = byDomain.get(t.domain);
      if (service) edge(service, node(`tool:${t.tool}`, "tool", t.tool, 2, "tool"), t.calls, "7", { workload: t.workload_id, domain: t.domain });
    }
  }
  if (layers.has("4") || layers.has("3")) {
    const places = new Set(connections.map((c) => placeOf(c, layers)));
    const together = gathered(connections, (c) => groupOfPlace(c, layers), (c) => placeOf(c, layers));
    for (const c of connections) {
      if (layers.has("7") && answer.conversations.some((x) => x.workload_id === c.workload_id && x.domain === c.place)) continue;
      const from = workload(c.workload_id, c.workload, c.exe);
      const database = DATABASES[c.port];
      const address = addressOf(c);
      const place = groupOfPlace(c, layers);
      const fold = places.size > MANY && together.get(place)!.size > 1 && !opened.has(place);
      const name = fold ? place : placeOf(c, layers);
      const about = layers.has("4") ? [database, c.proto, c.l7].filter(Boolean).join(" ") : c.place === address ? "no name" : c.place;
      const to = fold ? node(`group:host:${name}`, "group", name, 1, about, "") : node(`host:${name}`, database ? "database" : layers.has("4") ? "port" : "host", name, 1, about, c.provider);
      if (fold) members.set(to.id, (members.get(to.id) ?? new Set()).add(`${c.place}:${c.port}`));
      edge(from, to, c.flows, layers.has("4") ? "4" : "3", { workload: c.workload_id, domain: c.place, provider: c.provider, last: c.last, severity: risks.get(`${c.workload_id}\n${c.place}`) ?? "" });
    }
  }
  for (const [key, found] of members) {
    const one = nodes.get(key);
    if (one) one.members = found.size;
  }
  for (const one of edges.values()) {
    one.workloads = members.get(one.from)?.size ?? 1;
    one.amount = human(one.weight, one.layer);
  }
  return { nodes: [...nodes.values()], edges: [...edges.values()], workloads: all.size, hidden: answer.cut };
}

/** Between two nodes of a full column, one above the other. */
export const ROW = 52;

/** Where each node stands: columns from left to right; within one, ordered so that edges cross little. wide: how much wider than
 * high all of it may be. */
export function places(drawing: Drawing, wide: number): Map<string, { x: number; y: number }> {
  const columns = [0, 1, 2].map((column) => drawing.nodes.filter((node) => node.column === column).sort((a, b) => b.weight - a.weight || a.name.localeCompare(b.name)));
  const rank = new Map<string, number>();
  columns.forEach((nodes) => nodes.forEach((node, at) => rank.set(node.id, at / Math.max(1, nodes.length))));
  const near = new Map<string, { sum: number; weight: number }>();
  for (let round = 0; round < 3; round += 1) {
    for (const column of [1, 2, 0]) {
      near.clear();
      const inside = new Set(columns[column]!.map((node) => node.id));
      for (const edge of drawing.edges) {
        const weight = Math.log2(edge.weight + 2);
        for (const [here, there] of [[edge.from, edge.to], [edge.to, edge.from]] as const) {
          if (!inside.has(here)) continue;
          const sum = near.get(here) ?? { sum: 0, weight: 0 };
          sum.sum += (rank.get(there) ?? 0.5) * weight;
          sum.weight += weight;
          near.set(here, sum);
        }
      }
      const key = (node: Node) => (near.get(node.id) ? near.get(node.id)!.sum / near.get(node.id)!.weight : 1);
      columns[column]!.sort((a, b) => key(a) - key(b) || b.weight - a.weight || a.name.localeCompare(b.name));
      columns[column]!.forEach((node, at) => rank.set(node.id, at / Math.max(1, columns[column]!.length)));
    }
  }
  const found = new Map<string, { x: number; y: number }>();
  const tallest = Math.max(1, ...columns.map((nodes) => nodes.length));
  const height = Math.max(360, tallest * ROW);
  const across = (height * wide) / (columns[2]!.length ? 2 : 1);
  columns.forEach((nodes, column) => {
    const gap = height / (nodes.length + 1);
    nodes.forEach((node, at) => found.set(node.id, { x: column * across, y: gap * (at + 1) }));
  });
  return found;
}
