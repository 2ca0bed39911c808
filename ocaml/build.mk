# ocaml/build.mk - builds and tests the OCaml side; included by the Makefile
#
# dune does the work, from the root ocaml/, in build/ocaml. ocaml/core,
# ocaml/stubs, ocaml/keeper and ocaml/test are links to the C core, the stubs,
# bindings/keeper and tests/ocaml.

DUNE ?= dune
# One dune at a time: dune 2.9 does not see to it itself.
DUNE_BUILD := mkdir -p build && flock build/ocaml.lock \
  $(DUNE) build --root ocaml --build-dir $(CURDIR)/build/ocaml --no-print-directory --display quiet
DUNE_OUT := build/ocaml/default
# Not ./test: that is to build test/eio, too, which is check-eio's, and its
# (optional) is not heeded where there is OCaml 5 but no Eio.
DUNE_TESTS := @@test/all ./test/domains ./test/lwt ./test/moving ./test/soak

SOAK_SECONDS ?= 600

.PHONY: ocaml soak-ocaml check-ocaml check-ocaml-valgrind check-eio demo-ocaml \
  install-ocaml uninstall-ocaml

ocaml: ## build the OCaml libraries and examples
	@$(DUNE_BUILD) @install ./examples

.PHONY: ocaml-life
ocaml-life: # the daemon of tests/ocaml/life.ml alone
	@$(DUNE_BUILD) ./test/life.exe @install

check-ocaml: helpers ## run the OCaml tests
	@$(DUNE_BUILD) @install ./examples $(DUNE_TESTS)
	@PYTHON='$(PYTHON)' sh tests/ocaml/run.sh $(DUNE_OUT)

check-ocaml-valgrind: helpers ## the OCaml suites under valgrind (half a minute)
	@$(DUNE_BUILD) @install ./examples $(DUNE_TESTS)
	@sh tests/ocaml/run.sh $(DUNE_OUT) valgrind

# The release of Debian that has Eio.
EIO_SUITE ?= forky

check-eio: ## build and test xlchild-eio in a chroot of Debian testing (as root)
	@scripts/deps chroot
	@scripts/chroot $(EIO_SUITE)+eio sh /source/tests/ocaml/eio/check.sh

demo-ocaml: ## a daemon that supervises ten workers, in OCaml
	@$(DUNE_BUILD) @install ./examples
	@sh ocaml/demo.sh $(DUNE_OUT)

soak-ocaml: helpers ## a supervisor's day, and 200 threads, SOAK_SECONDS each
	@$(DUNE_BUILD) ./test/soak
	@build/tests/helpers/reaper $(DUNE_OUT)/test/soak/soak.exe $(SOAK_SECONDS)
	@build/tests/helpers/reaper $(DUNE_OUT)/test/soak/threads.exe $(SOAK_SECONDS) 200

# Where findlib looks: its own folder for what is installed by hand when PREFIX
# is the machine's, else a folder that OCAMLPATH then has to name.
OCAMLDIR ?= $(if $(filter /usr/local,$(PREFIX)),$(shell \
  ocamlfind printconf destdir),$(PREFIX)/lib/ocaml)
OCAML_PACKAGES = xlchild xlchild-lwt $(if $(shell \
  ocamlfind query -qe eio 2>/dev/null && echo yes),xlchild-eio)
DUNE_PLACES = --root ocaml --build-dir $(CURDIR)/build/ocaml \
  --prefix '$(DESTDIR)$(PREFIX)' --libdir '$(DESTDIR)$(OCAMLDIR)'

install-ocaml: ## install the OCaml libraries (DESTDIR, PREFIX, OCAMLDIR)
# (Where there is no Eio, there is no xlchild-eio.)
# (What is built is not built again: root has no business in build/. dune itself
# would put a DESTDIR of the environment in front once more.)
	@[ -e $(DUNE_OUT)/xlchild.install ] || { $(DUNE_BUILD) @install; }
	@env -u DESTDIR $(DUNE) install $(DUNE_PLACES) $(OCAML_PACKAGES)

uninstall-ocaml: ## remove what install-ocaml has put there
	@env -u DESTDIR $(DUNE) uninstall $(DUNE_PLACES) $(OCAML_PACKAGES)
