# python/build.mk - the Python package: built, checked, shown
#
# Included by the Makefile. The package lands in build/python, ready to be put
# on PYTHONPATH; the extension carries the C core inside.

PYTHON ?= /usr/bin/python3

PY_SOURCES := $(shell find python/xlchild -name "*.py" -o -name "*.pyi" \
  -o -name py.typed)
PY_INPUTS := setup.py $(PY_SOURCES) bindings/libxl.i \
  $(wildcard bindings/python/* bindings/keeper/* c/src/*/*.[ch] c/include/*/*.h)

.PHONY: python check-python check-python-long check-python-asan-long \
  check-pythons check-async demo-python soak-services
python: build/python/.built ## build the Python package into build/python

build/python/.built: $(PY_INPUTS)
	@mkdir -p build
	$(PYTHON) setup.py -q build \
	  --build-lib build/python \
	  --build-temp build/python-temp > build/python.log 2>&1 || \
	  { cat build/python.log; exit 1; }
	@$(PYTHON) -m compileall -q build/python # as an installation does
	@touch $@

PY_TEST = PYTHONPATH=$(CURDIR)/build/python:$(CURDIR)/scripts \
  PYTHONDONTWRITEBYTECODE=1 PYTHON='$(PYTHON)' $(PYTHON) -m pytest -q \
  -p summary_line -p no:cacheprovider --tb=short

check-python: python lib build/tests/helpers/child build/tests/helpers/reaper \
  build/tests/helpers/tiny ## the Python tests, but the long ones
	@$(PY_TEST) -m 'not long' tests/python

SOAK_ENDS ?= 10000

soak-services: python build/tests/helpers/reaper ## a script killed at any moment, 10,000 services' ends (3 minutes)
	@folder=$$(mktemp -d) && PYTHONDONTWRITEBYTECODE=1 \
	  PYTHONPATH=$(CURDIR)/build/python build/tests/helpers/reaper $(PYTHON) \
	  -W error tests/python/soak_services.py $$folder $(SOAK_ENDS) && \
	  rm -r $$folder

check-python-long: python ## the Python tests that take long
	@$(PY_TEST) -m long tests/python

# The extension with AddressSanitizer, in a debug build of Python: whose
# assertions and filled memory see what a release build walks over.
PYTHON_DEBUG ?= /usr/bin/python3-dbg
PY_ASAN_TESTS := $(addprefix tests/python/test_,binding.py \
  binding_objects.py package.py)
PY_ASAN_LONG := tests/python/test_examples.py tests/python/test_aio.py

build/python-asan/.built: $(PY_INPUTS)
	@mkdir -p build
	CFLAGS='-fsanitize=address -fno-omit-frame-pointer -g -O1' \
	  LDFLAGS=-fsanitize=address $(PYTHON_DEBUG) setup.py -q build \
	  --build-lib build/python-asan \
	  --build-temp build/python-asan-temp > build/python-asan.log 2>&1 || \
	  { cat build/python-asan.log; exit 1; }
	@touch $@

check-python-asan: build/python-asan/.built build/tests/helpers/child \
  build/tests/helpers/tiny ## the binding under ASan, in a debug Python
	@$(call py_asan,$(PY_ASAN_TESTS))

check-python-asan-long: build/python-asan/.built build/tests/helpers/child \
  build/tests/helpers/tiny ## asyncio and every example, too
	@$(call py_asan,$(PY_ASAN_LONG))

py_asan = LD_PRELOAD=$$(gcc -print-file-name=libasan.so) \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
	  PYTHONPATH=$(CURDIR)/build/python-asan:$(CURDIR)/scripts \
	  PYTHONDONTWRITEBYTECODE=1 \
	  PYTHONMALLOC=malloc_debug $(PYTHON_DEBUG) -m pytest -q \
	  -p summary_line -p no:cacheprovider --tb=short -m 'not own_process' \
	  $(1)

# trio's suite is a part of its package, anyio's of its source package alone.
check-async: python build/tests/helpers/child ## trio's and anyio's own suites
	@scripts/anyio-suite
	@XLCHILD_SUITES=all $(PY_TEST) \
	  tests/python/test_async_suites.py tests/python/test_trio.py
	@cat build/async/*.txt

check-pythons: python lib build/tests/helpers/child ## every CPython at hand: \
  smoke test, CPython's own suites
	@XLCHILD_SUITES=all $(PY_TEST) \
	  tests/python/test_versions.py tests/python/test_cpython.py
	@cat build/cpython/*.txt

demo-python: python ## thousands of real children, from Python
	@PYTHONPATH=build/python PYTHONDONTWRITEBYTECODE=1 \
	  $(PYTHON) python/demo/checksums.py
