.DEFAULT_GOAL := help
.PHONY: help build dist quickstart test test-memory crash audit-load measure-import measure-revoke-all measure-store measure-telemetry measure-layers bench bench-primitives measure-hot oidc check fmt docs proto-baseline

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: ## compile for release
	cargo build --locked --release

dist: ## compile what is shipped, target/dist/token-authority; some minutes
	cargo build --locked --profile dist

quickstart: ## the whole story on a fresh temporary database, then keep serving
	cargo run --locked --release -- quickstart

test: ## run every test on SQLite and on a throw-away PostgreSQL
	scripts/test.sh

test-memory: ## run every test with answers from memory, without, and with room for 10 values; 45 minutes
	for memory in on off 10; do TEST_MEMORY=$$memory scripts/test.sh || exit; done

crash: ## kill the server 200 times on each database; CRASH_SEED=N for other moments
	CRASH_ROUNDS=200 scripts/with-postgres.sh cargo test --locked --test it crash::

audit-load: ## verify the audit log after 10,000 mutations at once, on both databases
	AUDIT_MUTATIONS=10000 scripts/with-postgres.sh cargo test --locked --test it audit::

measure-import: ## print what the first uses of imported tokens cost those who introspect others
	scripts/with-postgres.sh cargo test --locked --test it import_tokens_measured -- --ignored --nocapture --test-threads 1

measure-revoke-all: ## print what revoking 10 and 50,000 tokens at once takes, on both databases
	scripts/with-postgres.sh cargo test --locked --test it revoke_all_tokens_many::measure -- --ignored --nocapture --test-threads 1

measure-store: ## print how fast records are read from either database (a release build)
	scripts/with-postgres.sh cargo test --release --locked --test it store::measured -- --ignored --nocapture --test-threads 1

measure-telemetry: ## print the instructions that telemetry costs an introspection; needs valgrind
	scripts/measure-telemetry.sh

measure-layers: ## print what a call costs on its way through our layers, and through tonic alone
	cargo bench --locked --profile dist --bench layers
bench: ## print the rows of the budget of docs/performance.md, on both databases; a quarter of an hour
	scripts/bench.sh

bench-primitives: ## print what the primitives of an introspection take
	cargo bench --locked --manifest-path benches/primitives/Cargo.toml --target-dir target/benches

measure-hot: ## print the instructions of a hot introspection, and of a call that does nothing; needs valgrind
	scripts/measure-hot.sh

oidc: ## a first token by a session of a real OIDC provider, key rotation included; 3 minutes, needs npm
	scripts/oidc.sh

check: ## format, lints, docs, licences, protocol, scripts; installs nothing
	scripts/check.sh

fmt: ## format the Rust code
	cargo fmt

docs: ## regenerate docs/errors.md, docs/config.md and docs/metrics.md
	for name in errors config metrics; do \
		text=$$(cargo run --locked --quiet -- docs $$name) && printf "%s\n" "$$text" >docs/$$name.md || exit; \
	done

proto-baseline: ## accept today's protocol as the one that must not break
	PATH="$(CURDIR)/.tools/bin:$$PATH" buf build -o proto/baseline.binpb

.PHONY: helm-docs helm-golden checkov
helm-docs: ## regenerate the table of values in the chart's README.md
	text=$$(.tools/bin/python3 -B scripts/helm/readme.py) && printf "%s\n" "$$text" >helm/token-authority/README.md

helm-golden: ## accept what Helm makes of the two worked files of values today
	.tools/bin/python3 -B scripts/helm/check.py golden

checkov: ## run checkov on the chart and the Dockerfile, in an environment of its own (35 s to install)
	scripts/checkov.sh

.PHONY: image image-check rolling-restart backup-restore failover
image: ## build the image with buildah, no registry and no daemon needed: target/image.tar
	scripts/image.sh

image-check: ## run the chart's pods of target/image.tar under podman, as root; a minute
	scripts/with-postgres.sh scripts/operate.sh pod

rolling-restart: ## restart three replicas behind Envoy under load and kill one; no call may fail or be wrong; a minute
	scripts/with-postgres.sh scripts/operate.sh rolling

backup-restore: ## back up and restore both databases, and go through the incidents, by the guide's own lines
	scripts/with-postgres.sh scripts/operate.sh backups

failover: ## let PostgreSQL fail over under load, with the guide's settings and without; a minute
	scripts/with-postgres.sh scripts/operate.sh failover
