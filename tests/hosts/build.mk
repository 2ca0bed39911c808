# tests/hosts/build.mk - the matrix of hosts; included by tests/c/build.mk
#
# A host whose package is missing is skipped: `scripts/deps hosts` installs all.

.PHONY: check-hosts check-hosts-quick hosts-page

build/hosts/shim.so: tests/hosts/shim.c build/c/libxlchild.a
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -fPIC -shared -pthread \
	  -fvisibility=hidden -Ic/include -o $@.part $^ -Wl,--exclude-libs,ALL
	@mv $@.part $@

hosts_need := lib build/hosts/shim.so build/tests/helpers/child

check-hosts: $(hosts_need) ## our children inside every host, in every mode (10 minutes)
	@PYTHON='$(PYTHON)' $(PYTHON) tests/hosts/driver.py

check-hosts-quick: $(hosts_need) ## about a third of that
	@PYTHON='$(PYTHON)' $(PYTHON) tests/hosts/driver.py --quick

hosts-page: ## write docs/hosts.md from the last check-hosts
	@$(PYTHON) tests/hosts/page.py --write
