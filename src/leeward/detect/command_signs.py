"""What a command line does that an intruder's would: shared by the rules that judge commands by what they do. Pure."""

from __future__ import annotations

import re

import msgspec

from leeward.detect.commands import Words, fetches_and_runs, pipelines, programs_run
from leeward.detect.programs import Program


def _either(*patterns: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile("|".join(patterns), flags)


_SENSITIVE = _either(
    r"/etc/(?:shadow|gshadow|sudoers)",
    r"\.ssh/(?:id_|[^ ]*key|\*)",
    r"\.aws/cred|\.kube/config|\.config/gcloud|\.azure/|\.vault-token|/serviceaccount/token",
    r"/proc/[^/ ]+/environ",
    r"\.netrc|\.git-credentials|\.docker/config\.json|\.npmrc|\.pypirc|wallet\.dat",
    r"(?:^|[/ ])\.env(?:\.(?:local|prod|production|dev|development|staging))?(?= |$|[;|&'\"])",
)
_BACK = _either(
    r"/dev/(?:tcp|udp)/|/inet/(?:tcp|udp)/|\bpty\.spawn\b",
    r"\bmkfifo\b.{0,300}\b(?:nc|ncat|openssl)\b",
    r"\b(?:nc|ncat)\b.{0,300}\s(?:-\w*e|-c|--exec|--sh-exec)\b|socat\b.{0,300}\bexec:",
    flags=re.IGNORECASE,
)
_CODE = _either(
    r"\bsocket\b.{0,300}\bconnect\b|\bfsockopen\b|\bTCPSocket\b|IO::Socket|\bos\.dup2\b",
    r"\bb64decode\b|\burlopen\b|\bpty\b|child_process|\bctypes\b",
    flags=re.DOTALL,
)
_PERSIST = _either(
    r"\bcrontab\b(?!\s+-l)|/etc/cron|authorized_keys|/etc/ld\.so\.preload|/etc/rc\.local",
    r"systemctl\s+(?:--user\s+)?enable|launchctl load|\.bashrc\b.{0,300}>>|>>.{0,300}\.bashrc",
)
_DESTROY = _either(
    r"\brm\s+(?:-\w{1,30}\s+){0,4}-\w{0,20}[rR]\w{0,20}\s+(?:-\w{1,30}\s+){0,4}[\"']?"
    r"(?:/(?:\*|\s|$|[\"']|etc|usr|var|home|root|boot|opt|srv|data)|~|\$HOME|\.\s*$|\*)",
    r"\bmkfs(?:\.\w+)?\s|\bdd\b.{0,300}\bof=/dev/(?:sd|nvme|vd|disk)|\bshred\b|\bwipefs\b|:\(\)\s*\{\s*:\|:",
    r"\b(?:DROP|TRUNCATE)\s+(?:DATABASE|SCHEMA|TABLE)\b|\bDELETE\s+FROM\s+\w+\s*(?:;|$|\"|')|\bdropdb\b|FLUSHALL",
    r"\bgit\s+push\b.{0,300}(?:--force\b|-f\b)|\bgit\s+reset\s+--hard\s+\S*origin",
    r"\bkubectl\s+delete\s+(?:ns|namespace|pvc|pv|all|deploy|statefulset)|\bterraform\s+destroy",
    r"\baws\s+(?:s3\s+(?:rb|rm\s.{0,300}--recursive)|ec2\s+terminate|rds\s+delete|dynamodb\s+delete)",
    r"\bgcloud\b.{0,300}\bdelete\b.{0,300}(?:-q|--quiet)|\bdocker\s+(?:volume|system)\s+(?:rm|prune)\b.{0,300}-f",
    r"\bvolume\s*delete|volumeDelete|\bvssadmin\b",
    flags=re.IGNORECASE,
)
_BLIND = _either(
    r"\bsetenforce\s+0|\biptables\s+-F|\bnft\s+flush|\bufw\s+disable|\bauditctl\s+-[De]|\baa-(?:disable|teardown)",
    r"\bsystemctl\s+(?:stop|disable|mask)\s+\S*"
    r"(?:auditd|falco|tetragon|leeward|crowdstrike|falcon|osquery|wazuh|apparmor|firewalld|rsyslog|syslog)",
    r"\bhistory\s+-c|HISTFILE=/dev/null|unset\s+HISTFILE|\bchattr\s+[-+]i|>\s*/var/log/",
    r"\bpkill\s+.{0,300}(?:leeward|falco|auditd)",
    flags=re.IGNORECASE,
)
_UPLOAD = _either(
    r"\bcurl\b.{0,300}(?:\s-d\s*@|--data(?:-binary|-raw)?[= ]@|\s-T\s|--upload-file|\s-F\s*\S*=@|\s-X\s*PUT)",
    r"\bwget\b.{0,300}--post-file|\bscp\s+\S+\s+\S+@|\brclone\s+(?:copy|sync)\b|\bnc\b.{0,300}<\s*\S",
    flags=re.IGNORECASE,
)
_MINER = _either(
    r"\bxmrig\b|stratum\+(?:tcp|ssl)|\bminerd\b|\bcpuminer\b|--donate-level",
    r"\bt-rex\b|\bnbminer\b|\blolminer\b|\bethminer\b",
    flags=re.IGNORECASE,
)


class Sign(msgspec.Struct, frozen=True):
    """what: in a few words. kind: "back" | "fetch-run" | "miner" | "destroy" | "blind" | "credentials" | "upload" | "persist" |
    "code" | "fetch" | "recon". weight: 3 what no honest program does, 2 what few do, 1 what many do."""

    kind: str
    what: str
    weight: int


def signs(argv: Words) -> list[Sign]:
    """What is told of this command line, the worst first."""
    text = " ".join(argv)[:8192]
    found: list[Sign] = []
    ran = programs_run(argv)
    kinds = {kind for made, _ in ran for kind in made.kinds}
    if _BACK.search(text) and ("shell" in kinds or "relay" in kinds or "interpreter" in kinds):
        found.append(Sign("back", "connects a shell to the network", 3))
    if how := fetches_and_runs(argv):
        found.append(Sign("fetch-run", f"downloads and runs ({how})", 3))
    if _MINER.search(text):
        found.append(Sign("miner", "starts a miner", 3))
    doing = " ".join(" ".join(words) for line in pipelines(argv) for words in line if not _speaks(words))[:16384]
    for kind, pattern, what, weight in _TABLE:
        if match := pattern.search(doing):
            found.append(Sign(kind, f"{what} ({match[0].strip()[:60]})", weight))
    if any(
        made.script is not None and made.script.kind == "code" and "shell" not in made.kinds for made, _ in ran
    ) and _CODE.search(text):
        found.append(Sign("code", "runs code that connects or unpacks", 2))
    found += _by_programs(ran)
    return sorted(found, key=lambda sign: -sign.weight)


_TABLE = (
    ("destroy", _DESTROY, "destroys", 3),
    ("blind", _BLIND, "turns off what watches", 3),
    ("credentials", _SENSITIVE, "reads credentials", 2),
    ("upload", _UPLOAD, "sends files away", 2),
    ("persist", _PERSIST, "makes itself permanent", 2),
)


def _speaks(words: Words) -> bool:
    """echo and the like only say what they are given; git commit and grep have text as arguments too."""
    return words[0].rsplit("/", 1)[-1] in ("echo", "printf", "grep", "egrep", "rg", "ag") or words[:2] in (
        ("git", "commit"),
        ("git", "grep"),
    )


def _by_programs(ran: list[tuple[Program, Words]]) -> list[Sign]:
    found: list[Sign] = []
    for made, words in ran:
        if "relay" in made.kinds:
            found.append(Sign("relay", f"uses {made.name}", 2))
        elif "downloader" in made.kinds and not _local(words):
            found.append(Sign("fetch", f"uses {made.name}", 1))
        elif (
            "recon" in made.kinds
            and "inventory" not in made.kinds
            and "file-tool" not in made.kinds
            and not _plain(made, words)
        ):
            found.append(Sign("recon", f"asks {made.name}", 1))
    return found


def _plain(made: Program, words: Words) -> bool:
    """`env X=1`, `set -e`, `mount` by a script: no question."""
    return made.name in ("env", "set", "printenv", "mount") and len(words) > 1


def _local(words: Words) -> bool:
    """A health check of one's own port."""
    urls = [word for word in words[1:] if "://" in word or word.startswith(("localhost", "127."))]
    return bool(urls) and all(re.search(r"^(?:https?://)?(?:localhost|127\.|\[::1\]|0\.0\.0\.0)", url) for url in urls)
