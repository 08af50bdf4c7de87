"""What a command line makes a shell run: its pipelines, with wrappers (env, timeout, sudo) taken off. Any text gives an answer.

This reads shell as a person skims it: quoting, separators, pipes, substitutions and nested `sh -c` are followed, expansions are
not. Bounded: 8 KiB of text, 64 commands, three levels.
"""

from __future__ import annotations

import functools
import posixpath
import re
import shlex

from leeward.detect.programs import Program, program_of, words_of

Words = tuple[str, ...]
Pipeline = tuple[Words, ...]

_TEXT, _COMMANDS, _DEPTH = 8192, 64, 3
_PUNCTUATION = "();<>|&"
_INNER = re.compile(r"\$\(([^()]{1,4096})\)|`([^`]{1,4096})`")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_KEYWORDS = words_of("if then else elif fi do done while until for in case esac { } ! time coproc select function")
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")

#: Options of wrappers that take the next word.
_VALUED = {
    name: words_of(options)
    for name, options in {
        "env": "-u -C -S", "timeout": "-s -k", "nice": "-n", "ionice": "-c -n -p", "stdbuf": "-i -o -e", "doas": "-u -C",
        "sudo": "-u -g -h -p -C -U -r -t", "xargs": "-I -n -P -d -a -L -s -E", "taskset": "-p", "flock": "-w -E", "watch": "-n",
        "numactl": "-m -N -C", "chrt": "-p", "parallel": "-j -a", "time": "-f -o", "nsenter": "-t -S -G", "strace": "-e -o -p -s",
    }.items()
}  # fmt: skip
#: Wrappers that take a word of their own before the command: a duration, a mask, a lock, a user.
_TAKES = {"timeout": 1, "taskset": 1, "flock": 1, "gosu": 1, "su-exec": 1, "chrt": 1, "softlimit": 0}


def pipelines(argv: Words) -> tuple[Pipeline, ...]:
    """What this command line runs. Of a program that is no shell: itself, without wrappers."""
    return _pipelines(argv[:256], 0)


@functools.lru_cache(maxsize=4096)
def _pipelines(argv: Words, depth: int) -> tuple[Pipeline, ...]:
    words = unwrapped(argv)
    if not words:
        return ()
    text = shell_text(words)
    if text is None or depth >= _DEPTH:
        return ((words,),)
    made: list[Pipeline] = []
    for line in split(text):
        made += _flatten(line, depth + 1)
        if len(made) >= _COMMANDS:
            break
    return tuple(made[:_COMMANDS])


def _flatten(line: Pipeline, depth: int) -> list[Pipeline]:
    """A pipeline of a script, with what its shells run themselves after it."""
    made: list[Pipeline] = [tuple(words for words in (unwrapped(part) for part in line) if words)]
    for words in line:
        if shell_text(unwrapped(words)) is not None:
            made += _pipelines(unwrapped(words), depth)
    return [pipeline for pipeline in made if pipeline]


def shell_text(argv: Words) -> str | None:
    """The program text of `sh -c TEXT` and `eval TEXT`, None of anything else."""
    if argv and argv[0] == "eval":
        return " ".join(argv[1:])
    made = program_of("", argv)
    if "shell" not in made.kinds or made.script is None or made.script.kind != "code":
        return None
    for at, word in enumerate(argv[1:], 1):
        if word.startswith("-") and not word.startswith("--") and word.endswith("c") and at + 1 < len(argv):
            following = argv[at + 1 :]
            return next((one for one in following if not one.startswith(("-", "+"))), None)
        if not word.startswith(("-", "+")):
            break
    return None


def unwrapped(argv: Words) -> Words:
    """Without assignments and wrappers before the command."""
    words = argv
    for _ in range(8):
        while words and (_ASSIGNED.match(words[0]) or words[0] in _KEYWORDS):
            words = words[1:]
        if not words:
            return ()
        name = posixpath.basename(words[0])
        if "wrapper" not in program_of("", (name,)).kinds or name == "eval" or len(words) == 1:
            return words
        rest = _after(name, words[1:])
        if not rest:
            return words
        words = rest
    return words


