# `make help` lists the targets. Each installs what it needs into .venv on its first run; a stamp file there makes later
# runs quick.

SHELL := /bin/bash
# OpenMP threads that wait should sleep: spinning, they take the cores from the tests that run beside them.
export OMP_WAIT_POLICY := PASSIVE
# Where this is set, each of the hundreds of processes that tests start compiles the package.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTED := builtin,url,remote,s3,demo,formats,explore,server,mcp,ui,terminal,ray,milvus,postgres,ocr,docs
# Python compiles what is imported; pip would compile every module of every package, which takes a minute.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt

# Of `make test-long`: how many samples of each command, or `all` of them (hours), and seconds of fuzzing for each reader.
FAULTS ?= all
FUZZ_SECONDS ?= 60
# A second Python for `make test-python`.
OTHER_PYTHON ?= python3.13

STATIC := lint format types imports
CHECKED := $(addprefix check-,$(STATIC))
CHECK_WHEEL := .ci/wheel
PYTEST := $(BIN)/pytest -W error -n 2 --dist worksteal
# Linters and tests beside each other: all run to their end, and one that fails fails the whole. Its name comes last.
TOGETHER = @$(MAKE) --no-print-directory --keep-going --jobs=3

.PHONY: help demo check test test-long test-counterparts test-lowest test-python fuzz release site cli-docs json-docs \
  catalogue encoder-docs page-pictures debian installed test-durations coverage mutations $(CHECKED) check-wheel \
  pytest-check pytest-test pytest-long
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.* ## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-25s %s\n", $$1, $$2}'

demo: $(VENV)/.installed-demo ## index photographs that ship inside scikit-image and scikit-learn, and search them
	@$(BIN)/imseek demo

check: $(VENV)/.installed-test ## while you work, 90 s: linters, types, unit tests without model, server and browser
	$(TOGETHER) pytest-check $(CHECKED)

test: installed ## what CI runs: linters, types, tests, the built wheel at work in a clean environment
	$(TOGETHER) pytest-test $(CHECKED) check-wheel

test-long: installed ## hours: every kill and power cut, ten times the examples, fuzzing, other versions
	$(TOGETHER) pytest-long $(CHECKED)
	$(MAKE) test-counterparts
	$(MAKE) fuzz
	$(MAKE) mutations
	$(MAKE) test-lowest
	@if command -v $(OTHER_PYTHON) >/dev/null; then $(MAKE) test-python; else echo "make: no $(OTHER_PYTHON) here: left out"; fi

check-lint:
	@$(BIN)/ruff check

check-format:
	@$(BIN)/ruff format --check

check-types:
	@$(BIN)/mypy --strict

check-wheel:
	@$(CHECK_WHEEL)

check-imports:
	@$(BIN)/lint-imports --no-cache

pytest-check:
	$(PYTEST) -m 'not slow' tests/unit

pytest-test:
	$(PYTEST)

# Every sample there is takes longer than a test may take otherwise. hypothesis draws by a new seed and keeps what failed.
pytest-long:
	IMSEEK_SAMPLES=all IMSEEK_FAULTS=$(FAULTS) IMSEEK_DAMAGES=7 IMSEEK_HTTP_EXAMPLES=50 \
	  $(PYTEST) --hypothesis-profile=long -o timeout=14400 -o faulthandler_timeout=14460

test-durations: installed ## run all tests and write which are slow: those take turns in `make test`
	IMSEEK_DURATIONS=1 IMSEEK_SAMPLES=all $(PYTEST) --deselect tests/bench

# pytest collects these two files only by name. Nothing that they need may be missing: IMSEEK_CI makes skips failures.
test-counterparts: $(VENV)/.installed-fiftyone $(VENV)/.installed-xterm debian ## FiftyOne and xterm.js read our output (450 MB)
	IMSEEK_CI=1 $(PYTEST) tests/e2e/fiftyone_import.py tests/browser/xterm_pictures.py

