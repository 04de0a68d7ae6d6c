# Every target is one command; what it does is in Python, in setup.sh or in docker-compose.yml.
SHELL := bash
.DEFAULT_GOAL := help
PYTHON ?= .venv/bin/python
COMPOSE ?= $(shell if docker compose version >/dev/null 2>&1; then echo docker compose; else echo docker-compose; fi)
SCRIPTS = setup.sh deploy/setup/venv.sh .ci/run .ci/services

# where TOOL is missing, say so and go on; in CI, fail: $(call where_there_is,TOOL,COMMAND)
where_there_is = @if command -v $(1) >/dev/null 2>&1 || [ "$$CI" = true ]; then echo '$(2)'; $(2); \
	else echo 'skipped, $(1) is not installed: $(2)'; fi

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z][a-z_-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: ## Create .venv and install what the commands need (BASE_PYTHON=python3.12 chooses the Python)
	@deploy/setup/venv.sh requirements.txt

.PHONY: demo
demo: install ## The main job with nothing but Python: no RabbitMQ, no Docker
	@$(PYTHON) dispatch.py --embedded $(ARGS)

.PHONY: build
build: ## Build the workers' image
	$(COMPOSE) build

.PHONY: up
up: ## Start the workers and wait until they are healthy
	$(COMPOSE) up --detach --build --wait

.PHONY: run
run: install ## Run the dispatcher on the workers (make run ARGS='--format plain')
	@$(PYTHON) dispatch.py $(ARGS)

.PHONY: load-test
load-test: install ## Publish a burst of so many of each kind (make load-test TASKS=20)
	@$(PYTHON) load_test.py --tasks '$(TASKS)' $(ARGS)

.PHONY: scale
scale: install ## Set the replicas of a service (make scale QUEUE=worker-a COUNT=3)
	@$(PYTHON) scale.py set '$(QUEUE)=$(COUNT)' $(ARGS)

.PHONY: scale-all
scale-all: install ## Set the replicas of every service (make scale-all COUNT=4)
	@$(PYTHON) scale.py all '$(COUNT)' $(ARGS)

.PHONY: status
status: install ## Show services, containers, nodes and queues, and why a node is missing
	@$(PYTHON) scale.py status $(ARGS)

.PHONY: ps
ps: ## Show the workers' containers
	$(COMPOSE) ps $(ARGS)

.PHONY: logs
logs: ## Show the workers' last log lines
	$(COMPOSE) logs --tail 100 $(ARGS)

.PHONY: monitor
monitor: ## Follow the workers' logs
	$(COMPOSE) logs --follow --tail 10 $(ARGS)

.PHONY: monitoring
monitoring: ## Have the workers send events, and show them in Flower on http://localhost:5555 (make up ends the events)
	WORKER_EVENTS=1 $(COMPOSE) --profile monitoring up --detach --build --wait

.PHONY: down
down: ## Stop and remove the containers; each worker finishes its task
	$(COMPOSE) --profile monitoring down

.PHONY: test
test: ## Run every test that this machine can run (ARGS=tests/unit for a part)
	@deploy/setup/venv.sh requirements-dev.txt
	$(PYTHON) -m pytest -n 4 --dist loadgroup $(ARGS)

.PHONY: lint
lint: ## Check style, types, shell scripts and the Compose file
	@deploy/setup/venv.sh requirements-dev.txt
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(call where_there_is,shellcheck,shellcheck --external-sources --check-sourced $(SCRIPTS))
	$(call where_there_is,docker,$(COMPOSE) config --quiet)

.PHONY: bench
bench: ## Measure, side by side with plain Celery
	@deploy/setup/venv.sh requirements-dev.txt
	$(PYTHON) bench/run.py $(ARGS)

.PHONY: clean
clean: ## Remove what this project made here: containers, images, .venv, caches, results (asks first)
	@./setup.sh clean $(ARGS)
