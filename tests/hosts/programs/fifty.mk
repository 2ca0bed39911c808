# fifty.mk - fifty targets that fail, each with a status of its own: make -k
# says which. See ../README.md.
NUMBERS := $(shell seq 0 49)
TARGETS := $(NUMBERS:%=child-%)

.PHONY: all $(TARGETS)
all: $(TARGETS)
$(TARGETS): ready
$(TARGETS): child-%:
	@sh "$(dir $(lastword $(MAKEFILE_LIST)))step.sh" $* $$((101 + $*))

.PHONY: ready
ready:
	@echo go > "$$XLHOST_GO"
