# tests/programs/build.mk - other programs' own tests, under xlchild
#
# Included by the Makefile. The sources come from Debian's archive, by apt; what
# they are and what came of it stays in build/programs.

.PHONY: check-programs check-programs-quick
check-programs: python ## other programs' suites under xlchild (an hour)
	@scripts/deps programs
	@PYTHON='$(PYTHON)' $(PYTHON) -B tests/programs/run.py --write

check-programs-quick: python ## the short ones of them (ten minutes)
	@scripts/deps programs
	@PYTHON='$(PYTHON)' $(PYTHON) -B tests/programs/run.py --quick
