// A policy filled in from a finding: what would stop it, to be reviewed and simulated.
import type { Finding } from "./types";

const q = (text: string) => JSON.stringify(text);

export function policyFor(finding: Finding): string {
  const { destination = "", kind = "", provider = "", domain = "", model = "" } = finding.subject;
  const place = destination || domain;
  const terms: string[] = [];
  let action = "block";
  let raises = "unsanctioned-provider";
  let extra = "";
  if (kind) {
    terms.push(`${q(kind)} in kinds`);
    action = "redact";
    raises = kind.startsWith("secret.") ? "secret-in-prompt" : kind === "code.source" ? "source-code-in-prompt" : "data-leak";
    extra = `      redact: [${q(kind)}]\n`;
  }
  if (place && !/^[\d.:[\]]+$/.test(place)) terms.push(`destination.domain == ${q(place)}`);
  else if (place) terms.push(`destination.ip == ${q(place.replace(/:\d+$/, ""))}`);
  else if (provider) terms.push(`provider == ${q(provider)}`);
  if (model && finding.rule === "unsanctioned-model") terms.push(`model == ${q(model)}`);
  if (!terms.length && finding.process?.exe && finding.rule.startsWith("shell")) {
    terms.push(`process.exe == ${q(finding.process.exe)}`);
    action = "kill";
    raises = "unexpected-process";
  }
  if (!terms.length) return "";
  const scope = finding.workload ? `  scope:\n    workloads: [${q(finding.workload.id)}]\n` : "";
  if (model && finding.rule === "unsanctioned-model") raises = "unsanctioned-model";
  return `# Made from finding ${finding.id}: review it, simulate it, then let it enforce.
apiVersion: leeward/v1
kind: Policy
metadata:
  name: stop-${finding.rule}
spec:
  mode: alert  # enforce, once the simulation shows nothing honest
${scope}  rules:
    - name: ${finding.rule}
      when: ${q(terms.join(" && "))}
      action: ${action}
${extra}      finding: ${raises}
      severity: ${finding.severity === "info" ? "low" : finding.severity}
      message: ${q(finding.title.slice(0, 160))}
`;
}
