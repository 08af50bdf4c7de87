// AI runtime activity: the live map with its layers and its past, and what is behind each edge.
import { useCallback, useEffect, useMemo, useState } from "react";
import { query, useAsk, useChanges } from "./api";
import { ago, bytes, count, moment } from "./format";
import { draw, type Edge, type Layer, type Node } from "./graph";
import { CommunicationMap } from "./map";
import { Answer, Badge, type Column, Drawer, Empty, Facts, Filter, Paged, Panel, SearchField, SPANS, Table, Tag } from "./parts";
import { adjust, link, type Place } from "./route";
import { ExchangeView } from "./shared";
import type { Exchange, Flow, MapAnswer } from "./types";

const LAYERS: [Layer, string, string][] = [
  ["7", "Layer 7", "requests, models and data"],
  ["4", "Layer 4", "ports, protocols and sessions"],
  ["3", "Layer 3", "addresses and routing"],
];
const MS: Record<string, number> = { "15m": 900e3, "1h": 3600e3, "24h": 86_400e3, "7d": 604_800e3, "30d": 2_592_000e3 };

export function Runtime({ place, theme }: { place: Place; theme: string }) {
  const span = place.params.get("span") || "24h";
  const filter = place.params.get("q") || "";
  const layers = useMemo(() => new Set((place.params.get("layers") || "7").split("") as Layer[]), [place.params]);
  const at = Number(place.params.get("at") || 0); // the past: minutes before now, 0 is live
  const chosen = place.params.get("edge") || "";
  const [opened, setOpened] = useState(new Set<string>());
  const [picked, setPicked] = useState<Node | null>(null);
  const news = useChanges(["exchange", "finding", ...(layers.has("7") && layers.size === 1 ? [] : ["flow"])]);
  const until = useMemo(() => (at ? new Date(Date.now() - at * 60_000).toISOString() : ""), [at]);
  const since = at ? new Date(new Date(until).getTime() - Math.max(60e3, (MS[span] ?? 86_400e3) / 24)).toISOString() : span;
  const asked = useAsk<MapAnswer>(`/map${query({ since, until })}`, at ? 0 : 30);
  useEffect(() => {
    if (!at && news) asked.again();
  }, [news]); // eslint-disable-line
  const drawing = useMemo(
    () => (asked.data ? draw(asked.data, layers, opened, filter, (n, layer) => (layer === "7" ? `${count(n)} exchanges` : `${count(n)} sessions`)) : undefined),
    [asked.data, layers, opened, filter],
  );
  const edge = drawing?.edges.find((one) => one.id === chosen);
  const close = useCallback(() => {
    setPicked(null);
    adjust({ edge: undefined, x: undefined });
  }, []);
  const toggle = (layer: Layer) => {
    const next = new Set(layers);
    if (next.has(layer)) next.delete(layer);
    else next.add(layer);
    adjust({ layers: [...(next.size ? next : new Set(["7"]))].join("") });
  };
  const pickNode = useCallback((node: Node) => {
    if (node.kind === "group") setOpened((old) => new Set(old).add(node.name));
    else setPicked(node);
  }, []);
  const pickEdge = useCallback((one: Edge) => adjust({ edge: one.id, x: undefined }), []);
  return (
    <>
      <div className="bar">
        <h1>AI runtime activity</h1>
        <fieldset className="layers">
          <legend className="hidden">Layers</legend>
          {LAYERS.map(([layer, name, what]) => (
            <button key={layer} className={layers.has(layer) ? "on" : ""} aria-pressed={layers.has(layer)} title={what} onClick={() => toggle(layer)}>
              {name}
            </button>
          ))}
        </fieldset>
        <SearchField label="Find" value={filter} change={(q) => adjust({ q })} />
        <Filter label="Time" value={span} change={(next) => adjust({ span: next, at: undefined })} options={SPANS} />
        {drawing?.nodes.some((node) => node.kind === "group") && (
          <button onClick={() => setOpened((old) => new Set([...old, ...drawing.nodes.filter((node) => node.kind === "group").map((node) => node.name)]))}>Open groups</button>
        )}
        {!!opened.size && <button onClick={() => setOpened(new Set())}>Fold groups</button>}
      </div>
      <TimeSlider span={span} at={at} />
      <Answer asked={asked} what="Drawing the map">
        {() =>
          drawing && drawing.nodes.length ? (
            <>
              <CommunicationMap drawing={drawing} theme={theme} selected={chosen || picked?.id || ""} pickEdge={pickEdge} pickNode={pickNode} />
              <Legend drawing={drawing.workloads} hidden={drawing.hidden} />
              <Panel title="The same as a table">
                <Table name="connections" columns={EDGES} rows={drawing.edges} id={(one) => one.id} open={pickEdge} opened={chosen} empty={null} />
              </Panel>
            </>
          ) : filter ? (
            <Empty title={`Nothing here is called “${filter}”.`}>Another name, or a longer time?</Empty>
          ) : (
            <Empty title={at ? "Nothing was seen in this time." : "No AI communication yet."}>
              As soon as a program on this host talks to a model it appears here. Try one, or run <code>leeward demo</code>.
            </Empty>
          )
        }
      </Answer>
      {edge && <EdgeDrawer edge={edge} close={close} exchange={place.params.get("x") || ""} since={since} until={until} />}
      {!edge && picked && <NodeDrawer node={picked} close={close} edges={drawing?.edges ?? []} />}
    </>
  );
}

