# tests/faults/build.mk - the cases about faults, in every mode; included by
# tests/c/build.mk
#
# The cases are tests/c/sweep_*.c, fault_*.c, start_killed.c and
# host_shortage.c; machine.c is for a machine of its own (tests/kernels).

.PHONY: check-faults
check-faults: build-c-plain ## the Nth call fails, the child is killed at each, limits, storms
	@$(PYTHON) -B tests/faults/run.py build/tests/plain/tests/runner-all \
	  $(filter %/start_killed %/host_shortage,$(plain_BIN)) \
	  $(filter build/tests/plain/tests/sweep_% \
	    build/tests/plain/tests/fault_%,$(plain_BIN))
