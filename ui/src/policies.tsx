// Policies: read, edit with checks and examples as you type, simulate over what was stored, who changed what.
import { useEffect, useState } from "react";
import { ask, useAsk } from "./api";
import { ago, count, moment, several } from "./format";
import { Answer, type Column, Empty, Filter, Panel, Problem, SPANS, Table, Tag } from "./parts";
import { link, type Place } from "./route";
import type { AuditEntry, Me, Outcome, PolicyFile, PolicyRule, PolicyTrial, Simulation } from "./types";

const EMPTY = `apiVersion: leeward/v1
kind: Policy
metadata:
  name: my-policy
spec:
  mode: observe
  rules:
    - name: only-these-providers
      when: provider != '' && !(provider in ['openai', 'anthropic'])
      action: block
      finding: unsanctioned-provider
  tests:
    - {name: another provider, given: {provider: groq}, stage: connect, expect: block, rule: only-these-providers}
`;

export function Policies({ place, me }: { place: Place; me: Me }) {
  const asked = useAsk<{ policies: PolicyFile[]; complaint: string }>("/policies", 30);
  const files = asked.data?.policies ?? [];
  const chosen = place.id === "new" ? undefined : (files.find((file) => file.file === place.id || file.rules.some((rule) => rule.policy === place.id)) ?? undefined);
  return (
    <>
      <div className="bar">
        <h1>Policies</h1>
        <a className="button" href={link("policies", "new")}>New policy</a>
      </div>
      <Answer asked={asked} what="Loading policies">
        {({ complaint }) => (
          <div className="split">
            <Panel title="Files">
              {complaint && <p className="warn">{complaint}</p>}
              {files.length ? (
                <ul className="rows">
                  {files.map((file) => (
                    <li key={file.path} className={file === chosen ? "opened" : ""}>
                      <a href={link("policies", file.file)}>{file.file}</a>{" "}
                      {file.complaints.length ? <Tag kind="act">does not load</Tag> : <Tag>{file.rules[0]?.mode ?? "no rules"}</Tag>}
                      <div className="dim">{several(file.rules.length, "rule")} · changed {ago(file.changed)}</div>
                    </li>
                  ))}
                </ul>
              ) : (
                <Empty title="No policies yet.">Nothing is forbidden on this host. Begin with a new one in mode observe, or with one of the packs that come with Leeward.</Empty>
              )}
            </Panel>
            {chosen || place.id === "new" ? (
              <Editor key={chosen?.path ?? "new"} file={chosen} me={me} saved={asked.again} />
            ) : (
              <Panel title="History">{me.role === "viewer" ? <p className="dim">An analyst may read the history.</p> : <History />}</Panel>
            )}
          </div>
        )}
      </Answer>
    </>
  );
}

interface Checked { complaints: string[]; warnings: string[]; rules: PolicyRule[]; trials: PolicyTrial[] }

function Editor({ file, me, saved }: { file: PolicyFile | undefined; me: Me; saved: () => void }) {
  const [text, setText] = useState(() => file?.text ?? sessionStorage.getItem("draft") ?? EMPTY);
  const [name, setName] = useState(file?.file ?? "");
  const [checked, setChecked] = useState<Checked>();
  const [error, setError] = useState<Error>();
  const [done, setDone] = useState("");
  useEffect(() => {
    sessionStorage.removeItem("draft");
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => {
      ask<Checked>("/policies/check", { method: "POST", body: JSON.stringify({ text }) }).then(
        (answer) => {
          setChecked(answer);
          setError(undefined);
        },
        setError,
      );
    }, 400);
    return () => clearTimeout(timer);
  }, [text]);
  const target = name || `${/^\s*name:\s*([a-z0-9-]+)/m.exec(text)?.[1] ?? "policy"}.yaml`;
  const save = async () => {
    const here = location.hash;
    try {
      await ask(`/policies/${encodeURIComponent(target)}`, { method: "PUT", body: JSON.stringify({ text, before: file?.hash ?? "" }) });
      setError(undefined);
      setDone(`${target} is written. It is in force within seconds.`);
      saved();
      if (location.hash === here) location.hash = link("policies", target); // unless they went on meanwhile
    } catch (problem) {
      setError(problem as Error);
    }
  };
  const editable = me.role === "admin" && (!file || file.editable);
  return (
    <div className="stack">
      <Panel
        title={file ? file.path : "New policy"}
        actions={
          <>
            {!file && <label className="inline">File <input value={name} placeholder={target} onChange={(event) => setName(event.target.value)} /></label>}
            <button className="primary" disabled={!editable || !!checked?.complaints.length || text === file?.text} onClick={() => void save()}>Save</button>
          </>
        }
      >
        {!editable && <p className="dim">{me.role === "admin" ? "This file was given on the command line: change it where it is." : "Only an admin may save; checks and simulations are for everybody who may read content."}</p>}
        <Problem error={error} />
        {done && <p role="status">{done}</p>}
        <textarea className="code" aria-label="Text of the policy" spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} rows={Math.min(34, text.split("\n").length + 2)} />
        {checked && (
          <div className="check" role="status">
            {checked.complaints.length ? (
              <ul className="complaints">{checked.complaints.map((line) => <li key={line}>{line}</li>)}</ul>
            ) : (
              <p>
                No complaints: {several(checked.rules.length, "rule")} {checked.rules.map((rule) => <Tag key={rule.name}>{`${rule.name}: ${rule.action} at ${rule.stage}`}</Tag>)}
              </p>
            )}
            {checked.warnings.map((line) => <p key={line} className="warn">{line}</p>)}
            {!!checked.trials.length && (
              <ul className="rows">
                {checked.trials.map((trial) => (
                  <li key={trial.name}>
                    <Tag kind={trial.wrong ? "act" : "new"}>{trial.wrong ? "wrong" : "ok"}</Tag> {trial.name}: {trial.action} {trial.wrong && <span className="warn">{trial.wrong}</span>}
                  </li>
                ))}
              </ul>
            )}
          </div>
        )}
      </Panel>
      {me.role !== "viewer" && <Simulate text={text} sound={!!checked && !checked.complaints.length} />}
    </div>
  );
}

