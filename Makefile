# The ways into this repository. Each target says what it needs; see CONTRIBUTING.md.

.PHONY: help run test quick bpf web browser images docs bench clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: ## Build the agent and watch this machine's traffic (asks for root)
	@scripts/run.sh

test: ## Everything CI checks: installs tools, then lints, kernel objects, fuzzing, all tests
	@scripts/test.sh

quick: ## The tests that need neither root nor anything installed
	HIVEWALL_SKIP_ROOT_TESTS=1 cargo test --workspace

bpf: ## Rebuild the kernel objects after a change to the datapath
	cargo xtask bpf

web: ## Rebuild the web page's bundle after a change in web/ (needs Node.js 20)
	cargo xtask web

browser: ## Look at the web page in a browser, against real agents in namespaces (as root)
	scripts/setup.sh browser
	cargo build -p hivewall
	cd web && npm ci
	web/tests/bed.sh all

images: browser ## The README's pictures, as the browser's tests made them
	cp web/test-results/shots/overview-fleet-desk.png docs/images/overview.png
	cp web/test-results/shots/flows-detail-desk.png docs/images/flows.png
	cp web/test-results/shots/map-fleet-desk.png docs/images/map.png

docs: ## Write docs/reference, the dashboards and the import table
	cargo xtask docs
	cargo xtask dashboards
	cargo xtask tidy --write

bench: ## Measure what docs/performance.md claims (as root, on a quiet machine)
	cargo build --release
	cargo xtask bench datapath
	cargo xtask bench replay
	cargo xtask bench overhead
	cargo xtask bench policy

clean: ## Remove what was built
	cargo clean
	rm -rf datapath-bpf/target fuzz/target