const EDGES: Column<Edge>[] = [
  { head: "From and to", cell: (e) => e.label, value: (e) => e.label, wide: true },
  { head: "Provider", cell: (e) => e.provider, value: (e) => e.provider },
  { head: "Traffic", cell: (e) => e.amount, value: (e) => e.weight, number: true },
  { head: "Sensitive data", cell: (e) => <Kinds of={e.kinds} />, value: (e) => e.kinds.join(" ") },
  { head: "Risk", cell: (e) => <Badge severity={e.severity} />, value: (e) => e.severity },
  { head: "Errors", cell: (e) => count(e.errors), value: (e) => e.errors, number: true },
  { head: "Last", cell: (e) => ago(e.last), value: (e) => e.last },
];

/** Kinds of sensitive data, the first three by name. */
function Kinds({ of }: { of: string[] }) {
  return (
    <>
      {of.slice(0, 3).map((kind) => <Tag key={kind} kind="data">{kind}</Tag>)}
      {of.length > 3 && <span className="dim">+{of.length - 3}</span>}
    </>
  );
}

function Legend({ drawing, hidden }: { drawing: number; hidden: number }) {
  return (
    <p className="map-legend">
      <span><i className="dot n-workload" /> workload</span>
      <span><i className="dot n-service" /> AI service</span>
      <span><i className="dot n-model" /> model</span>
      <span><i className="dot n-tool" /> tool</span>
      <span><i className="dot n-database" /> database</span>
      <span><i className="dot n-port" /> other place</span>
      <span>width is traffic, colour is the worst finding, ● is sensitive data</span>
      {drawing > 40 && <span>{drawing} workloads, in groups: click one to open it</span>}
      {!!hidden && <span className="warn">{hidden} rows more are left out: choose a shorter time</span>}
    </p>
  );
}

function TimeSlider({ span, at }: { span: string; at: number }) {
  const minutes = Math.round((MS[span] ?? 86_400e3) / 60_000);
  const [drag, setDrag] = useState<number | null>(null);
  const [playing, setPlaying] = useState(false);
  const shown = drag ?? at;
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => {
      const next = Math.max(0, at - Math.max(1, Math.round(minutes / 60)));
      adjust({ at: next ? String(next) : undefined });
      if (!next) setPlaying(false);
    }, 1000);
    return () => clearInterval(timer);
  }, [playing, at, minutes]);
  const set = (value: number) => {
    setDrag(null);
    adjust({ at: value ? String(value) : undefined });
  };
  return (
    <div className="slider">
      <button aria-pressed={playing} onClick={() => (at ? setPlaying(!playing) : (adjust({ at: String(minutes) }), setPlaying(true)))}>{playing ? "Pause" : "Replay"}</button>
      <label htmlFor="when" className="hidden">Minutes before now</label>
      <input
        id="when" type="range" min={0} max={minutes} step={Math.max(1, Math.round(minutes / 200))} value={minutes - shown}
        aria-valuetext={shown ? `${shown} minutes before now` : "now"}
        onChange={(event) => setDrag(minutes - Number(event.target.value))}
        onPointerUp={() => drag !== null && set(drag)}
        onKeyUp={() => drag !== null && set(drag)}
      />
      <output>{shown ? moment(Date.now() - shown * 60_000) : "live"}</output>
      {!!at && <button onClick={() => set(0)}>Live</button>}
    </div>
  );
}