def _after(name: str, words: Words) -> Words:
    """What follows a wrapper's own options and words."""
    valued, takes, at = _VALUED.get(name, frozenset()), _TAKES.get(name, 0), 0
    while at < len(words):
        word = words[at]
        if word == "--":
            at += 1
            break
        if word.startswith("-") and len(word) > 1:
            at += 2 if word in valued else 1
        elif _ASSIGNED.match(word):
            at += 1
        elif takes:
            takes, at = takes - 1, at + 1
        else:
            break
    return words[at:]


@functools.lru_cache(maxsize=4096)
def split(text: str) -> tuple[Pipeline, ...]:
    """A shell's text as pipelines of words. Targets of redirections are words of their command."""
    text = text[:_TEXT]
    made = list(_split(text))
    for inner in _INNER.finditer(text):
        made += _split(inner[1] or inner[2])
        if len(made) >= _COMMANDS:
            break
    return tuple(made[:_COMMANDS])


def _split(text: str) -> list[Pipeline]:
    lines: list[Pipeline] = []
    pipeline: list[Words] = []
    words: list[str] = []
    for token in _tokens(text):
        if token and not token.strip(_PUNCTUATION):
            if "<" in token or ">" in token:
                continue
            if words:
                pipeline.append(tuple(words))
                words = []
            if token not in ("|", "|&") and pipeline:
                lines.append(tuple(pipeline))
                pipeline = []
        elif token != "$":
            words.append(token)
    if words:
        pipeline.append(tuple(words))
    if pipeline:
        lines.append(tuple(pipeline))
    return lines


def _tokens(text: str) -> list[str]:
    text = text.replace("\\\n", " ").replace("\n", " ; ")
    for _ in range(2):
        lexer = shlex.shlex(text, posix=True, punctuation_chars=_PUNCTUATION)
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            return list(lexer)
        except ValueError:  # a quote is not closed
            text = text.replace("'", " ").replace('"', " ").replace("\\", " ")
    return text.split()


def programs_run(argv: Words) -> list[tuple[Program, Words]]:
    """Every program that this command line runs, by its words."""
    return [(program_of("", words), words) for line in pipelines(argv) for words in line]


def fetches_and_runs(argv: Words) -> str:
    """How it downloads something and runs it, "" if it does not: `curl ... | sh`, `wget -O x ...; sh x`, `sh <(curl ...)`."""
    fetched = False
    for line in pipelines(argv):
        kinds = [program_of("", words).kinds for words in line]
        for at, kind in enumerate(kinds):
            if "downloader" in kind:
                fetched = True
                after = [k for k in kinds[at + 1 :] if k & {"shell", "interpreter"}]
                if after:
                    return " | ".join(words[0] for words in line)[:120]
        if fetched and any(_runs_file(words) for words in line):
            return "downloads a file and runs it"
    code = " ".join(argv)
    if _BY_CODE.search(code):
        return "code that downloads and runs"
    return ""


_BY_CODE = re.compile(
    r"(?:exec|eval|system|os\.popen|subprocess\.\w+)\s*\(\s*(?:compile\()?[^)]{0,80}(?:urlopen|requests\.get|urllib|fetch\(|http)"
    r"|(?:ba|z|da)?sh\s+<\(\s*(?:curl|wget)|\b(?:ba|z|da)?sh\s+-c\s+[\"']?\$\((?:curl|wget)|source\s+<\(\s*(?:curl|wget)"
    r"|base64\s+(?:-d|-D|--decode)\s*\|\s*(?:ba|z|da)?sh\b",
)


def _runs_file(words: Words) -> bool:
    """Runs, or makes executable, a file by its path."""
    first = program_of("", words)
    if first.name in ("chmod",) and any("x" in word or word.startswith(("7", "07")) for word in words[1:2]):
        return True
    if first.script is not None and first.script.kind == "file":
        return True
    return words[0].startswith(("./", "/tmp/", "/var/tmp/", "/dev/shm/", "~/", "$HOME/"))
