# `make demo` and `make test` are all there is to know. Both install what is missing first.

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET_DIR)
export TRODDEN := $(TARGET_DIR)/release/trodden

.PHONY: help setup build data demo test check differential bench-compare clean

help:
	@echo 'make demo           install what is missing, build, load real data, show the answers'
	@echo 'make test           every check and every test'
	@echo 'make check          formatting, lints, house rules, documentation; no tests'
	@echo 'make differential   only the comparison with DuckDB and ClickHouse'
	@echo 'make bench-compare  times beside DuckDB and ClickHouse (EVENTS=1e6)'
	@echo 'make clean          remove what was built and fetched'

setup:
	@scripts/setup

# The whole workspace with its examples: cargo then chooses the same features for every dependency as for the tests. With
# `--bin trodden` alone it would choose others, and compile DataFusion a second time for the tests.
build: setup
	cargo build --release --locked --workspace --bins --examples

data: setup
	@scripts/fetch-data || [ $$? = 3 ]

demo: build data
	@scripts/demo

test: setup
	@scripts/test

check: setup
	@scripts/test --checks-only

differential: build data
	@scripts/differential

EVENTS ?= 1e6
bench-compare: build
	@scripts/bench-compare $(EVENTS)

clean:
	cargo clean
	rm -rf .cache
