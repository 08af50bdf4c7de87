// AI threats: incidents as a chain over time and layers, findings, what was decided about them, and the policy that would stop it.
import { useCallback, useState } from "react";
import { ask, useAsk, useChanges } from "./api";
import { ago, base, count, moment } from "./format";
import { Answer, Badge, type Column, Drawer, Empty, Facts, Filter, Paged, Panel, Problem, SearchField, SPANS, Tag } from "./parts";
import { policyFor } from "./policytext";
import { adjust, link, type Place } from "./route";
import { FindingView } from "./shared";
import { type Finding, type Incident, type Me, SEVERITIES, type Step } from "./types";

export function Threats({ place, me }: { place: Place; me: Me }) {
  const view = place.params.get("view") || "incidents";
  const span = place.params.get("span") || "7d";
  const severity = place.params.get("severity") || "";
  const q = place.params.get("q") || "";
  const news = useChanges(view === "incidents" ? ["incident"] : ["finding"]);
  const close = useCallback(() => {
    location.hash = link("threats", "", Object.fromEntries(place.params));
  }, [place]);
  const open = (id: string) => {
    location.hash = link("threats", id, Object.fromEntries(place.params));
  };
  return (
    <>
      <div className="bar">
        <h1>AI threats</h1>
        <div className="tabs" role="group" aria-label="What is listed">
          {["incidents", "findings"].map((name) => (
            <button key={name} aria-pressed={view === name} className={view === name ? "on" : ""} onClick={() => { location.hash = link("threats", "", { view: name, span }); }}>
              {name === "incidents" ? "Incidents" : "Findings"}
            </button>
          ))}
        </div>
        <SearchField label="Find" value={q} change={(next) => adjust({ q: next })} />
        <Filter label="Severity" value={severity} change={(next) => adjust({ severity: next })} options={[["", "Any"], ...[...SEVERITIES].reverse().map((one): [string, string] => [one, one === "critical" ? one : `${one} and worse`])]} />
        <Filter label="Time" value={span} change={(next) => adjust({ span: next })} options={SPANS} />
      </div>
      {view === "incidents" ? (
        <Panel title="Incidents">
          <Paged<Incident>
            name="incidents" path="/incidents" field="incidents" parameters={{ since: span, severity, q }} news={news} columns={INCIDENTS} id={(one) => one.id}
            open={(one) => open(one.id)} opened={place.id} sortable={false}
            empty={<Empty title="No incidents.">Findings that belong together become one. Single findings are under Findings.</Empty>}
          />
        </Panel>
      ) : (
        <Panel title="Findings">
          <Paged<Finding>
            name="findings" path="/findings" field="findings" parameters={{ since: span, severity, q, workload: place.params.get("workload") || "" }} news={news} columns={FINDINGS} id={(one) => one.id}
            open={(one) => open(one.id)} opened={place.id} sortable={false} empty={<Empty title="No findings.">Nothing was found wrong in this time.</Empty>}
          />
        </Panel>
      )}
      {place.id && (view === "incidents" ? <IncidentDrawer id={place.id} close={close} me={me} /> : (
        <Drawer title="Finding" close={close}>
          <FindingView id={place.id} />
          <Triage kind="findings" id={place.id} me={me} />
          <StopIt kind="findings" id={place.id} />
        </Drawer>
      ))}
    </>
  );
}

const INCIDENTS: Column<Incident>[] = [
  { head: "Severity", cell: (i) => <Badge severity={i.severity} />, value: (i) => i.severity },
  { head: "Incident", cell: (i) => i.title, value: (i) => i.title, wide: true },
  { head: "Workload", cell: (i) => i.workloads.map((w) => w.name).join(", ") || i.workload?.name, value: (i) => i.workload?.name },
  { head: "Tactics", cell: (i) => i.tactics.map((tactic) => <Tag key={tactic}>{tactic}</Tag>), value: (i) => i.tactics.join(" → ") },
  { head: "Findings", cell: (i) => count(i.findings.length), value: (i) => i.findings.length, number: true },
  { head: "Began", cell: (i) => <time>{moment(i.first_seen)}</time>, value: (i) => i.first_seen },
  { head: "Last", cell: (i) => ago(i.last_seen), value: (i) => i.last_seen },
  { head: "State", cell: (i) => i.status, value: (i) => i.status },
];

const FINDINGS: Column<Finding>[] = [
  { head: "Severity", cell: (f) => <Badge severity={f.severity} />, value: (f) => f.severity },
  { head: "Finding", cell: (f) => f.title, value: (f) => f.title, wide: true },
  { head: "Rule", cell: (f) => <code>{f.rule}</code>, value: (f) => f.rule },
  { head: "Workload", cell: (f) => f.workload?.name, value: (f) => f.workload?.name },
  { head: "Times", cell: (f) => count(f.count), value: (f) => f.count, number: true },
  { head: "Last", cell: (f) => ago(f.last_seen), value: (f) => f.last_seen },
  { head: "Done", cell: (f) => f.action && <Tag kind="act">{f.action}</Tag>, value: (f) => f.action },
];

