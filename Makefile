# Every target prepares what it needs: .venv and the packages of its group, by scripts/venv.sh.

#: PYTHON       the Python that .venv is built on, 3.10 to 3.13 (python3)
#: PORT         the port of `make run` (8000)
#: DATA         the transactions of `make train` and `make evaluate`, a CSV file, plain or gzipped
#: FILE         the transactions of `make score`: .csv, .csv.gz, .jsonl or .parquet
#: OUT          the folder for the result of `make score`
#: SCORE_ARGS   more for `make score`, as in SCORE_ARGS='--carry transaction_id,shop'
#: PYTEST_ARGS  more for pytest, as in PYTEST_ARGS='-k decision -x'
#: BENCH_ARGS   more for `make bench`, as in BENCH_ARGS='--only http --rounds 3'
#: SOAK_BUDGET  how long `make soak` may take, as in 90m or 2h (2h)
#: ARCH         what `make build` builds for: x86_64 (the default) or arm64
#: ENV          where `make deploy-lambda` deploys to: dev or prod, as in samconfig.toml
#: DEPLOY_ARGS  more for sam deploy, as in DEPLOY_ARGS='--no-resolve-s3 --s3-bucket my-bucket', or for
#:              ecs/deploy.sh, as in DEPLOY_ARGS='--region eu-west-1 --parameter MinTasks=3', or for
#:              deploy-endpoint and train-sagemaker, as in DEPLOY_ARGS='--bucket my-bucket --image URI'
#: UPGRADE      set to 1, `make lock` moves every pin to the newest that fits

.DEFAULT_GOAL := help
.SUFFIXES:
# Two targets must not install into one .venv at a time.
.NOTPARALLEL:

python := .venv/bin/python
SOAK_BUDGET ?= 2h
sam := .tools/sam/bin/sam
export SAM_CLI_TELEMETRY ?= 0

##@ Use

.PHONY: help
help: ## list the targets (the default)
	@awk 'BEGIN { print "make TARGET [VARIABLE=value ...]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { split($$0, part, ":.*## "); printf "  %-16s %s\n", part[1], part[2] } \
	  /^#: / { variables = variables "  " substr($$0, 4) "\n" } \
	  END { printf "\nVariables\n%s", variables }' Makefile

.PHONY: run
run: venv-serve ## serve the API on this machine
	@exec $(python) ecs/local.py # in place of the shell, so that signals reach it

.PHONY: run-sagemaker
run-sagemaker: venv-train ## serve the API, scoring on a local stand-in for a SageMaker endpoint
	@exec $(python) -m sagemaker.local

.PHONY: doctor
doctor: venv-serve ## compare the SageMaker endpoint of .env with the bundle, and say what is wrong
	@$(python) -m core.doctor

.PHONY: train
train: data-given venv-train ## train models/creditcard on DATA
	@$(python) -m training train "$(DATA)" --out models/creditcard

.PHONY: score
score: file-given venv-train ## score FILE into the folder OUT, however large it is
	@$(python) -m core.jobs score "$(FILE)" --out "$(OUT)" $(SCORE_ARGS)

.PHONY: evaluate
evaluate: data-given venv-train ## write build/report/report.html: models/creditcard judged on DATA
	@$(python) -m training evaluate models/creditcard "$(DATA)" --out build/report

##@ Check

.PHONY: test
test: venv-all ## run the tests, all but the end-to-end ones
	@$(python) -m pytest -m "not e2e and not soak" $(PYTEST_ARGS)

.PHONY: soak
soak: venv-all ## run the full figures of the tests that promise them; stops after SOAK_BUDGET
	@timeout --signal=INT $(SOAK_BUDGET) $(python) -m pytest -s -m soak $(PYTEST_ARGS)

.PHONY: e2e
e2e: venv-all tool-sam tool-aws tool-cyclonedx ## run the end-to-end tests, with Docker
	@$(python) -m pytest -m "e2e and not soak" $(PYTEST_ARGS)

.PHONY: lint
lint: venv-all ## look for faults and stray formatting
	@$(python) -m ruff check
	@$(python) -m ruff format --check

.PHONY: types
types: venv-all ## check the types, strictly
	@$(python) -m mypy

.PHONY: validate
validate: venv-serve tool-sam tool-cfn-lint tool-checkov tool-hadolint ## check the templates and the Dockerfile
	@$(python) scripts/check_templates.py

.PHONY: audit
audit: venv-all ## look up the locked packages in the advisories of the package index
	@$(python) scripts/audit.py

.PHONY: sbom
sbom: venv-serve tool-cyclonedx ## write build/sbom.cdx.json: what ships, with licences, as CycloneDX
	@$(python) scripts/sbom.py

.PHONY: bench
bench: venv-all tool-tutorial tool-bentoml tool-mlserver ## measure the service beside a bare server and its peers
	@PYTHONPATH=ecs $(python) -m benchmarks $(BENCH_ARGS)

##@ Deploy

.PHONY: build
build: venv-serve tool-sam ## make the Lambda function and its layers, and print their sizes
	@LAMBDA_ARCHITECTURE=$(ARCH) $(sam) build
	@$(python) layers/sizes.py

.PHONY: deploy-lambda
deploy-lambda: venv-serve tool-sam ## deploy the Lambda stack of ENV, and print its URL
	@.tools/sam/bin/python scripts/deploy_lambda.py $(ENV) $(DEPLOY_ARGS)

.PHONY: package-model
package-model: venv-serve ## write build/model.tar.gz for SageMaker from models/creditcard, and print its digest
	@$(python) -m sagemaker.package_model

.PHONY: deploy-endpoint
deploy-endpoint: venv-serve ## upload the model and deploy the SageMaker endpoint's stack
	@$(python) -m sagemaker.deploy $(DEPLOY_ARGS)

.PHONY: train-sagemaker
train-sagemaker: data-given venv-train ## train models/creditcard on DATA in a SageMaker training job
	@$(python) -m sagemaker.train "$(DATA)" $(DEPLOY_ARGS)

.PHONY: image
image: ## build the container image fraud-scoring
	@docker build --file ecs/Dockerfile --tag fraud-scoring .

.PHONY: deploy-ecs
deploy-ecs: ## build the image, deploy the ECS stack, and print its URL
	@ecs/deploy.sh $(DEPLOY_ARGS)

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

.PHONY: tool-aws tool-sam tool-cfn-lint tool-checkov tool-hadolint tool-cyclonedx tool-tutorial tool-bentoml tool-mlserver
tool-aws tool-sam tool-cfn-lint tool-checkov tool-hadolint tool-cyclonedx tool-tutorial tool-bentoml tool-mlserver: tool-%:
	@sh scripts/tool.sh $*

.PHONY: file-given
file-given:
	@$(if $(and $(FILE),$(OUT)),,$(error FILE or OUT is missing: make score FILE=path/to/transactions.csv OUT=scores))

.PHONY: data-given
data-given:
	@$(if $(DATA),,$(error DATA is missing: make train DATA=path/to/transactions.csv))
	@$(if $(shell test -f "$(DATA)" && echo found),,$(error DATA is not a file: $(DATA)))