comma := ,
test-lowest: $(BIN)/python debian ## the tests with the lowest versions that pyproject.toml allows (downloads gigabytes)
	$(PIP_INSTALL) --quiet uv
	$(BIN)/python -m venv --clear $(VENV)/lowest
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --resolution lowest-direct pyproject.toml \
	  $(addprefix --extra ,$(subst $(comma), ,$(TESTED))) --output-file $(VENV)/lowest/constraints.txt
	$(VENV)/lowest/bin/python -m pip install --disable-pip-version-check -c $(VENV)/lowest/constraints.txt -e '.[$(TESTED),dev]'
	IMSEEK_CI= $(VENV)/lowest/bin/pytest -W default -n 2 --dist worksteal tests/unit tests/contracts tests/integration

test-python: debian ## the tests with another Python: make test-python OTHER_PYTHON=python3.13 (downloads its packages)
	$(OTHER_PYTHON) -m venv --clear $(VENV)/other
	$(VENV)/other/bin/python -m pip install --disable-pip-version-check -e '.[$(TESTED),dev]'
	IMSEEK_CI= $(VENV)/other/bin/pytest -W default -n 2 --dist worksteal

# Tests of what is imported, and how quickly, fail where every process is measured.
UNMEASURED := test_encoder_builtin.py::test_a_query_by_text_imports_neither_torch_nor_pillow \
  test_encoder_text_cache.py::test_a_cold_query_imports_nothing_heavy \
  test_encoder_exported_images.py::test_a_process_that_encodes_one_picture_imports_nothing_heavy test_media_sandbox.py::test_workers_end_with_their_process
coverage: installed ## an hour: all tests, and which lines and branches of the package they reach
	rm -rf $(VENV)/coverage && mkdir -p $(VENV)/coverage
	COVERAGE_FILE=$(CURDIR)/$(VENV)/coverage/data IMSEEK_SAMPLES=all $(PYTEST) -o timeout=3600 -o faulthandler_timeout=3660 \
	  --cov --cov-report= --deselect tests/bench $(addprefix --deselect tests/unit/,$(UNMEASURED)) \
	  --deselect tests/e2e/test_cli_imports.py --deselect tests/e2e/test_cli_encoders.py::TestList \
	  --deselect tests/hostile/inputs/test_inputs.py::test_no_lie_does_harm
	@COVERAGE_FILE=$(VENV)/coverage/data $(BIN)/coverage report --format=total --fail-under=92
	@COVERAGE_FILE=$(VENV)/coverage/data $(BIN)/coverage report --include='imseek/data/*' --fail-under=97

# `.venv/bin/mutmut browse` shows those that no test noticed. MUTANTS names some: 'imseek.search.where.*'.
mutations: installed ## hours: change the code in thousands of places, one at a time, and see whether tests notice
	$(PIP_INSTALL) --quiet -e '.[mutations]'
	IMSEEK_SAMPLES=all IMSEEK_SEED=1 $(BIN)/mutmut run --max-children 2 $(MUTANTS)

# What is found is named. bench/fuzz.py tells more.
fuzz: $(VENV)/.installed-test ## a minute of random bytes for each reader of strangers' files
	$(PIP_INSTALL) --quiet -e '.[fuzz]'
	$(BIN)/python bench/fuzz.py --jobs 2 --seconds $(FUZZ_SECONDS)

release: $(VENV)/.installed-test ## build, check, try and tag the version in imseek/_version.py: see RELEASING.md
	$(PIP_INSTALL) --quiet -e '.[release]'
	.ci/release

# Programs that tests skip without: strace records system calls for power cuts, chromium shows the pages, PostgreSQL has
# catalogs, libsixel decodes pictures for terminals, Tesseract reads Greek and Cyrillic, which tests write in DejaVu.
debian:
	@missing=; command -v strace >/dev/null || missing+=" strace"; command -v chromium >/dev/null || missing+=" chromium"; \
	  command -v sixel2png >/dev/null || missing+=" libsixel-bin"; \
	  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=" postgresql"; \
	  [ "$$(tesseract --list-langs 2>&1 | grep -cxE 'ell|rus')" = 2 ] || missing+=" tesseract-ocr-ell tesseract-ocr-rus"; \
	  ls /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf >/dev/null 2>&1 || missing+=" fonts-dejavu-core"; \
	  [ -z "$$missing" ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq $$missing >/dev/null; } || \
	  echo "make: missing (Debian: apt install$$missing); tests with them will be skipped" >&2

site: $(VENV)/.installed-test ## build the documentation as a web site into site/: warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

