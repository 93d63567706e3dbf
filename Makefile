# Two commands: `make demo` does the main job on real photographs, `make test` passes the tests.
# Both install what they need into .venv on their first run; a stamp file there makes later runs quick.

SHELL := /bin/bash
# OpenMP threads that wait should sleep: spinning, they take the cores from the tests that run beside them.
export OMP_WAIT_POLICY := PASSIVE
# Where this is set, each of the hundreds of processes that tests start compiles the package.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FAISS := $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: demo test fuzz cli-docs catalogue encoder-docs page-pictures strace chromium postgresql
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	@$(BIN)/imseek demo

test: $(VENV)/.installed-test $(VENV)/.installed-clip-retrieval strace chromium postgresql
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -W error -n 2 --dist worksteal

# A minute for each reader of strangers' files; what is found is named. bench/fuzz.py tells more.
fuzz: $(VENV)/.installed-test
	$(PIP_INSTALL) --quiet -e '.[fuzz]'
	$(BIN)/python bench/fuzz.py --jobs 2

# It records system calls for the tests of power cuts, which skip without it.
strace:
	@command -v strace >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq strace >/dev/null; } || \
	  echo "make: strace is missing (Debian: apt install strace); the tests of power cuts will be skipped" >&2

# The tests of the pages look at them in it, and skip without it.
chromium:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
	  echo "make: chromium is missing (Debian: apt install chromium); the tests of the pages will be skipped" >&2

# Tests of catalogs on PostgreSQL start a server of their own, and skip without its programs.
postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; } || \
	  echo "make: PostgreSQL is missing (Debian: apt install postgresql); the tests with it will be skipped" >&2

cli-docs: $(VENV)/.installed-test
	$(BIN)/python -P -m imseek.ui.cli.reference docs/cli.md

# Minutes: every architecture is built, without numbers. Then `make encoder-docs`.
catalogue: $(VENV)/.installed-test
	HF_HUB_OFFLINE=1 $(BIN)/python -P -m imseek.encoders.catalogue.make

encoder-docs: $(VENV)/.installed-test
	$(BIN)/python -P -m imseek.ui.encoders_page docs/encoders.md

# docs/ui.md shows them.
page-pictures: $(VENV)/.installed-test
	$(BIN)/python -P docs/pictures/pages.py

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; imseek needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version) is too old: imseek needs 3.11 or newer (make PYTHON=python3.12 $(MAKECMDGOALS))" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "make: no virtual environment could be made (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[$(FAISS),builtin,demo]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[$(FAISS),builtin,url,remote,demo,formats,explore,server,ui,terminal,ray,milvus,postgres,dev]'
	$(PIP_INSTALL) --quiet --no-deps --target $(VENV)/clip-client clip-retrieval==2.45.0
	@touch $@ $(VENV)/.installed-demo

# The real clip-retrieval, which wants older versions of much: in an environment of its own, but with the torch of ours.
PACKAGES = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
$(VENV)/.installed-clip-retrieval: tests/clip-retrieval.txt $(VENV)/.installed-test
	$(BIN)/python -m venv --clear $(VENV)/clip-retrieval
	$(VENV)/clip-retrieval/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	$(BIN)/python $(PACKAGES) > "$$($(VENV)/clip-retrieval/bin/python $(PACKAGES))/zz-imseek.pth"
	@touch $@
