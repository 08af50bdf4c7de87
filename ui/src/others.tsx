// Search, exchanges, coverage, the audit log, settings.
import { query, useAsk, useChanges } from "./api";
import { base, count, moment, span } from "./format";
import { Answer, Badge, type Column, Drawer, Empty, Facts, Filter, Paged, Panel, SearchField, SPANS, Table, Tag } from "./parts";
import { History } from "./policies";
import { adjust, link, type Place } from "./route";
import { EXCHANGES } from "./runtime";
import { ExchangeView } from "./shared";
import type { Asset, CoverageRow, Exchange, Finding, Incident, Me } from "./types";

export function Exchanges({ place }: { place: Place }) {
  const news = useChanges(["exchange"]);
  const get = (name: string) => place.params.get(name) || "";
  const params = Object.fromEntries(place.params);
  return (
    <>
      <div className="bar">
        <h1>Exchanges</h1>
        <SearchField label="Find" value={get("q")} change={(q) => adjust({ q })} wide />
        <Filter label="Answer" value={get("status")} change={(status) => adjust({ status })} options={[["", "Any"], ["2xx", "2xx"], ["4xx", "4xx"], ["5xx", "5xx"], ["error", "Errors"]]} />
        <Filter label="Time" value={get("span") || "24h"} change={(span) => adjust({ span })} options={SPANS} />
      </div>
      <Panel title="AI exchanges">
        <Paged<Exchange>
          name="exchanges" path="/exchanges" field="exchanges" news={news} parameters={{ since: get("span") || "24h", q: get("q"), status: get("status"), workload: get("workload"), model: get("model") }}
          columns={EXCHANGES} id={(x) => x.id} open={(x) => { location.hash = link("exchanges", x.id, params); }} opened={place.id} sortable={false}
          empty={<Empty title="No exchanges.">Another filter, or a longer time?</Empty>}
        />
      </Panel>
      {place.id && (
        <Drawer title="Exchange" close={() => { location.hash = link("exchanges", "", params); }}>
          <ExchangeView id={place.id} />
        </Drawer>
      )}
    </>
  );
}

export function Search({ place }: { place: Place }) {
  const q = place.params.get("q") || "";
  const ask = (path: string) => (q ? path : null);
  const exchanges = useAsk<{ exchanges: Exchange[] }>(ask(`/exchanges${query({ q, limit: 10 })}`));
  const findings = useAsk<{ findings: Finding[] }>(ask(`/findings${query({ q, limit: 10 })}`));
  const incidents = useAsk<{ incidents: Incident[] }>(ask(`/incidents${query({ q, limit: 10 })}`));
  const inventory = useAsk<{ assets: Asset[] }>(ask("/inventory?since=30d"));
  const assets = (inventory.data?.assets ?? []).filter((a) => [a.name, a.about, ...a.workloads].some((name) => name.toLowerCase().includes(q.toLowerCase()))).slice(0, 10);
  return (
    <>
      <div className="bar">
        <h1>Search</h1>
        <SearchField label="For" value={q} change={(next) => adjust({ q: next })} wide />
      </div>
      {!q ? (
        <Empty title="Search for a workload, model, host, key, rule or words of a conversation." />
      ) : (
        <>
          <Panel title="Incidents">
            <Answer asked={incidents} what="Searching incidents">
              {({ incidents: found }) => <ul className="rows">{found.map((one) => <li key={one.id}><Badge severity={one.severity} /> <a href={link("threats", one.id)}>{one.title}</a></li>)}{!found.length && <li className="dim">none</li>}</ul>}
            </Answer>
          </Panel>
          <Panel title="Findings" actions={<a href={link("threats", "", { view: "findings", q })}>All</a>}>
            <Answer asked={findings} what="Searching findings">
              {({ findings: found }) => <ul className="rows">{found.map((one) => <li key={one.id}><Badge severity={one.severity} /> <a href={link("threats", one.id, { view: "findings" })}>{one.title}</a> <span className="dim">{one.workload?.name}</span></li>)}{!found.length && <li className="dim">none</li>}</ul>}
            </Answer>
          </Panel>
          <Panel title="Assets" actions={<a href={link("inventory", "", { q })}>All</a>}>
            <Answer asked={inventory} what="Searching the inventory">
              {() => <ul className="rows">{assets.map((one) => <li key={one.kind + one.name + one.about}><Tag>{one.kind}</Tag> <a href={link("inventory", "", { kind: one.kind, q: one.name })}>{one.name}</a> <span className="dim">{one.about}</span></li>)}{!assets.length && <li className="dim">none</li>}</ul>}
            </Answer>
          </Panel>
          <Panel title="Exchanges" actions={<a href={link("exchanges", "", { q, span: "30d" })}>All</a>}>
            <Answer asked={exchanges} what="Searching exchanges">
              {({ exchanges: found }) => <Table name="found" columns={EXCHANGES} rows={found} id={(x) => x.id} open={(x) => { location.hash = link("exchanges", x.id); }} empty={<p className="dim">none</p>} />}
            </Answer>
          </Panel>
        </>
      )}
    </>
  );
}

