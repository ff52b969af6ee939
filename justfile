# The everyday commands. `just` is optional: each recipe is one command that works without it.

[private]
default:
    @just --list

# Build the daemon for development
build:
    cargo build --locked

# Run two simulated contact centres and the daemon; Ctrl-C stops them
demo *options:
    cargo run --release --locked -- demo {{ options }}

# Check everything that has to hold before a merge: format, lints, tests, policy, docs
check:
    tests/run

# Run all tests
test:
    cargo nextest run --locked --no-fail-fast

# Run the tests whose name contains NAME, with their output
one NAME:
    cargo nextest run --locked --no-capture {{ quote(NAME) }}

# Check format and lints
lint:
    cargo fmt --all -- --check
    cargo clippy --all-targets --locked -- -D warnings

# Build the reference of the code (cargo doc) and open it
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items --open

# Build the documentation as a site (needs mdbook) and open it
site:
    mdbook build docs --open

# Write the docs that are made from the code: configuration, routes, events
generate:
    cargo run -q --locked -- check --reference > target/configuration.md && mv target/configuration.md docs/
    cargo run -q --locked -- check --routes > target/routes.md && mv target/routes.md docs/
    cargo run -q --locked -- webhooks events > target/events.md && mv target/events.md docs/

# Save every console page as a PNG file in target/pictures (needs Chromium)
screenshots:
    SHIFTKEEPER_TEST_PICTURES=target/pictures cargo nextest run --locked --test it console

# Run one benchmark: store, decide, snapshot, sender, relay, daemon, …
bench NAME:
    cargo bench --locked --bench {{ quote(NAME) }}

# Run the mutation tests of one shard (needs cargo-mutants); without SHARD, list them
mutants SHARD="":
    tests/mutants/run {{ SHARD }}

# Fuzz one target for SECONDS; without TARGET, list them
fuzz TARGET="" SECONDS="600":
    tests/fuzz/run {{ TARGET }} {{ if TARGET == "" { "" } else { SECONDS } }}

# Run the whole daemon under simulated time: one seed, or many without SEED
world SEED="":
    {{ if SEED == "" { "" } else { "SHIFTKEEPER_WORLD_SEED=" + SEED } }} cargo nextest run --locked --test world {{ if SEED == "" { "many_seeds" } else { "one_seed" } }} --no-capture
