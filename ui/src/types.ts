// What the API gives (docs: /api/v1/openapi.json). Only the fields that the page shows.

export type Severity = "info" | "low" | "medium" | "high" | "critical";
export const SEVERITIES: Severity[] = ["info", "low", "medium", "high", "critical"];

export interface Workload { id: string; name: string; kind: string }
export interface Ancestor { pid: number; exe: string; argv?: string[] }
export interface ProcessRef { pid: number; exe: string; argv: string[]; user: string; cwd: string; start_ns?: number; ancestors: Ancestor[] }
export interface DataMatch {
  kind: string; path: string; start: number; end: number; confidence: number; detector: string; sample: string; hash: string;
  side?: string; origins?: { source: string; name: string; where: string }[];
}
export interface Message { role: string; content: string; name?: string; reasoning?: string; tool_calls?: ToolCall[]; tool_call_id?: string }
export interface ToolCall { id: string; name: string; arguments: string }
export interface Container { id: string; name: string; image: string; image_digest: string; runtime: string; labels: Record<string, string> }
export interface Verdict { action: string; policy: string; rule: string; held_us?: number; message?: string; why?: string }
export interface Exchange {
  type: "exchange"; id: string; time: string; duration_ms: number; workload: Workload | null; process: ProcessRef | null;
  container: Container | null;
  network: { src: string; dst: string; domain: string; domain_from: string; direction: string; tls: { sni: string } | null };
  http: { method: string; url: string; status: number | null; version: string; user_agent: string };
  gen_ai: {
    provider: string; operation: string; request_model: string; response_model: string; input_tokens: number | null;
    output_tokens: number | null; stream: boolean; finish_reasons: string[]; input: Message[]; output: Message[];
    tools: { name: string; description?: string }[]; tool_calls: ToolCall[]; time_to_first_token_ms: number | null;
  };
  data: DataMatch[]; key: { provider: string; fingerprint: string; header: string } | null;
  error: { type: string; message: string } | null; verdict: Verdict | null;
  evidence: { source: string; complete: boolean; truncated: boolean; gap: boolean; late: boolean; joined: string; notes: string[] };
}
export interface Flow {
  type: "flow"; id: string; time: string; proto: string; src: string; dst: string; direction: string; pid: number; start: string;
  end: string; state: string; bytes_sent: number; bytes_received: number; packets_sent: number; packets_received: number;
  domain: string; sni: string; l7: string; provider: string; content: string; workload: Workload | null; exe: string;
}
export interface Finding {
  type: "finding"; id: string; rule: string; title: string; severity: Severity; confidence: number; time: string;
  first_seen: string; last_seen: string; count: number; workload: Workload | null; process: ProcessRef | null;
  container: Container | null; subject: Record<string, string>; evidence: Record<string, unknown>[];
  network: Record<string, unknown> | null; tags: { atlas: string[]; attack: string[]; owasp: string[] }; image: string; action: string;
}
export interface Step {
  time: string; layer: string; what: string; tactic: string; technique: string; severity: Severity | ""; pid: number; exe: string;
  refs: { type: string; id?: string }[];
}
export interface Incident {
  type: "incident"; id: string; title: string; severity: Severity; confidence: number; time: string; first_seen: string;
  last_seen: string; status: string; workload: Workload | null; workloads: Workload[]; rules: string[]; findings: string[];
  tactics: string[]; because: string[]; chain: Step[]; dropped: number;
}
export interface SystemRecord {
  type: "system"; id: string; time: string; kind: string; process: ProcessRef | null; workload: Workload | null; path: string;
  source: string; label: string; number: number;
}
export interface CoverageRow {
  pid: number; exe: string; workload: Workload | null; visible: string; rung: string; library: string; reason: string; remedy: string;
  services: string[]; exchanges: number; held?: string;
}
export interface Conversation {
  workload_id: string; workload: string; workload_kind: string; exe: string; provider: string; domain: string; model: string;
  operation: string; exchanges: number; input_tokens: number; output_tokens: number; errors: number; first: number; last: number;
  duration_ms: number; dst: string;
}
export interface Connection {
  workload_id: string; workload: string; exe: string; direction: string; place: string; port: number; proto: string; l7: string;
  dst: string; provider: string; flows: number; bytes_sent: number; bytes_received: number; first: number; last: number;
}
export interface MapAnswer {
  conversations: Conversation[]; connections: Connection[];
  data: { workload_id: string; domain: string; kind: string; side: string; matches: number; exchanges: number }[];
  tools: { workload_id: string; domain: string; tool: string; calls: number }[];
  findings: { workload_id: string; destination: string; severity: Severity; findings: number; occurrences: number; rules: string[] }[];
  cut: number;
}
export interface Asset {
  kind: string; name: string; about: string; exchanges: number; first: number; last: number; input_tokens: number;
  output_tokens: number; errors: number; workloads: string[]; severity: Severity | ""; findings: number; visible: string[];
}
export interface TimePoint {
  bucket: number; exchanges?: number; input_tokens?: number; output_tokens?: number; errors?: number; bytes_sent?: number;
  bytes_received?: number; flows?: number; findings?: number; serious?: number;
}
export interface Timeline { start_ms: number; step_ms: number; points: TimePoint[] }
export interface PolicyFile {
  file: string; path: string; text: string; hash: string; changed: string; editable: boolean; complaints: string[];
  warnings: string[]; rules: PolicyRule[]; trials: PolicyTrial[];
}
export interface PolicyRule { policy: string; name: string; stage: string; action: string; mode: string }
export interface PolicyTrial { name: string; line: number; action: string; rule: string; wrong: string }
export interface Outcome {
  policy: string; rule: string; action: string; severity: string; exception: string; workload: string; workload_name: string;
  provider: string; model: string; domain: string; count: number; example: string;
}
export interface Simulation { outcomes: Outcome[]; total: number; combinations: number; stopped: number; masked: number }
export interface AuditEntry { seq: number; time: string; actor: string; event: string; detail: Record<string, unknown> }
export interface Me { name: string; role: "viewer" | "analyst" | "admin" }
