"""Who reads whose credentials."""

from __future__ import annotations

import pytest
from detect_acts import NULL, SECOND, T0, TTY, box, found, proc, started, system, worst

from leeward.detect.credentials import Credentials
from leeward.model.activity import Activity
from leeward.model.process import Process

FILES = {
    "history": "/root/.bash_history",
    "ssh-key": "/root/.ssh/id_rsa",
    "cloud-credential": "/root/.aws/credentials",
    "kube-credential": "/root/.kube/config",
    "package-registry-token": "/root/.npmrc",
    "ai-credential": "/root/app/.env",
    "browser-credential": "/root/.config/chromium/Default/Login Data",
    "wallet": "/root/.bitcoin/wallet.dat",
    "shadow": "/etc/shadow",
}


def opens(process: Process, *labels: str, every: float = 1.0, at: float = 0.0) -> list[Activity]:
    return [system(process, "open", at + i * every, path=FILES[label], label=label) for i, label in enumerate(labels)]


# -- sweeps ----------------------------------------------------------------------------------------------------------

ALL = ("ssh-key", "cloud-credential", "kube-credential", "package-registry-token")


def test_one_program_takes_every_class() -> None:
    """litellm's .pth: a python that was only to run something else."""
    told = found(Credentials(), *opens(proc("python3 manage.py"), *ALL))
    assert worst(told) == "high"
    sweeps = [
        f
        for f in found(Credentials(), *opens(proc("python3 x", proc("bash x.sh")), *ALL))
        if f.evidence[0]["type"] == "sweep"
    ]
    assert {f.evidence[0]["exe"] for f in sweeps} == {"/usr/bin/python3"}  # not of the shell as well
    sweep = next(f.evidence[0] for f in told if f.evidence[0]["type"] == "sweep")
    assert (sweep["value"], sweep["threshold"], sweep["margin"]) == (3, 3, 0)


TOOLS = (".aws/sso/cache/1.json", ".azure/msal_token_cache.json", ".config/gcloud/credentials.db", ".claude/.credentials.json",
         ".codex/auth.json")  # fmt: skip


def test_what_five_tools_keep_is_a_sweep_whatever_its_classes() -> None:
    ruby = proc("ruby /srv/reports/usage.rb", workload="reports.service")
    labels = ("cloud-credential",) * 3 + ("ai-credential",) * 2
    acts = [system(ruby, "open", 3.0 * n, path=f"/home/app/{path}", label=label)
            for n, (path, label) in enumerate(zip(TOOLS, labels, strict=True))]  # fmt: skip
    assert not found(Credentials(), *acts[:4])
    told = found(Credentials(), *acts)
    assert worst(told) == "high"
    assert (told[0].evidence[0]["value"], told[0].evidence[0]["threshold"]) == (5, 5)
    one = [system(ruby, "open", n, path=f"/home/app/.aws/{n}", label="cloud-credential") for n in range(9)]
    assert not found(Credentials(), *one)


def test_it_may_take_each_by_a_program_of_its_own() -> None:
    stealer = proc("/opt/x/run", proc("/usr/lib/systemd/systemd", pid=1))
    acts = [a for i, label in enumerate(ALL) for a in opens(proc(f"cat {FILES[label]}", stealer), label, at=i)]
    assert worst(found(Credentials(), *acts)) == "high"


@pytest.mark.parametrize(
    "installer", ["npm install x", "pip install x", "/usr/bin/python3 -m pip install x", "yarn add x"]
)
def test_in_an_install_it_is_critical(installer: str) -> None:
    script = proc("node telemetry.js", proc("sh -c 'node telemetry.js'", proc(installer)))
    assert worst(found(Credentials(), *opens(script, *ALL))) == "critical"
    scanner = proc("trufflehog filesystem /root", script)
    assert worst(found(Credentials(), *opens(scanner, *ALL))) == "critical"


def test_slowly_it_is_no_sweep() -> None:
    told = found(Credentials(), *opens(proc("python3 x.py"), *ALL, every=61))
    assert all(f.evidence[0]["type"] != "sweep" for f in told)


@pytest.mark.parametrize(
    "command",
    [
        "restic backup /root",
        "/usr/bin/python3 /usr/bin/borg create x",
        "tar czf /backup/home.tgz /root",
        "tar czf /backup/home.tgz -C / root",
        "rsync -a /root /mnt",
        "trufflehog filesystem /",
        "gitleaks detect",
        "grep -r foo /root",
        "clamscan -r /",
        "code /root",
    ],
)
def test_who_reads_everything_is_low(command: str) -> None:
    by_cron = proc(command, proc("cron"), cwd="/")
    assert worst(found(Credentials(), *opens(by_cron, *ALL, "wallet"))) in ("", "low")


