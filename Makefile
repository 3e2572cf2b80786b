# Everything on a fresh Debian machine: `make demo` and `make test` need Python >= 3.11 (with venv), git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
# a file of tests stays in one process: what it prepares is prepared once
PYTEST_ARGS ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25
PARCELS = '$(DEMO)'/tutorial/sourcedata/parcellation/synthetic100_space-MNI152NLin6Asym

.PHONY: help setup mrtrix chromium egl debootstrap slurm demo test test-lowest soak lint types docs package release-check bench clean

help:
	@echo 'make demo    set everything up and map three synthetic lesions'
	@echo 'make test    set everything up and run the whole test suite'
	@echo 'make soak    the long trials: fifty kills, and the image built and run in a chroot'
	@echo 'make lint    ruff, and the contracts between the packages'
	@echo 'make types   the type checker'
	@echo 'make docs    build the documentation: docs/_build/html/index.html'
	@echo 'make test-lowest    the suite, without what takes long, with the lowest versions that pyproject.toml allows'
	@echo 'make package        wheel and source distribution in dist/, checked'
	@echo 'make release-check  whether this commit can be released'
	@echo 'make bench   compare with plain MRtrix3 commands, in less than ten minutes'

setup: mrtrix $(VENV)/.developed

# Debian's package, where it is missing and can be installed; else say what follows from it
mrtrix:
	@tools/install-package.sh mrtrix3 '--engine mrtrix will not run, and its tests are skipped.' tckedit

# for the tests of reports only
chromium:
	@tools/install-package.sh chromium 'the tests of reports in a browser are skipped.' \
	  chromium chromium-browser google-chrome

# for the test of a picture that VTK draws, without a screen
egl:
	@tools/install-package.sh libegl1 'the test of yabplot is skipped.' libEGL.so

# a batch system of our own, started by the tests and ended by them
slurm:
	@for part in slurmctld:slurmctld slurmd:slurmd slurm-client:sbatch munge:munged; do \
	  PATH="$$PATH:/usr/sbin:/sbin" tools/install-package.sh $${part%%:*} 'the tests on SLURM are skipped.' $${part##*:}; \
	done

# for the test that builds and runs the image in a chroot; it needs root too
debootstrap:
	@tools/install-package.sh debootstrap 'the test of the container image is skipped.' debootstrap

# what runs need, and on top of it what developers need
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python >= 3.11 is needed; name one with PYTHON=...'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || tools/install-venv.sh $(PYTHON) $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: mrtrix $(VENV)/.installed
	@rm -rf '$(DEMO)/tutorial' '$(DEMO)/derivatives'
	@mkdir -p '$(DEMO)'
	$(BIN)/lacuna tutorial '$(DEMO)/tutorial'
	$(BIN)/lacuna run snm '$(DEMO)/tutorial' '$(DEMO)/derivatives' \
	  --connectome-path '$(DEMO)/tutorial/sourcedata/connectome/synthetic20k.tck' -v \
	  --custom-parcellation synthetic100 $(PARCELS)_dseg.nii.gz $(PARCELS)_dseg.tsv MNI152NLin6Asym \
	  --compute-roi-disconnection --compute-disconnectivity-matrix

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

test: setup chromium egl slurm
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-lowest: mrtrix
	@test -d '$(VENV)-lowest' || $(PYTHON) -m venv '$(VENV)-lowest'
	'$(VENV)-lowest/bin/python' -m pip install --quiet --disable-pip-version-check uv
	'$(VENV)-lowest/bin/uv' pip install --quiet --python '$(VENV)-lowest' --resolution lowest-direct --editable '.[test]'
	'$(VENV)-lowest/bin/python' -m pytest $(PYTEST_ARGS) -o filterwarnings=default -m 'not slow and not slurm'

soak: setup debootstrap
	LACUNA_SOAK=1 $(BIN)/python -m pytest -m soak --durations 0

docs: setup
	$(BIN)/python -m sphinx -W --keep-going --quiet docs docs/_build/html
	@echo "documentation: $(CURDIR)/docs/_build/html/index.html"

package: setup
	@rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

release-check: package
	tools/release-check.sh '$(PYTHON)' dist

bench: setup
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) '$(DEMO)' docs/_build