cli-docs: $(VENV)/.installed-test ## write docs/cli.md from the commands' --help
	$(BIN)/python -P -m imseek.ui.cli.reference docs/cli.md

json-docs: $(VENV)/.installed-test ## write docs/json.md and docs/schemas from the types of results
	$(BIN)/python -P -m imseek.ui.cli.json_schemas docs/schemas
	$(BIN)/python -P -m imseek.ui.cli.json_reference docs/json.md

# Minutes: every architecture is built, without numbers. Then `make encoder-docs`.
catalogue: $(VENV)/.installed-test ## write what open_clip, timm and transformers know into encoders/catalogue/weights.json
	HF_HUB_OFFLINE=1 $(BIN)/python -P -m imseek.encoders.catalogue.make

encoder-docs: $(VENV)/.installed-test ## write the tables of docs/encoders.md from the catalogue
	$(BIN)/python -P -m imseek.ui.render.encoders_page docs/encoders.md

# docs/ui.md shows them.
page-pictures: $(VENV)/.installed-test ## take the pictures of the pages in docs/ui.md
	$(BIN)/python -P docs/pictures/pages.py

# All beside each other: pip keeps one core busy.
installed:
	@$(MAKE) --no-print-directory --jobs=4 $(VENV)/.installed-test $(VENV)/.installed-clip-retrieval $(VENV)/.compiled debian

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed; imseek needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version) is too old: imseek needs 3.11 or newer (make PYTHON=python3.12 $(MAKECMDGOALS))" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "make: no virtual environment could be made (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[builtin,demo]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP_INSTALL) -e '.[$(TESTED),dev]'
	@if nvidia-smi >/dev/null 2>&1; then $(BIN)/python -m pip uninstall --yes faiss-cpu faiss-gpu && $(PIP_INSTALL) 'faiss-gpu>=1.14'; fi
	$(PIP_INSTALL) --quiet --no-deps --target $(VENV)/clip-client clip-retrieval==2.45.0
	@touch $@ $(VENV)/.installed-demo

# The real clip-retrieval, which wants older versions of much: in an environment of its own, but with the torch of ours.
PACKAGES = -c 'import sysconfig; print(sysconfig.get_path("purelib"))'
$(VENV)/.installed-clip-retrieval: tests/clip-retrieval.txt | $(BIN)/python
	$(BIN)/python -m venv --clear $(VENV)/clip-retrieval
	$(VENV)/clip-retrieval/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r $<
	$(BIN)/python $(PACKAGES) > "$$($(VENV)/clip-retrieval/bin/python $(PACKAGES))/zz-imseek.pth"
	@touch $@

# In a fresh clone each process of tests would compile the package and rewrite the asserts of all tests: 17 s of CPU in each.
# pytest alone does it while pip installs the rest: it stores the code of a module before an import in it fails.
$(VENV)/.compiled: | $(BIN)/python
	$(PIP_INSTALL) --quiet --target $(VENV)/compiling pytest
	@$(BIN)/python -m compileall -q -x '/test_' imseek tests
	@PYTHONPATH=$(VENV)/compiling $(BIN)/python -m pytest -c /dev/null --rootdir=. --noconftest --import-mode=importlib \
	  -p no:cacheprovider --collect-only --quiet --tb=no tests >/dev/null 2>&1 || true
	@rm -rf $(VENV)/compiling
	@touch $@

# FiftyOne likewise. It has older versions of much.
$(VENV)/.installed-fiftyone: tests/fiftyone.txt $(VENV)/.installed-test
	$(BIN)/python -m venv --clear $(VENV)/fiftyone
	$(VENV)/fiftyone/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r $<
	$(BIN)/python $(PACKAGES) > "$$($(VENV)/fiftyone/bin/python $(PACKAGES))/zz-imseek.pth"
	@touch $@

$(VENV)/.installed-xterm: tests/xterm.txt $(VENV)/.installed-test
	@command -v npm >/dev/null || { echo "make: npm is missing (Debian: apt install npm)" >&2; exit 1; }
	rm -rf $(VENV)/xterm && mkdir $(VENV)/xterm
	npm pack --silent --pack-destination $(VENV)/xterm $$(grep '^@' $<)
	for packed in $(VENV)/xterm/*.tgz; do tar -xzf $$packed -C $(VENV)/xterm --strip-components=1 || exit; done
	@touch $@