def test_an_archive_of_the_credentials_themselves_is_not() -> None:
    tar = proc("tar czf /tmp/x.tgz .ssh .aws .kube .npmrc", proc("bash x.sh"), cwd="/root")
    assert worst(found(Credentials(), *opens(tar, *ALL))) == "high"


def test_a_deployment_needs_cloud_registry_and_cluster() -> None:
    deploy = proc("python3 deploy.py", cwd="/root/app")
    classes = ("cloud-credential", "package-registry-token", "kube-credential")
    assert not found(Credentials(), *opens(deploy, *classes, "ai-credential"))
    assert worst(found(Credentials(), *opens(proc("python3 x.py"), *classes, "ai-credential"))) == "high"


def test_the_daily_copy_of_the_password_files() -> None:
    copy = proc("cp -p shadow shadow.bak", proc("/bin/sh /etc/cron.daily/passwd"), cwd="/var/backups")
    assert not found(Credentials(), *opens(copy, "shadow"))


def test_of_the_same_name_elsewhere_is_not() -> None:
    assert worst(found(Credentials(), *opens(proc("/tmp/restic backup /root"), *ALL))) == "high"


def test_what_two_programs_of_a_session_read_is_not_one_sweep() -> None:
    sshd = proc("sshd")
    shell = proc("-bash", sshd, exe="/usr/bin/bash")
    acts: list[Activity] = [started(shell, TTY)]
    for label in ALL:
        child = proc("python3 tool.py", shell)
        acts += [started(child, TTY), *opens(child, label)]
    assert worst(found(Credentials(), *acts)) in ("", "low")


# -- one file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "label", "severity"),
    [
        ("ssh host", "ssh-key", ""),
        ("git fetch", "ssh-key", ""),
        ("/usr/bin/python3 /usr/local/bin/aws s3 ls", "cloud-credential", ""),
        ("kubectl get pods", "kube-credential", ""),
        ("npm ci", "package-registry-token", ""),
        ("python3 app.py", "cloud-credential", ""),
        ("chrome", "browser-credential", ""),
        ("sshd", "shadow", ""),
        ("/usr/sbin/unix_chkpwd bob nullok", "shadow", ""),
        ("cron", "shadow", ""),
        ("python3 x.py", "shadow", "high"),
        ("cat /etc/shadow", "shadow", "high"),
        ("python3 x.py", "browser-credential", "medium"),
        ("node x.js", "wallet", "medium"),
        ("python3 fabfile.py", "ssh-key", "low"),
        ("cat x", "cloud-credential", "low"),
        ("/tmp/kubectl x", "kube-credential", "medium"),
    ],
)
def test_one_file(command: str, label: str, severity: str) -> None:
    assert worst(found(Credentials(), *opens(proc(command), label))) == severity


def test_an_install_script_that_reads_one_key() -> None:
    script = proc("node x.js", proc("sh -c 'node x.js'", proc("npm install x")))
    assert worst(found(Credentials(), *opens(script, "ssh-key"))) == "high"
    assert not found(Credentials(), *opens(proc("git clone x", proc("npm install x")), "ssh-key"))


def test_in_a_server_a_tool_that_shows_files_is_medium() -> None:
    cat = proc("cat x", proc("sh -c 'cat x'", proc("/usr/bin/python3 -m gunicorn app")))
    assert worst(found(Credentials(), *opens(cat, "ssh-key"))) == "medium"


def test_a_person_may_look() -> None:
    cat = proc("cat x")
    assert not found(Credentials(), started(cat, TTY), *opens(cat, "ssh-key"))
    assert worst(found(Credentials(), started(cat, TTY), *opens(cat, "shadow"))) == "low"


def test_an_application_reads_its_own_env_file() -> None:
    own = proc("python3 app.py", cwd="/root/app")
    assert not found(Credentials(), *opens(own, "ai-credential"))
    classes = found(Credentials(), *opens(own, "ai-credential", "cloud-credential", "package-registry-token"))
    assert worst(classes) == ""


def test_passwords_in_a_container_are_low() -> None:
    assert worst(found(Credentials(), *opens(proc("python3 x", container=box()), "shadow"))) == "low"


# -- other processes -------------------------------------------------------------------------------------------------


def environ(process: Process, *targets: Process) -> list[Activity]:
    made: list[Activity] = [started(target) for target in targets]
    return made + [
        system(process, "open", i, path=f"/proc/{t.pid}/environ", label="environ") for i, t in enumerate(targets)
    ]


def test_environments_of_others() -> None:
    thief = proc("python3 x.py", workload="a")
    others = [proc(f"/opt/app{i}", workload=f"w{i}") for i in range(5)]
    assert worst(found(Credentials(), *environ(thief, others[0]))) == "low"
    told = found(Credentials(), *environ(thief, *others))
    assert worst(told) == "high"
    assert any(e.get("processes") == 5 for f in told for e in f.evidence)