function EdgeDrawer({ edge, close, exchange, since, until }: { edge: Edge; close: () => void; exchange: string; since: string; until: string }) {
  const workload = edge.from.startsWith("workload:") ? edge.from.slice("workload:".length) : edge.workload;
  const news = useChanges(edge.layer === "7" ? ["exchange"] : ["flow"]);
  return (
    <Drawer title={edge.label} close={close}>
      {exchange ? (
        <>
          <button onClick={() => adjust({ x: undefined })}>← All on this edge</button>
          <ExchangeView id={exchange} />
        </>
      ) : (
        <>
          <Facts
            rows={[
              ["Traffic", edge.amount],
              ["Provider", edge.provider],
              ["Workloads", edge.workloads > 1 && count(edge.workloads)],
              ["Sensitive data", edge.kinds.length ? edge.kinds.map((kind) => <Tag key={kind} kind="data">{kind}</Tag>) : ""],
              ["Risk", edge.severity && <a href={link("threats", "", { view: "findings", q: workload ? undefined : "", workload })}><Badge severity={edge.severity} /></a>],
              ["Errors", edge.errors ? count(edge.errors) : ""],
            ]}
          />
          {edge.layer === "7" ? (
            <Paged<Exchange>
              name="exchanges" path="/exchanges" field="exchanges" news={until ? 0 : news}
              parameters={{ since, until, workload, domain: edge.domain, model: edge.model, provider: edge.domain ? undefined : edge.provider }}
              columns={EXCHANGES} id={(x) => x.id} open={(x) => adjust({ x: x.id })} empty={<Empty title="No exchanges in this time." />} sortable={false}
            />
          ) : (
            <Paged<Flow>
              name="flows" path="/flows" field="flows" news={until ? 0 : news} parameters={{ since, until, domain: edge.domain.includes(".") ? edge.domain : undefined, workload }}
              columns={FLOWS} id={(flow) => flow.id} empty={<Empty title="No flows in this time." />} sortable={false}
            />
          )}
        </>
      )}
    </Drawer>
  );
}

function NodeDrawer({ node, close, edges }: { node: Node; close: () => void; edges: Edge[] }) {
  const mine = edges.filter((edge) => edge.from === node.id || edge.to === node.id);
  return (
    <Drawer title={node.name} close={close}>
      <Facts rows={[["Kind", node.kind], ["About", node.about], ["Provider", node.provider], ["Risk", node.severity && <Badge severity={node.severity} />]]} />
      <Table name="connections of it" columns={EDGES} rows={mine} id={(edge) => edge.id} open={(edge) => adjust({ edge: edge.id })} empty={<Empty title="None." />} />
    </Drawer>
  );
}

export const EXCHANGES: Column<Exchange>[] = [
  { head: "Time", cell: (x) => <time>{moment(x.time)}</time>, value: (x) => x.time },
  { head: "Workload", cell: (x) => x.workload?.name, value: (x) => x.workload?.name },
  { head: "Service", cell: (x) => x.network.domain || x.network.dst, value: (x) => x.network.domain || x.network.dst },
  { head: "Model", cell: (x) => x.gen_ai.response_model || x.gen_ai.request_model, value: (x) => x.gen_ai.response_model || x.gen_ai.request_model },
  { head: "Operation", cell: (x) => x.gen_ai.operation, value: (x) => x.gen_ai.operation },
  { head: "Tokens", cell: (x) => `${count(x.gen_ai.input_tokens)} → ${count(x.gen_ai.output_tokens)}`, value: (x) => (x.gen_ai.input_tokens ?? 0) + (x.gen_ai.output_tokens ?? 0), number: true },
  { head: "Data", cell: (x) => <Kinds of={[...new Set(x.data.map((d) => d.kind))]} />, value: (x) => [...new Set(x.data.map((d) => d.kind))].join(" ") },
  { head: "Answer", cell: (x) => (x.verdict && x.verdict.action !== "allow" ? <Tag kind="act">{x.verdict.action}</Tag> : (x.http.status ?? "–")), value: (x) => x.verdict?.action ?? x.http.status },
];

export const FLOWS: Column<Flow>[] = [
  { head: "Time", cell: (f) => <time>{moment(f.time)}</time>, value: (f) => f.time },
  { head: "Workload", cell: (f) => f.workload?.name ?? f.pid, value: (f) => f.workload?.name ?? f.pid },
  { head: "From", cell: (f) => f.src, value: (f) => f.src },
  { head: "To", cell: (f) => (f.domain ? `${f.domain} (${f.dst})` : f.dst), value: (f) => f.domain || f.dst },
  { head: "Protocol", cell: (f) => `${f.proto} ${f.l7}`, value: (f) => `${f.proto} ${f.l7}` },
  { head: "State", cell: (f) => f.state, value: (f) => f.state },
  { head: "Sent", cell: (f) => bytes(f.bytes_sent), value: (f) => f.bytes_sent, number: true },
  { head: "Received", cell: (f) => bytes(f.bytes_received), value: (f) => f.bytes_received, number: true },
];
