# Every target prepares what it needs: .venv and the packages of its group, by scripts/venv.sh.

#: PYTHON       the Python that .venv is built on, 3.10 to 3.13 (python3)
#: PORT         the port of `make run` (8000)
#: DATA         the transactions of `make train`, a CSV file, plain or gzipped
#: PYTEST_ARGS  more for pytest, as in PYTEST_ARGS='-k decision -x'
#: UPGRADE      set to 1, `make lock` moves every pin to the newest that fits

.DEFAULT_GOAL := help
.SUFFIXES:
# Two targets must not install into one .venv at a time.
.NOTPARALLEL:

python := .venv/bin/python

##@ Use

.PHONY: help
help: ## list the targets (the default)
	@awk 'BEGIN { print "make TARGET [VARIABLE=value ...]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { split($$0, part, ":.*## "); printf "  %-12s %s\n", part[1], part[2] } \
	  /^#: / { variables = variables "  " substr($$0, 4) "\n" } \
	  END { printf "\nVariables\n%s", variables }' Makefile

.PHONY: run
run: venv-serve ## serve the API on this machine
	@exec $(python) ecs/local.py # in place of the shell, so that signals reach it

.PHONY: train
train: data-given venv-train ## train models/creditcard on DATA
	@$(python) -m training train "$(DATA)" --out models/creditcard

##@ Check

.PHONY: test
test: venv-all ## run the tests, all but the end-to-end ones
	@$(python) -m pytest -m "not e2e" $(PYTEST_ARGS)

.PHONY: lint
lint: venv-all ## look for faults and stray formatting
	@$(python) -m ruff check
	@$(python) -m ruff format --check

.PHONY: types
types: venv-all ## check the types, strictly
	@$(python) -m mypy

##@ Maintain

.PHONY: fmt
fmt: venv-all ## mend what can be mended, and format
	@$(python) -m ruff check --fix
	@$(python) -m ruff format

.PHONY: lock
lock: venv-lock ## write requirements/*.txt anew from pyproject.toml
	@$(python) scripts/lock.py $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## remove .venv, .tools, build folders and caches; never .env or models/
	@rm -rf .venv .tools build dist .aws-sam .hypothesis .mypy_cache .pytest_cache .ruff_cache .schemathesis htmlcov
	@rm -f .coverage
	@find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# What the targets above stand on.

.PHONY: venv-serve venv-train venv-all venv-lock
venv-serve venv-train venv-all venv-lock: venv-%:
	@sh scripts/venv.sh $*

.PHONY: data-given
data-given:
	@$(if $(DATA),,$(error DATA is missing: make train DATA=path/to/transactions.csv))
	@$(if $(shell test -f "$(DATA)" && echo found),,$(error DATA is not a file: $(DATA)))
