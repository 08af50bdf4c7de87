"""How well Leeward finds sensitive data, beside presidio-analyzer and detect-secrets: `make bench-data`.

The examiner is independent: nothing here imports, reads or copies a pattern, list or rule of `leeward.data`. Values come from
published algorithms and formats, texts from templates in `templates/` and in presidio-evaluator's wheel.

Every corpus is split by template, and by issuer or country where that can be, into two halves: `dev` and `held`. **Rules may be
looked at, changed and tuned on `dev` only.** `held` is for judging: whoever reads its texts or its misses to write a rule has
spoilt it. The half is a hash of the name, so that a new template moves no other one.

Only `tools/leeward_tool.py` touches Leeward, and only through its scanner. Texts are made, and peers run, by the interpreter of
`.venv-presidio`; Leeward by its own.
"""
