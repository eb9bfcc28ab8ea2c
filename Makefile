# Two commands are enough on a bare Debian or Ubuntu with a Rust toolchain: `make demo` and `make test`. Both install
# what is missing when run as root, and print the one command that does so otherwise.

CARGO ?= cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
RELEASE = $(TARGET)/$(HOST)/release
IMAGE ?= host

.PHONY: help build release lint format docs test test-vm demo bench clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## debug programs
	@scripts/setup build run
	$(CARGO) build --workspace --bins

release: ## static programs for shipping
	@scripts/setup build
	scripts/release

lint: ## format, lints, dependencies, generated pages
	@scripts/setup build
	scripts/lint

format: ## format everything
	$(CARGO) fmt --all

docs: ## generate docs/cli anew
	scripts/docs

test: ## all tests, in every lane this user can run
	scripts/test

test-vm: ## integration tests in guests with other kernels, cgroup v2 and every level of Landlock; docs/lanes.md
	scripts/test-vm

demo: ## 20 episodes of a coding task in 4 sandboxes; IMAGE=<reference> for another image than the host's own programs
	scripts/demo $(IMAGE)

bench: ## how fast, against the floor and the neighbours; writes target/bench.md
	scripts/bench

clean: ## remove what was built
	$(CARGO) clean
