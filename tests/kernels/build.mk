# tests/kernels/build.mk - the suites on the kernels that Debian has now, in
# machines of qemu's; included by tests/c/build.mk

.PHONY: check-kernels kernels-page

# Whole-machine faults: only there.
build/kernels/machine: tests/faults/machine.c build/tests/plain/libxt.a \
  build/tests/plain/libcore.a
	@mkdir -p $(@D)
	$(CC) $(XT_CFLAGS) -O2 -pthread -o $@.part $^
	@mv $@.part $@

build/kernels/facts: tests/kernels/facts.c build/tests/plain/libcore.a
	@mkdir -p $(@D)
	$(CC) $(XT_CFLAGS) -O2 -pthread -o $@.part $^
	@mv $@.part $@

# A make of its own reads what has come by then. Other releases:
# make check-kernels XK_RELEASES=sid
XK_RELEASES ?=
check-kernels: ## all on the kernels of Debian 12, 13 and unstable (60 minutes)
	@scripts/deps kernels
	@$(MAKE) --no-print-directory build-c-plain build-c-plain-chaos lib \
	  helpers python build/kernels/facts build/kernels/machine
	@$(PYTHON) -B tests/kernels/run.py $(XK_RELEASES) -- $(plain_BIN)

kernels-page: ## write the table of docs/kernels.md from the last check-kernels
	@$(PYTHON) -B tests/kernels/page.py --write