def test_ps_shows_environments_only_if_it_is_asked_to() -> None:
    others = [proc(f"python3 /srv/{n}.py", workload=f"svc{n}.service") for n in range(5)]
    ps = proc("ps eww", proc("sh -c x", workload="portal.service"))
    assert worst(found(Credentials(), *environ(ps, *others))) == "high"
    assert not found(Credentials(), started(ps, TTY), *environ(ps, *others))
    assert not found(Credentials(), *environ(proc("ps -eo pid,comm"), *others))


def test_environments_of_several_services() -> None:
    """Few processes, but each of another service: nothing has work with three."""
    thief = proc("python3 x.py", workload="systemd:shop.service")
    others = [proc("/opt/app", workload=f"systemd:other{n}.service") for n in range(3)]
    acts = [
        system(thief, "open", n, path=f"/proc/{t.pid}/environ", label="environ", target=t) for n, t in enumerate(others)
    ]
    told = found(Credentials(), *acts)
    assert worst(told) == "medium"
    assert told[-1].evidence[0]["value"] == told[-1].evidence[0]["threshold"] == 3
    same = [proc("/opt/app", workload="systemd:other.service") for _ in range(4)]
    acts = [
        system(thief, "open", n, path=f"/proc/{t.pid}/environ", label="environ", target=t) for n, t in enumerate(same)
    ]
    assert worst(found(Credentials(), *acts)) == "low"
    assert worst(found(Credentials(), *acts[:2])) == "low"


def test_environments_of_ones_own() -> None:
    parent = proc("/opt/app", workload="a")
    child = proc("python3 x.py", parent, workload="a")
    assert not found(Credentials(), *environ(child, parent, child, *[proc("/opt/app", workload="a") for _ in range(9)]))
    assert not found(Credentials(), system(child, "open", path="/proc/self/environ", label="environ"))
    seen = system(
        proc("python3 x.py", workload="b"), "open", path=f"/proc/{parent.pid}/environ", label="environ", target=parent
    )
    assert found(Credentials(), seen)
    kin = system(
        proc("python3 x.py", workload="a"), "open", path=f"/proc/{parent.pid}/environ", label="environ", target=parent
    )
    assert not found(Credentials(), kin)
    top = proc("htop")
    assert not found(Credentials(), *environ(top, *[proc("x", workload=str(i)) for i in range(9)]))


def test_memory_is_read() -> None:
    other = proc("/opt/db", workload="db")
    seen = system(proc("python3 x", workload="a"), "open", path=f"/proc/{other.pid}/mem", label="memory")
    assert worst(found(Credentials(), started(other), seen)) == "high"
    gdb = system(proc("gdb -p 1", workload="a"), "open", path=f"/proc/{other.pid}/mem", label="memory")
    assert not found(Credentials(), started(other), gdb)


def test_a_child_that_reads_the_memory_of_who_started_it() -> None:
    """tj-actions (CVE-2025-30066): a step of a build has its runner's secrets. What reads what it started looks after it."""
    runner = proc("/opt/ci/Runner.Worker", workload="ci")
    step = proc("python3 dump.py", proc("bash -e step.sh", runner))
    opened = system(step, "open", path=f"/proc/{runner.pid}/mem", label="memory", target=runner)
    assert worst(found(Credentials(), started(runner), started(step), opened)) == "high"
    down = system(runner, "open", path=f"/proc/{step.pid}/mem", label="memory", target=step)
    assert not found(Credentials(), started(runner), started(step), down)
    environ = system(step, "open", path=f"/proc/{runner.pid}/environ", label="environ", target=runner)
    assert not found(Credentials(), started(runner), started(step), environ)


def test_an_audit_by_tools_of_the_system_is_low() -> None:
    audit = proc("sh /usr/sbin/lynis audit system", workload="lynis")
    assert worst(found(Credentials(), *opens(proc("awk -F: x /etc/shadow", audit), "shadow"))) == "low"
    swept = opens(proc("cat x", audit), *ALL, every=0.1)
    assert worst(found(Credentials(), *swept)) == "low"
    named_so = proc("sh /tmp/lynis", workload="lynis")
    assert worst(found(Credentials(), *opens(proc("awk -F: x /etc/shadow", named_so), "shadow"))) == "high"


def test_old_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leeward.detect.credentials._MOST", 50)
    detector = Credentials()
    for _ in range(80):
        found(detector, started(proc("x"), NULL), *opens(proc("python3 x"), "ssh-key"))
    assert detector.counters["credentials_sweeps_evicted"] == 30
    detector.tick(T0 + 3600 * SECOND)
    assert not detector._sweeps
