// What several screens show of one thing: an exchange, a finding, a process.
import { type ReactNode, useState } from "react";
import { useAsk } from "./api";
import { ago, base, bytes, count, moment } from "./format";
import { Answer, Badge, Empty, Facts, Tag } from "./parts";
import { link } from "./route";
import type { DataMatch, Exchange, Finding, Flow, Message, ProcessRef, SystemRecord, ToolCall, Verdict } from "./types";

/** What stands in a kept text for a value (data/masking.py), or for characters of it. */
const MASKED = /(\[[a-z]+(?:\.[\w-]+)*:[0-9a-f]{8,16}\]|\*{3,}[\w*]*)/g;

/** Text from traffic: shown as text, with control characters made visible and masked values marked. */
export function Said({ text, limit = 4000 }: { text: string; limit?: number }) {
  const [all, setAll] = useState(false);
  const shown = all ? text : text.slice(0, limit);
  const parts = visible(shown).split(MASKED);
  return (
    <span className="said">
      {parts.map((part, at) => (at % 2 ? <mark key={at}>{part}</mark> : part))}
      {!all && text.length > limit && (
        <button className="quiet" onClick={() => setAll(true)}>
          {count(text.length - limit)} more characters
        </button>
      )}
    </span>
  );
}

function visible(text: string): string {
  // Bidirectional and zero-width characters can make text say something else than it does. Emoji are made of several with
  // joiners between them: those stay.
  return text.replace(/(?<!\p{Extended_Pictographic}[\p{Emoji_Modifier}\ufe0f]?)\u200d|\u200d(?!\p{Extended_Pictographic})|[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

function Call({ call }: { call: ToolCall }) {
  return (
    <div className="tool-call">
      <Tag kind="tool">{call.name}</Tag> <Said text={call.arguments} limit={600} />
    </div>
  );
}

function Turn({ message }: { message: Message }) {
  return (
    <li className={`turn role-${message.role}`}>
      <span className="role">{message.name ? `${message.role} ${message.name}` : message.role}</span>
      <div>
        {message.reasoning && (
          <details>
            <summary>Reasoning</summary>
            <Said text={message.reasoning} />
          </details>
        )}
        {message.content && <Said text={message.content} />}
        {message.tool_calls?.map((call, at) => <Call key={call.id || at} call={call} />)}
      </div>
    </li>
  );
}

export function Matches({ data }: { data: DataMatch[] }) {
  if (!data.length) return null;
  return (
    <div className="matches">
      <h3>Sensitive data</h3>
      <ul>
        {data.slice(0, 50).map((match, at) => (
          <li key={at}>
            <Tag kind="data">{match.kind}</Tag> <code>{match.sample}</code> <span className="dim">at {match.path}</span>{" "}
            <span className="dim">
              {Math.round(match.confidence * 100)} % by {match.detector}
            </span>
            {match.origins?.map((origin, number) => (
              <div key={number} className="origin">
                came from {origin.name} {origin.where && <>in {origin.where}</>} ({origin.source})
              </div>
            ))}
          </li>
        ))}
      </ul>
    </div>
  );
}

export function VerdictLine({ verdict }: { verdict: Verdict | null }) {
  if (!verdict) return null;
  return (
    <p className={`verdict v-${verdict.action}`}>
      <strong>{verdict.action}</strong>
      {verdict.policy && (
        <>
          {" "}
          by <a href={link("policies", verdict.policy)}>{verdict.policy}</a> / {verdict.rule}
        </>
      )}
      {verdict.held_us ? `, held ${(verdict.held_us / 1000).toFixed(1)} ms` : ""}
      {verdict.why ? ` (${verdict.why})` : ""}
      {verdict.message && <span className="dim"> {verdict.message}</span>}
    </p>
  );
}

export function ExchangeView({ id }: { id: string }) {
  const asked = useAsk<Exchange>(`/exchanges/${encodeURIComponent(id)}`);
  return (
    <Answer asked={asked} what="Loading the conversation">
      {(x) => {
        const ai = x.gen_ai;
        return (
          <>
            <VerdictLine verdict={x.verdict} />
            <Facts
              rows={[
                ["Time", `${moment(x.time)} (${ago(x.time)})`],
                ["Workload", x.workload && <a href={link("inventory", "", { q: x.workload.name })}>{x.workload.name}</a>],
                ["Service", `${ai.provider} at ${x.network.domain || x.network.dst}`],
                ["Model", ai.response_model && ai.response_model !== ai.request_model ? `${ai.request_model} → ${ai.response_model}` : ai.request_model],
                ["Operation", ai.operation + (ai.stream ? ", streamed" : "")],
                ["Tokens", `${count(ai.input_tokens)} in, ${count(ai.output_tokens)} out`],
                ["Took", `${x.duration_ms.toFixed(0)} ms${ai.time_to_first_token_ms ? `, first words after ${ai.time_to_first_token_ms.toFixed(0)} ms` : ""}`],
                ["Answer", x.http.status ? `${x.http.status}${x.error ? ` ${x.error.type}: ${x.error.message}` : ""}` : (x.error?.message ?? "none was seen")],
                ["Key", x.key && `${x.key.provider || "unknown form"} …${x.key.fingerprint} in ${x.key.header}`],
                ["Seen by", `${x.evidence.source}${x.evidence.complete ? "" : ", not to its end"}${x.evidence.gap ? ", with a gap" : ""}${x.evidence.truncated ? ", cut" : ""}`],
                ["Image", x.container && <Image container={x.container} />],
              ]}
            />
            <Matches data={x.data} />
            <h3>Conversation</h3>
            {ai.input.length + ai.output.length ? (
              <ol className="turns">
                {ai.input.map((message, at) => <Turn key={`i${at}`} message={message} />)}
                {ai.output.map((message, at) => <Turn key={`o${at}`} message={message} />)}
              </ol>
            ) : (
              <p className="dim">No words: {ai.operation} carries none, or your role may not read them.</p>
            )}
            {!!ai.tools.length && (
              <p>
                Tools offered: {ai.tools.map((tool) => <Tag key={tool.name} kind="tool">{tool.name}</Tag>)}
              </p>
            )}
            <h3>Connection</h3>
            <Facts
              rows={[
                ["From", x.network.src],
                ["To", x.network.dst],
                ["Name", x.network.domain && `${x.network.domain} (from ${x.network.domain_from})`],
                ["TLS", x.network.tls ? `SNI ${x.network.tls.sni || "none"}` : "none: in the clear"],
                ["HTTP", `${x.http.method} ${x.http.url} ${x.http.version}`],
                ["Client", x.http.user_agent],
              ]}
            />
            <FlowOf exchange={x} />
            {x.process && <ProcessView process={x.process} since={x.time} />}
          </>
        );
      }}
    </Answer>
  );
}

function Image({ container }: { container: NonNullable<Exchange["container"]> }) {
  const label = (name: string) => container.labels[`org.opencontainers.image.${name}`];
  return (
    <>
      {container.image}
      {label("revision") && <span className="dim"> revision {label("revision")}</span>}
      {label("source") && <span className="dim"> from {label("source")}</span>}
    </>
  );
}

function FlowOf({ exchange }: { exchange: Exchange }) {
  const pid = exchange.process?.pid ?? 0;
  const asked = useAsk<{ flows: Flow[] }>(pid ? `/flows?pid=${pid}&limit=200` : null);
  const flow = asked.data?.flows.find((one) => one.src === exchange.network.src && one.dst === exchange.network.dst);
  if (!flow) return null;
  return (
    <Facts
      rows={[
        ["Flow", `${flow.proto} ${flow.state}, ${bytes(flow.bytes_sent)} sent, ${bytes(flow.bytes_received)} received`],
        ["Packets", `${count(flow.packets_sent)} sent, ${count(flow.packets_received)} received`],
        ["Since", moment(flow.start)],
      ]}
    />
  );
}

export function ProcessView({ process, since }: { process: ProcessRef; since?: string }) {
  return (
    <>
      <h3>Process</h3>
      <ol className="tree">
        {[...process.ancestors].reverse().map((above) => (
          <li key={above.pid}>
            <span className="pid">{above.pid}</span> {base(above.exe) || "?"} <span className="dim">{(above.argv ?? []).join(" ").slice(0, 160)}</span>
          </li>
        ))}
        <li className="here">
          <span className="pid">{process.pid}</span> {base(process.exe) || "?"} <span className="dim">{process.argv.join(" ").slice(0, 400)}</span>
        </li>
      </ol>
      <Facts rows={[["Program", process.exe], ["Directory", process.cwd], ["User", process.user]]} />
      <Next pid={process.pid} since={since} />
    </>
  );
}

/** What the process did after the exchange: programs it started, files it opened, connections it made. */
function Next({ pid, since }: { pid: number; since?: string }) {
  const system = useAsk<{ system: SystemRecord[] }>(pid ? `/system?pid=${pid}&limit=200` : null);
  const flows = useAsk<{ flows: Flow[] }>(pid ? `/flows?pid=${pid}&limit=200` : null);
  const from = since ? new Date(since).getTime() : 0;
  const steps: { time: string; what: ReactNode; key: string }[] = [];
  for (const record of system.data?.system ?? [])
    steps.push({ time: record.time, key: record.id, what: <>{record.process?.pid !== pid ? "started " : ""}{said(record)}</> });
  for (const flow of flows.data?.flows ?? [])
    steps.push({ time: flow.start, key: flow.id, what: <>connected to {flow.domain || flow.dst} <span className="dim">{flow.dst}, {bytes(flow.bytes_sent)} sent</span></> });
  const later = steps.filter((step) => new Date(step.time).getTime() >= from - 1000).sort((a, b) => a.time.localeCompare(b.time));
  if (!later.length) return null;
  return (
    <>
      <h3>What it did next</h3>
      <ol className="next">
        {later.slice(0, 60).map((step) => (
          <li key={step.key}>
            <time>{moment(step.time)}</time> {step.what}
          </li>
        ))}
      </ol>
    </>
  );
}

function said(record: SystemRecord): ReactNode {
  const command = record.process?.argv.join(" ").slice(0, 200);
  if (record.kind === "exec" || record.kind === "started") return <>program <code>{command || record.process?.exe}</code></>;
  return (
    <>
      {record.kind} {record.label && <Tag>{record.label}</Tag>} <code>{record.path || record.source}</code>
    </>
  );
}

export function FindingView({ id }: { id: string }) {
  const asked = useAsk<Finding>(`/findings/${encodeURIComponent(id)}`);
  return (
    <Answer asked={asked} what="Loading the finding">
      {(finding) => (
        <>
          <p>
            <Badge severity={finding.severity} /> <code>{finding.rule}</code> {finding.action && <Tag>{finding.action}</Tag>}
          </p>
          <Facts
            rows={[
              ["Seen", `${count(finding.count)} times, last ${ago(finding.last_seen)}`],
              ["First", moment(finding.first_seen)],
              ["Workload", finding.workload?.name],
              ["Image", finding.image],
              ["Confidence", `${Math.round(finding.confidence * 100)} %`],
              ...Object.entries(finding.subject).map(([name, value]): [string, string] => [name, value]),
              ["Tags", [...finding.tags.atlas, ...finding.tags.attack, ...finding.tags.owasp].map((tag) => <Tag key={tag}>{tag}</Tag>)],
            ]}
          />
          <h3>Evidence</h3>
          {finding.evidence.length ? finding.evidence.map((one, at) => <EvidenceView key={at} evidence={one} />) : <Empty title="None was kept." />}
          {finding.network && (
            <>
              <h3>Network posture</h3>
              <Facts rows={Object.entries(finding.network).map(([name, value]): [string, string] => [name.replaceAll("_", " "), typeof value === "string" ? value : JSON.stringify(value)])} />
            </>
          )}
          {finding.process && <ProcessView process={finding.process} since={finding.first_seen} />}
        </>
      )}
    </Answer>
  );
}

function EvidenceView({ evidence }: { evidence: Record<string, unknown> }) {
  const { type, id, time, data, lineage, ...rest } = evidence as { type?: string; id?: string; time?: string; data?: DataMatch[]; lineage?: string[] };
  const others = Object.entries(rest as Record<string, unknown>).filter(([, value]) => value !== "" && value !== null && !(Array.isArray(value) && !value.length));
  return (
    <div className="evidence">
      <p>
        <Tag>{type ?? "evidence"}</Tag> {time && moment(time)} {type === "exchange" && id && <a href={link("exchanges", id)}>the conversation</a>}
      </p>
      {lineage?.map((line) => <p key={line} className="origin">{line}</p>)}
      {!!others.length && <Facts rows={others.map(([name, value]): [string, string] => [name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value)])} />}
      {data && <Matches data={data} />}
    </div>
  );
}
