// AI inventory: every asset that was seen, where it runs, since when, and what is wrong with it.
import { useMemo } from "react";
import { useAsk } from "./api";
import { ago, count, moment } from "./format";
import { Answer, Badge, type Column, Drawer, Empty, Facts, Filter, Panel, SearchField, SPANS, Table, Tag } from "./parts";
import { adjust, link, type Place } from "./route";
import type { Asset, CoverageRow } from "./types";

const KINDS: [string, string][] = [
  ["", "Everything"], ["provider", "Providers"], ["model", "Models"], ["endpoint", "Endpoints"], ["mcp-server", "MCP servers"], ["tool", "Tools"],
  ["vector-store", "Vector stores"], ["key", "Keys"], ["client", "SDKs and clients"], ["library", "TLS libraries"], ["workload", "Workloads"],
];
const GONE = 86_400e3;

export function Inventory({ place }: { place: Place }) {
  const span = place.params.get("span") || "7d";
  const kind = place.params.get("kind") || "";
  const state = place.params.get("state") || "";
  const text = (place.params.get("q") || "").toLowerCase();
  const asked = useAsk<{ assets: Asset[]; cut: number }>(`/inventory?since=${span}`, 30);
  const coverage = useAsk<{ coverage: CoverageRow[] }>("/coverage", 60);
  const rows = useMemo(
    () =>
      (asked.data?.assets ?? []).filter(
        (asset) =>
          (!kind || asset.kind === kind) &&
          (!text || [asset.name, asset.about, ...asset.workloads].some((name) => name.toLowerCase().includes(text))) &&
          (!state || stateOf(asset) === state || (state === "risk" && asset.findings > 0)),
      ),
    [asked.data, kind, text, state],
  );
  const opened = rows.find((asset) => keyOf(asset) === place.params.get("asset"));
  const totals = new Map<string, number>();
  for (const asset of asked.data?.assets ?? []) totals.set(asset.kind, (totals.get(asset.kind) ?? 0) + 1);
  return (
    <>
      <div className="bar">
        <h1>AI inventory</h1>
        <SearchField label="Find" value={place.params.get("q") || ""} change={(q) => adjust({ q })} />
        <Filter label="State" value={state} change={(next) => adjust({ state: next })} options={[["", "Any"], ["new", "New in a day"], ["gone", "Silent for a day"], ["risk", "With findings"]]} />
        <Filter label="Time" value={span} change={(next) => adjust({ span: next })} options={SPANS} />
      </div>
      <div className="chips" role="group" aria-label="Kind of asset">
        {KINDS.filter(([key]) => !key || totals.get(key)).map(([key, name]) => (
          <button key={key} className={key === kind ? "on" : ""} aria-pressed={key === kind} onClick={() => adjust({ kind: key })}>
            {name} <span className="dim">{key ? totals.get(key) : (asked.data?.assets.length ?? "")}</span>
          </button>
        ))}
      </div>
      <Panel title={KINDS.find(([key]) => key === kind)?.[1] ?? "Assets"}>
        <Answer asked={asked} what="Loading the inventory">
          {(answer) => (
            <>
              {!!answer.cut && <p className="warn">{answer.cut} assets more are left out: choose a shorter time.</p>}
              <Table
                name="assets" columns={COLUMNS} rows={rows} id={keyOf} open={(asset) => adjust({ asset: keyOf(asset) })} opened={opened && keyOf(opened)}
                empty={<Empty title={answer.assets.length ? "None fits the filters." : "No AI asset was seen yet."}>{answer.assets.length ? "Take one filter away." : "They appear as soon as something on this host talks to a model."}</Empty>}
              />
            </>
          )}
        </Answer>
      </Panel>
      {opened && (
        <Drawer title={`${opened.kind} ${opened.kind === "workload" ? opened.about || opened.name : opened.name}`} close={() => adjust({ asset: undefined })}>
          <Facts
            rows={[
              ["Name", opened.name], ["About", opened.about], ["First seen", moment(opened.first)], ["Last seen", `${moment(opened.last)} (${ago(opened.last)})`],
              ["Exchanges", count(opened.exchanges)], ["Tokens", `${count(opened.input_tokens)} in, ${count(opened.output_tokens)} out`], ["Errors", count(opened.errors)],
              ["Runs in", opened.workloads.map((name) => <Tag key={name}>{name}</Tag>)],
              ["Risk", opened.severity && <><Badge severity={opened.severity} /> {opened.findings} findings</>],
            ]}
          />
          <p className="actions">
            <a href={link("runtime", "", { q: opened.kind === "workload" ? opened.about : opened.name, span })}>On the map</a>
            {!!opened.findings && <a href={link("threats", "", { view: "findings", q: opened.kind === "workload" ? opened.about : opened.name })}>Its findings</a>}
          </p>
          {opened.kind === "workload" && (
            <Seen rows={(coverage.data?.coverage ?? []).filter((row) => row.workload?.id === opened.name)} />
          )}
        </Drawer>
      )}
    </>
  );
}

