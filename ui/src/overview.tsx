// What changed, what matters most, what is not seen.
import { useEffect, useMemo } from "react";
import { useAsk, useChanges } from "./api";
import { Chart, type Series } from "./chart";
import { ago, bytes, count } from "./format";
import { Answer, Badge, Empty, Filter, Panel, SPANS, Tag } from "./parts";
import { adjust, link, type Place } from "./route";
import type { Asset, CoverageRow, Finding, Incident, Timeline } from "./types";

const CHARTS: { title: string; series: Series[]; format: (n: number) => string }[] = [
  { title: "Exchanges", series: [{ field: "exchanges", name: "exchanges", colour: "--c1" }, { field: "errors", name: "errors", colour: "--c4" }], format: count },
  { title: "Tokens", series: [{ field: "input_tokens", name: "in", colour: "--c1" }, { field: "output_tokens", name: "out", colour: "--c2" }], format: count },
  { title: "Bytes", series: [{ field: "bytes_sent", name: "sent", colour: "--c3" }, { field: "bytes_received", name: "received", colour: "--c2" }], format: bytes },
  { title: "Findings", series: [{ field: "findings", name: "all", colour: "--c1" }, { field: "serious", name: "high and critical", colour: "--c4" }], format: count },
];

export function Overview({ place, theme }: { place: Place; theme: string }) {
  const span = place.params.get("span") || "24h";
  const news = useChanges(["exchange", "finding", "incident", "coverage"]);
  const timeline = useAsk<Timeline>(`/timeline?since=${span}`, 30);
  const incidents = useAsk<{ incidents: Incident[] }>(`/incidents?since=${span}&limit=20`, 30);
  const findings = useAsk<{ findings: Finding[] }>(`/findings?since=${span}&severity=medium&limit=50`, 30);
  const inventory = useAsk<{ assets: Asset[] }>(`/inventory?since=7d`, 60);
  const coverage = useAsk<{ coverage: CoverageRow[] }>("/coverage", 30);
  useEffect(() => {
    if (!news) return;
    for (const one of [timeline, incidents, findings, coverage]) one.again();
  }, [news]); // eslint-disable-line
  const fresh = useMemo(() => (inventory.data?.assets ?? []).filter((asset) => Date.now() - asset.first < 86_400e3), [inventory.data]);
  return (
    <>
      <div className="bar">
        <h1>Overview</h1>
        <Filter label="Time" value={span} change={(next) => adjust({ span: next })} options={SPANS} />
      </div>
      <div className="grid">
        <Panel title="Incidents" actions={<a href={link("threats")}>All threats</a>}>
          <Answer asked={incidents} what="Loading incidents">
            {({ incidents: found }) =>
              found.length ? (
                <ul className="rows">
                  {found.slice(0, 6).map((one) => (
                    <li key={one.id}>
                      <Badge severity={one.severity} /> <a href={link("threats", one.id)}>{one.title}</a> <span className="dim">{one.workload?.name} · {ago(one.last_seen)}</span>
                    </li>
                  ))}
                </ul>
              ) : (
                <Empty title="No incidents in this time." />
              )
            }
          </Answer>
        </Panel>
        <Panel title="Top risks" actions={<a href={link("threats", "", { view: "findings" })}>All findings</a>}>
          <Answer asked={findings} what="Loading findings">
            {({ findings: found }) =>
              found.length ? (
                <ul className="rows">
                  {[...found].sort((a, b) => rank(b) - rank(a)).slice(0, 6).map((one) => (
                    <li key={one.id}>
                      <Badge severity={one.severity} /> <a href={link("threats", one.id, { view: "findings" })}>{one.title}</a>{" "}
                      <span className="dim">{one.workload?.name} · {count(one.count)}× · {ago(one.last_seen)}</span>
                    </li>
                  ))}
                </ul>
              ) : (
                <Empty title="Nothing of medium severity or more." />
              )
            }
          </Answer>
        </Panel>
        <Panel title="New since yesterday" actions={<a href={link("inventory")}>Inventory</a>}>
          <Answer asked={inventory} what="Loading the inventory">
            {() =>
              fresh.length ? (
                <ul className="rows">
                  {fresh.slice(0, 8).map((asset) => (
                    <li key={asset.kind + asset.name + asset.about}>
                      <Tag>{asset.kind}</Tag> <a href={link("inventory", "", { kind: asset.kind, q: asset.name })}>{asset.kind === "workload" ? asset.about || asset.name : asset.name}</a>{" "}
                      <span className="dim">{asset.workloads.slice(0, 2).join(", ")} · {ago(asset.first)}</span>
                    </li>
                  ))}
                  {fresh.length > 8 && <li className="dim">and {fresh.length - 8} more</li>}
                </ul>
              ) : (
                <Empty title="Nothing new in a day." />
              )
            }
          </Answer>
        </Panel>
        <Panel title="What is not seen" actions={<a href={link("coverage")}>Coverage</a>}>
          <Answer asked={coverage} what="Loading coverage">
            {({ coverage: rows }) => {
              const dark = rows.filter((row) => row.visible !== "content");
              return (
                <>
                  <p className="figure">
                    <strong>{rows.length - dark.length}</strong> of {rows.length} processes that talk to AI are seen into
                  </p>
                  <ul className="rows">
                    {dark.slice(0, 4).map((row) => (
                      <li key={`${row.pid}${row.exe}`}>
                        {row.workload?.name || row.exe || "unknown"} <span className="dim">{row.reason}</span>
                      </li>
                    ))}
                  </ul>
                </>
              );
            }}
          </Answer>
        </Panel>
      </div>
      <Panel title="Over time">
        <Answer asked={timeline} what="Loading numbers">
          {(line) => (
            <div className="charts">
              {CHARTS.map((chart) => (
                <Chart key={chart.title} {...chart} timeline={line} theme={theme} />
              ))}
            </div>
          )}
        </Answer>
      </Panel>
    </>
  );
}

const ORDER = ["info", "low", "medium", "high", "critical"];
function rank(finding: Finding): number {
  return ORDER.indexOf(finding.severity) * 1e15 + new Date(finding.last_seen).getTime();
}