function IncidentDrawer({ id, close, me }: { id: string; close: () => void; me: Me }) {
  const asked = useAsk<Incident>(`/incidents/${encodeURIComponent(id)}`, 10);
  return (
    <Drawer title={asked.data?.title ?? "Incident"} close={close}>
      <Answer asked={asked} what="Loading the incident">
        {(incident) => (
          <>
            <Facts
              rows={[
                ["Severity", <><Badge severity={incident.severity} /> {Math.round(incident.confidence * 100)} % sure</>],
                ["When", `${moment(incident.first_seen)} to ${moment(incident.last_seen)}, ${incident.status}`],
                ["Workloads", (incident.workloads.length ? incident.workloads : incident.workload ? [incident.workload] : []).map((w) => <Tag key={w.id}>{w.name}</Tag>)],
                ["Tactics", incident.tactics.join(" → ")],
              ]}
            />
            <h3>What happened</h3>
            <ol className="chain">
              {incident.chain.map((step, at) => <ChainStep key={at} step={step} />)}
            </ol>
            {!!incident.dropped && <p className="dim">{incident.dropped} steps are left out.</p>}
            <h3>Why these belong together</h3>
            <ul>{incident.because.map((line) => <li key={line}>{line}</li>)}</ul>
            <h3>Findings</h3>
            <ul className="rows">
              {incident.findings.map((finding, at) => (
                <li key={finding}>
                  <a href={link("threats", finding, { view: "findings" })}>{incident.rules[at] ?? finding.slice(0, 12)}</a>
                </li>
              ))}
            </ul>
            <Triage kind="incidents" id={incident.id} me={me} />
            {incident.findings[0] && <StopIt kind="findings" id={incident.findings[0]} />}
          </>
        )}
      </Answer>
    </Drawer>
  );
}

const LAYER_NAMES: Record<string, string> = { "3": "layer 3", "4": "layer 4", "7": "layer 7", host: "host", ai: "AI" };

function ChainStep({ step }: { step: Step }) {
  const ref = step.refs[0];
  const to = ref?.id && (ref.type === "exchange" ? link("exchanges", ref.id) : ref.type === "finding" ? link("threats", ref.id, { view: "findings" }) : "");
  return (
    <li className={`step layer-${step.layer}`}>
      <time>{moment(step.time)}</time>
      <span className="layer">{LAYER_NAMES[step.layer] ?? step.layer}</span>
      <span className="what">
        {to ? <a href={to}>{step.what}</a> : step.what} {step.severity && <Badge severity={step.severity} />}
        <span className="dim">
          {step.tactic && ` ${step.tactic}`} {step.technique} {step.pid ? `· ${base(step.exe)} (${step.pid})` : ""}
        </span>
      </span>
    </li>
  );
}

interface TriageState { state: string; assignee: string; reason: string; until: string; who: string; when: string }

/** Acknowledge, assign, suppress with a reason and an expiry, close. */
function Triage({ kind, id, me }: { kind: "incidents" | "findings"; id: string; me: Me }) {
  const asked = useAsk<TriageState>(`/${kind}/${encodeURIComponent(id)}/triage`);
  const [reason, setReason] = useState("");
  const [assignee, setAssignee] = useState("");
  const [days, setDays] = useState("7");
  const [error, setError] = useState<Error>();
  const may = me.role !== "viewer";
  const put = async (state: string) => {
    const until = state === "suppressed" ? new Date(Date.now() + Number(days) * 86_400e3).toISOString() : "";
    try {
      await ask(`/${kind}/${encodeURIComponent(id)}/triage`, { method: "PUT", body: JSON.stringify({ state, assignee, reason, until }) });
      setError(undefined);
      asked.again();
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const now = asked.data;
  return (
    <div className="triage">
      <h3>Triage</h3>
      {now?.state && (
        <p>
          <Tag>{now.state}</Tag> {now.assignee && `for ${now.assignee}`} {now.reason && `“${now.reason}”`} {now.until && `until ${moment(now.until)}`}{" "}
          <span className="dim">by {now.who}, {ago(now.when)}</span>
        </p>
      )}
      {may ? (
        <>
          <Problem error={error} />
          <div className="form-row">
            <label>Assign to <input value={assignee} onChange={(event) => setAssignee(event.target.value)} /></label>
            <label>Reason <input className="long" value={reason} onChange={(event) => setReason(event.target.value)} /></label>
            <label>Days <input type="number" min={1} max={365} value={days} onChange={(event) => setDays(event.target.value)} /></label>
          </div>
          <div className="form-row">
            <button onClick={() => void put("acknowledged")}>Acknowledge</button>
            <button disabled={!reason.trim()} title={reason.trim() ? "" : "Say why first"} onClick={() => void put("suppressed")}>Suppress for {days} days</button>
            <button onClick={() => void put("closed")}>Close</button>
            {now?.state && <button onClick={() => void put("open")}>Open again</button>}
          </div>
        </>
      ) : (
        <p className="dim">A viewer may not change this: ask an analyst.</p>
      )}
    </div>
  );
}

function StopIt({ kind, id }: { kind: "findings"; id: string }) {
  const asked = useAsk<Finding>(`/${kind}/${encodeURIComponent(id)}`);
  if (!asked.data) return null;
  const text = policyFor(asked.data);
  if (!text) return <p className="dim">No policy stops this kind of thing: see what the rule says to do.</p>;
  return (
    <p>
      <button className="primary" onClick={() => { sessionStorage.setItem("draft", text); location.hash = link("policies", "new"); }}>
        The policy that would stop this…
      </button>
    </p>
  );
}