function Seen({ rows }: { rows: CoverageRow[] }) {
  if (!rows.length) return null;
  return (
    <>
      <h3>What is seen of it</h3>
      {rows.map((row) => (
        <Facts key={`${row.pid}${row.exe}`} rows={[["Process", `${row.exe} (${row.pid})`], ["Visible", row.visible], ["By", row.library || row.rung], ["Why not more", row.reason], ["What would mend it", row.remedy], ["Writes held", row.held ?? ""]]} />
      ))}
    </>
  );
}

function keyOf(asset: Asset): string {
  return `${asset.kind}|${asset.name}|${asset.about}`;
}

function stateOf(asset: Asset): string {
  if (Date.now() - asset.last > GONE) return "gone";
  return Date.now() - asset.first < GONE ? "new" : "";
}

/** What the first part of a workload's id says. */
const WORKLOADS: Record<string, string> = { exe: "program", systemd: "service of this host", pod: "pod", container: "container" };

const COLUMNS: Column<Asset>[] = [
  { head: "Kind", cell: (a) => <Tag>{a.kind}</Tag>, value: (a) => a.kind },
  { head: "Name", cell: (a) => (a.kind === "workload" ? a.about || a.name : a.kind === "key" ? <code title={a.name}>…{a.name.slice(-8)}</code> : a.name), value: (a) => a.name, wide: true },
  { head: "About", cell: (a) => (a.kind === "workload" ? WORKLOADS[a.name.split(":")[0]!] ?? "" : a.about), value: (a) => a.about, wide: true },
  { head: "Runs in", cell: (a) => a.kind !== "workload" && <>{a.workloads.slice(0, 2).join(", ")}{a.workloads.length > 2 && <span className="dim"> +{a.workloads.length - 2}</span>}</>, value: (a) => a.workloads.join(" "), wide: true },
  { head: "Exchanges", cell: (a) => count(a.exchanges), value: (a) => a.exchanges, number: true },
  { head: "Tokens", cell: (a) => count(a.input_tokens + a.output_tokens), value: (a) => a.input_tokens + a.output_tokens, number: true },
  { head: "First seen", cell: (a) => <><time>{moment(a.first)}</time> {stateOf(a) === "new" && <Tag kind="new">new</Tag>}</>, value: (a) => a.first },
  { head: "Last seen", cell: (a) => <>{ago(a.last)} {stateOf(a) === "gone" && <Tag>silent</Tag>}</>, value: (a) => a.last },
  { head: "Content", cell: (a) => a.visible.map((seen) => <Tag key={seen}>{seen}</Tag>), value: (a) => a.visible.join(" ") },
  { head: "Risk", cell: (a) => a.severity && <><Badge severity={a.severity} /> <span className="dim">{a.findings}</span></>, value: (a) => a.findings },
];