export function Coverage() {
  const asked = useAsk<{ coverage: CoverageRow[] }>("/coverage", 15);
  return (
    <>
      <div className="bar"><h1>Coverage</h1></div>
      <Panel title="What is seen of each process that talks to AI">
        <Answer asked={asked} what="Loading coverage">
          {({ coverage }) => (
            <Table name="coverage" columns={ROWS} rows={coverage} id={(row) => `${row.pid}|${row.exe}`} empty={<Empty title="No process has talked to an AI service yet." />} />
          )}
        </Answer>
      </Panel>
    </>
  );
}

const ROWS: Column<CoverageRow>[] = [
  { head: "Workload", cell: (r) => r.workload?.name || "unknown", value: (r) => r.workload?.name, wide: true },
  { head: "Process", cell: (r) => (r.pid ? <span title={r.exe}>{base(r.exe)} ({r.pid})</span> : "gone"), value: (r) => r.exe },
  { head: "Visible", cell: (r) => <Tag kind={r.visible === "content" ? "new" : "act"}>{r.visible}</Tag>, value: (r) => r.visible },
  { head: "How", cell: (r) => r.library || r.rung, value: (r) => r.library || r.rung },
  { head: "Why not more", cell: (r) => r.reason, value: (r) => r.reason, wide: true, rare: true },
  { head: "Remedy", cell: (r) => r.remedy, value: (r) => r.remedy, wide: true, rare: true },
  { head: "Writes held", cell: (r) => r.held, value: (r) => r.held, rare: true },
  { head: "Services", cell: (r) => r.services.join(", "), value: (r) => r.services.join(" "), wide: true },
  { head: "Exchanges", cell: (r) => count(r.exchanges), value: (r) => r.exchanges, number: true },
];

export function Audit({ me }: { me: Me }) {
  return (
    <>
      <div className="bar"><h1>Audit log</h1></div>
      <Panel title="Who changed and decided what">{me.role === "viewer" ? <p className="dim">An analyst may read it.</p> : <History />}</Panel>
    </>
  );
}

/** What the agent says of itself beside its counters. started: ns since 1970. */
interface Self { version?: string; started?: number; uptime_s?: number; libraries?: string[] }
interface Stats { health: { ok: boolean; reason: string }; summary: Record<string, unknown>; counters: Record<string, Record<string, number>>; status: Record<string, unknown> }

export function Settings({ me, theme, setTheme }: { me: Me; theme: string; setTheme: (theme: string) => void }) {
  const asked = useAsk<Stats>("/stats", 10);
  return (
    <>
      <div className="bar"><h1>Settings</h1></div>
      <Panel title="You">
        <Facts rows={[["Name", me.name], ["Role", me.role], ["May", me.role === "viewer" ? "see what happens, without the words of conversations" : me.role === "analyst" ? "read conversations and triage" : "everything, policies too"]]} />
        <Filter label="Theme" value={theme} change={setTheme} options={[["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]]} />
      </Panel>
      <Panel title="This Leeward">
        <Answer asked={asked} what="Loading its state">
          {(stats) => {
            const { version, started, uptime_s, libraries, ...counted } = stats.status as unknown as Self;
            const flat = flatten({ ...counted, ...stats.counters });
            return (
              <>
                <p className={stats.health.ok ? "" : "warn"}>{stats.health.ok ? "The store takes what comes." : stats.health.reason}</p>
                <Facts
                  rows={[
                    ["Version", version], ["Watches since", started && moment(started / 1e6)], ["For", uptime_s !== undefined && span(uptime_s)],
                    ["Libraries", libraries?.length ? libraries.map((one) => <Tag key={one}>{one}</Tag>) : ""],
                  ]}
                />
                <Table name="counters" columns={COUNTERS} rows={flat} id={([name]) => name} empty={null} />
              </>
            );
          }}
        </Answer>
      </Panel>
    </>
  );
}

const LOSS = /drop|lost|lose|full|error|evict|trunc|gap|refus|unreadable/;
const COUNTERS: Column<[string, unknown]>[] = [
  { head: "Counter", cell: ([name]) => name, value: ([name]) => name, wide: true },
  { head: "Value", cell: ([name, value]) => <span className={LOSS.test(name) && !!value ? "warn" : ""}>{typeof value === "number" ? value.toLocaleString("en") : String(value)}</span>, value: ([, value]) => (typeof value === "number" ? value : String(value)), wide: true },
];

function flatten(value: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(value).flatMap(([key, item]): [string, unknown][] =>
    item && typeof item === "object" && !Array.isArray(item) ? flatten(item as Record<string, unknown>, `${prefix}${key}.`) : [[`${prefix}${key}`, item]],
  );
}
