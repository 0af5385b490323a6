# make test is the one command that runs everything on a fresh machine that has Go.
# make fmt lint test is what CI runs, by .ci/run.

GO       ?= go
BENCH    ?= .
FUZZTIME ?= 10s
CRASH    ?=
export GO BENCH FUZZTIME CRASH

.PHONY: build fmt lint test bench fuzz cuts crash

# The program, as bin/parlor. Where git cannot read the checkout (another user's), it is built without
# the commit in it.
build:
	@flag=; git rev-parse HEAD >/dev/null 2>&1 || flag=-buildvcs=false; \
	set -x; $(GO) build $$flag ./... && $(GO) build $$flag -o bin/ ./cmd/...

fmt:
	gofmt -w .

lint:
	@scripts/lint

# Installs the Python packages and the PostgreSQL that some tests need where it may, and runs all tests with -race.
test:
	@scripts/test

# BENCH is the pattern of what to run.
bench:
	@scripts/bench

# FUZZTIME is how long each fuzz target runs.
fuzz:
	@scripts/fuzz

# Cuts the links of a scripted game at every byte, on each wire, in some minutes. The tests without -race do so around every write, and
# make test, which has it, at ten places each way.
cuts:
	@scripts/cuts

# Kills servers under load, 200 times with SQLite and 50 times with PostgreSQL, and looks whether anything that was answered is lost. It
# prints a seed: CRASH='-seed N' does the same again, as far as the machine does; -kills N and -kills-postgres N are how often.
crash:
	@scripts/crash