function Simulate({ text, sound }: { text: string; sound: boolean }) {
  const [since, setSince] = useState("7d");
  const [result, setResult] = useState<{ text: string; simulation: Simulation }>();
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<Error>();
  const run = () => {
    setRunning(true);
    ask<Simulation>(`/policies/simulate?since=${since}`, { method: "POST", body: JSON.stringify({ text }) })
      .then((simulation) => {
        setResult({ text, simulation });
        setError(undefined);
      }, setError)
      .finally(() => setRunning(false));
  };
  const s = result?.simulation;
  return (
    <Panel
      title="What it would have done"
      actions={
        <>
          <Filter label="Over" value={since} change={setSince} options={SPANS} />
          <button disabled={!sound || running} onClick={run}>{running ? "Simulating…" : "Simulate"}</button>
        </>
      }
    >
      <Problem error={error} />
      {s ? (
        <>
          <p className="figure">
            Of <strong>{count(s.total)}</strong> exchanges <strong>{count(s.stopped)}</strong> would have been stopped and <strong>{count(s.masked)}</strong> masked.
            {result.text !== text && <span className="warn"> The policy has changed since.</span>}
          </p>
          <Table name="outcomes" columns={OUTCOMES} rows={s.outcomes} id={(o) => `${o.policy}${o.rule}${o.workload}${o.domain}${o.model}${o.exception}`} empty={<Empty title="No rule would have matched anything." />} />
        </>
      ) : (
        <p className="dim">Runs the policy over the stored exchanges of this host; nothing is changed by it.</p>
      )}
    </Panel>
  );
}

const OUTCOMES: Column<Outcome>[] = [
  { head: "Would", cell: (o) => <Tag kind="act">{o.action}</Tag>, value: (o) => o.action },
  { head: "Rule", cell: (o) => o.rule, value: (o) => o.rule },
  { head: "Workload", cell: (o) => o.workload_name || o.workload, value: (o) => o.workload_name },
  { head: "Service", cell: (o) => `${o.provider} ${o.domain}`, value: (o) => o.domain },
  { head: "Model", cell: (o) => o.model, value: (o) => o.model },
  { head: "Exchanges", cell: (o) => count(o.count), value: (o) => o.count, number: true },
  { head: "Exception", cell: (o) => o.exception, value: (o) => o.exception },
  { head: "Example", cell: (o) => o.example && <a href={link("exchanges", o.example)}>one</a>, value: (o) => o.example },
];

export function History() {
  const asked = useAsk<{ entries: AuditEntry[]; verified: { lines: number; wrong: string; head: string } | null }>("/audit?limit=500", 5);
  return (
    <Answer asked={asked} what="Loading the audit log">
      {({ entries, verified }) => (
        <>
          {verified && (
            <p className={verified.wrong ? "warn" : "dim"}>{verified.wrong ? `The log is broken: ${verified.wrong}` : `${count(verified.lines)} lines, each with the hash of the one before; head ${verified.head.slice(0, 16)}…`}</p>
          )}
          <Table name="audit" columns={ENTRIES} rows={entries} id={(entry) => String(entry.seq)} empty={<Empty title="Nothing is in the audit log yet.">Changes of policies and decisions about requests are written here.</Empty>} />
        </>
      )}
    </Answer>
  );
}

const ENTRIES: Column<AuditEntry>[] = [
  { head: "No.", cell: (e) => e.seq, value: (e) => e.seq, number: true },
  { head: "Time", cell: (e) => <time>{moment(e.time)}</time>, value: (e) => e.time },
  { head: "Who", cell: (e) => e.actor, value: (e) => e.actor },
  { head: "What", cell: (e) => <Tag>{e.event}</Tag>, value: (e) => e.event },
  { head: "Detail", cell: (e) => <code className="small">{Object.entries(e.detail).filter(([, v]) => v !== "" && v !== null).map(([k, v]) => `${k}=${typeof v === "object" ? JSON.stringify(v) : v}`).join(" ").slice(0, 400)}</code>, value: (e) => JSON.stringify(e.detail), wide: true },
];
