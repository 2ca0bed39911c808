# dist.mk - what is handed out: archives, wheels, packages; and the site
#
# Included by the Makefile. dist.py makes what needs no root; debs and
# packages-check work in folders with fresh Debian systems (see chroot).

.PHONY: dist wheel debs check-packages check-dist
dist_py = PYTHONDONTWRITEBYTECODE=1 $(PYTHON) scripts/dist.py

dist: ## into build/dist: archive, sdist, wheels; as root also .debs
	@scripts/deps wheel
	@$(dist_py) source sdist wheels
	@if [ "$$(id -u)" = 0 ]; then scripts/debs; else \
	  echo "dist: .debs need root: sudo make debs"; fi

wheel: ## the wheel for PYTHON, into build/dist
	@scripts/deps wheel
	@$(dist_py) wheel

debs: ## .debs for Debian 12 and 13, into build/dist (as root)
	@scripts/deps chroot
	@scripts/debs

check-dist: ## two builds of archive, sdist and wheel give the same bytes
	@scripts/deps wheel
	@$(pytest) tests/packages/test_dist.py

check-packages: ## README and packages in new Debian systems (as root)
	@scripts/deps chroot
	@$(pytest) tests/packages

.PHONY: site check-site
site: ## guide and reference, searchable offline: build/site/html
	@scripts/deps site
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) scripts/make_site.py

check-site: ## the site in Chromium: links, console, search, a phone's width
	@scripts/deps browser
	@$(MAKE) --no-print-directory site
	@$(pytest) tests/site
