# Every step by name. `make demo` runs the whole line; .ci/run calls check and test.
# Settings: make demo CLIPS=300 EPOCHS=4 OUT=/tmp/quick. An empty one is none: what stands here is taken.

override PYTHON   := $(or $(PYTHON),python3.11)
override VENV     := $(or $(VENV),.venv)
override OUT      := $(or $(OUT),out)
override CLIPS    := $(or $(CLIPS),700)
override EPOCHS   := $(or $(EPOCHS),18)
override SEED     := $(or $(SEED),1)
override ROAD_CLIPS  := $(or $(ROAD_CLIPS),250)
override ROAD_EPOCHS := $(or $(ROAD_EPOCHS),15)
override PYTHON310 := $(or $(PYTHON310),python3.10)
override PORT     := $(or $(PORT),8765)
override VEHICLE  := $(or $(VEHICLE),streams can systemd cameras)
RUN      := $(VENV)/bin/python
ROAD     := $(OUT)/road
PIP      := $(VENV)/bin/pip install -qq --disable-pip-version-check --no-compile  # compiling it all takes 40 s
BINDINGS := $(VENV)/bindings/ready
READERS  := $(VENV)/readers/ready
BASE     := $(VENV)/base
LIVE     := $(VENV)/live
READY    := $(VENV)/ready
MAKEFLAGS += --no-print-directory

.PHONY: help try demo demo-road install data finder train quantize build validate show bindings readers check format test bench soak fuzz mutants vehicle farm emulate-arm python310 clean

help:                       ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

try:                        ## a trained bundle on drawn clips, as a page in the browser; Ctrl-C ends it
	@echo "== 1/2 install: what a device installs, and the page's socket, in $(VENV); about a minute the first time"
	@$(MAKE) $(LIVE)
	@echo "== 2/2 page: a released bundle on three drawn clips; open the address, Ctrl-C ends it"
	@$(VENV)/bin/codriver live samples/try/demo.bundle --source samples/try/clips/*.json --port $(PORT) --open

demo:                       ## the whole line, on this machine: footage, training, INT8, bundle, answers (about 40 min)
	@echo "== 1/7 install: a virtual environment in $(VENV), about a minute the first time"
	@$(MAKE) $(BASE)
	@echo "== 2/7 footage: $(CLIPS) synthetic clips of four cameras, in AIDE's layout; the install goes on meanwhile; about 3 min"
	@$(MAKE) --jobs 2 install data
	@echo "== 3/7 train: the finder, which sees where the driver is; about 11 min"
	@$(MAKE) finder
	@echo "         and UV-M3TL on what the finder sees, size demo, full precision, $(EPOCHS) epochs; about 13 min"
	@$(MAKE) train
	@echo "== 4/7 quantize: INT8 with NNCF, calibrated on training clips; about 2 min"
	@$(MAKE) quantize
	@echo "== 5/7 build: the bundle for this processor, proven on its golden vectors"
	@$(MAKE) build
	@echo "== 6/7 run: one test clip through Perceiver.step, as a video and a picture"
	@$(MAKE) show
	@echo "== 7/7 validate: every test clip through both bundles, frame by frame, with annotations and with frames alone; about 6 min"
	@$(MAKE) validate
	@echo "video    $(OUT)/demo.mp4"
	@echo "picture  $(OUT)/demo.png"
	@echo "page     $(OUT)/evidence.html: may it ship?   $(OUT)/quantized/report.html: what INT8 is"
	@echo "answers  $(OUT)/percepts.jsonl, a line per step"
	@echo "bundle   $(OUT)/demo.bundle: copy it to a device, pip install codriver there, codriver verify demo.bundle"

demo-road: $(READY)         ## the line of one camera: footage, training, INT8, bundle, and a drive with road, lanes and vehicles drawn over it
	@echo "== 1/6 footage: $(ROAD_CLIPS) scenes in BDD100K's layout, and a drive that is none of them"
	@test -f $(ROAD)/data/dataset.json || $(RUN) -m training.synth $(ROAD)/data --layout bdd100k --clips $(ROAD_CLIPS) --seed 3
	@test -f $(ROAD)/drive/dataset.json || $(RUN) -m training.synth $(ROAD)/drive --clips 1 --seed 9 --videos all
	@echo "== 2/6 train: size toy, full precision, $(ROAD_EPOCHS) epochs"
	@test -f $(ROAD)/run/meta.json || $(RUN) -m training.train --task-set bdd100k --data $(ROAD)/data --out $(ROAD)/run \
		--epochs $(ROAD_EPOCHS) --batch 8 --validate-every $(ROAD_EPOCHS) --resume
	@echo "== 3/6 quantize: INT8 for ONNX Runtime on x86, each task against full precision"
	@$(RUN) -m quantize.dense $(ROAD)/run --data $(ROAD)/data --out $(ROAD)/quantized --dialect fp32 --dialect ort-x86 --dialect ort-x86-7bit
	@echo "== 4/6 build: the bundle for this processor, proven on its golden pictures"
	@$(RUN) -m targets.build $(ROAD)/quantized --target x86-ort --out $(OUT)/road.bundle
	@$(RUN) -m targets.build $(ROAD)/quantized --target x86-ort-fp32 --out $(OUT)/road-fp32.bundle
	@echo "== 5/6 run: the drive's front camera, with the road drawn over it"
	@$(VENV)/bin/codriver run $(OUT)/road.bundle --source front=$$(ls $(ROAD)/drive/AIDE_Dataset/*/front.mp4) \
		--view $(OUT)/road.mp4 --sheet $(OUT)/road.png --out $(OUT)/road.jsonl
	@echo "== 6/6 validate: every test picture through both bundles, as a device answers"
	@$(RUN) -m quantize.dense.validate $(OUT)/road-fp32.bundle $(OUT)/road.bundle --data $(ROAD)/data \
		--out $(OUT)/road-evidence.json --html $(OUT)/road-evidence.html
	@echo "page  $(OUT)/road-evidence.html: what INT8 costs   video $(OUT)/road.mp4   picture $(OUT)/road.png   answers $(OUT)/road.jsonl   bundle $(OUT)/road.bundle: docs/maps.md"

install: $(READY)           ## virtual environment with all that the workshop needs

$(BASE): pyproject.toml     # what a device installs, and a progress bar: enough to draw footage with
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e . tqdm
	@touch $@

$(LIVE): $(BASE)             # and the live page's socket
	@$(PIP) -e '.[live]'
	@touch $@

$(READY): $(BASE)
	@echo "install: what the workshop needs, in $(VENV), about a minute the first time"
	@$(PIP) -e '.[dev]'
	@touch $@

data: $(BASE)               ## synthetic footage
	@test -f $(OUT)/data/dataset.json || $(RUN) -m training.synth $(OUT)/data --clips $(CLIPS) --seed $(SEED) --videos none

finder: $(READY)            ## where the driver is, from the in-car frame alone, and from cabins without one
	@test -f $(OUT)/scenes/scenes.json || $(RUN) -m training.scenes $(OUT)/scenes --each 60 --seed 2
	@$(RUN) -m training.finder --data $(OUT)/data --scenes $(OUT)/scenes --out $(OUT)/finder --size demo

train: $(READY)             ## full-precision run, on what the finder sees
	@$(RUN) -m training.train --data $(OUT)/data --out $(OUT)/run --size demo --epochs $(EPOCHS) --finder $(OUT)/finder

quantize: $(READY)          ## INT8 graphs
	@$(RUN) -m quantize.run $(OUT)/run --data $(OUT)/data --out $(OUT)/quantized --finder $(OUT)/finder

build: $(READY)             ## bundle for this processor, and one in full precision to hold it against
	@$(RUN) -m targets.build $(OUT)/quantized --target x86-ort --out $(OUT)/demo.bundle
	@$(RUN) -m targets.build $(OUT)/quantized --target x86-ort-fp32 --out $(OUT)/fp32.bundle

show: $(READY)              ## video and picture of the first test clip
	@$(VENV)/bin/codriver run $(OUT)/demo.bundle --source $(OUT)/data/$$(sed -n '2s#/,.*##p' $(OUT)/data/testing.csv) \
		--view $(OUT)/demo.mp4 --sheet $(OUT)/demo.png --out $(OUT)/percepts.jsonl

validate: $(READY)          ## accuracy and latency on the test split, against full precision
	@$(RUN) -m targets.validate $(OUT)/fp32.bundle $(OUT)/demo.bundle --data $(OUT)/data --out $(OUT)/evidence.json

check: $(READY)             ## format, lint, types, dead code, import rules
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/vulture
	@PYTHONPATH=sdk:. $(VENV)/bin/lint-imports

format: $(READY)            ## rewrite to the house style
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

bindings: $(BINDINGS)       ## NVIDIA's Python bindings (20 MB), against which our TensorRT calls are checked; tests skip without

$(BINDINGS): $(READY) tests/fetch_bindings.py
	@$(RUN) -m tests.fetch_bindings
	@touch $@

readers: $(READERS)         ## what others read our recordings with (Node.js, 13 MB), for tests that skip without

$(READERS): tests/readers/package-lock.json | $(BASE)
	@mkdir -p $(VENV)/readers
	@cp tests/readers/package.json tests/readers/package-lock.json $(VENV)/readers
	@npm ci --prefix $(VENV)/readers --silent --no-audit --no-fund
	@touch $@

test: $(READY)              ## all tests; PYTEST=--random-order shuffles them, as CI does
	@$(RUN) -m pytest $(PYTEST)

bench: $(READY)             ## latency of the demo bundle, by stage
	@$(VENV)/bin/codriver bench $(OUT)/demo.bundle

soak: $(READY)              ## a million steps with faults among them: memory, descriptors, threads, and every frame counted
	@$(RUN) -m tests.soak --steps 1000000 --out tests/results/soak.json

fuzz: $(READY)              ## 100,000 new examples of everything that comes in; FUZZ_EXAMPLES=1000 for fewer
	@$(RUN) -m pytest tests/fuzz --hypothesis-profile fuzz --hypothesis-show-statistics

mutants: $(READY)           ## small changes to what matters most: which does no test notice? hours; MUTANTS=dbscme for one module
	@$(RUN) -m tests.mutate $(MUTANTS)

vehicle: $(READY)           ## real cameras' driver in QEMU, systemd and CAN in User Mode Linux, RTSP and GStreamer; minutes, and Debian's packages: tests/vehicle
	@for what in $(VEHICLE); do bash tests/vehicle/$$what.sh $(OUT)/vehicle $(RUN) 2>&1 \
		| tests/vehicle/said.sh | tee tests/results/vehicle_$$what.txt; done
	@if [ $$(grep -lx '== all of it held' tests/results/vehicle_*.txt | wc -l) = 4 ]; then echo "make vehicle: all of it held"; \
		else echo "make vehicle: NOT all of it held, see FAILED above"; exit 1; fi

farm: $(READY)              ## make demo's bundles on two sshd "boards" behind labgrid, one page; then Dask, of which a worker is killed; about 5 min
	@test -f $(OUT)/farm-data/dataset.json || $(RUN) -m training.synth $(OUT)/farm-data --clips 120 --seed 11 --videos none
	@bash -o pipefail -c '$(RUN) -m tests.farm $(OUT)/farm --data $(OUT)/farm-data $(OUT)/fp32.bundle $(OUT)/demo.bundle \
		2>&1 | sed -u "s#$(abspath $(OUT))#OUT#g; s#$(CURDIR)/##g" | tee $(OUT)/farm.txt'
	@cp $(OUT)/farm.txt tests/results/farm.txt

emulate-arm: $(READY)       ## our tests and an ARM bundle on an emulated aarch64, half an hour; needs qemu-user-static: docs/arm.md
	@$(RUN) -m quantize.run $(OUT)/run --data $(OUT)/data --out $(OUT)/quantized-arm --dialect fp32 --dialect ort-arm
	@$(RUN) -m targets.build $(OUT)/quantized-arm --target arm-ort --out $(OUT)/arm.bundle
	@$(RUN) -m tests.emulate_arm $(OUT)/arm.bundle --out $(OUT)/arm.json

python310:                  ## tests of the buses on Python 3.10, JetPack 6's, whose last kuksa-client is 0.5.2; minutes; PYTHON310=its path
	@test -x $(OUT)/python310/bin/python || $(PYTHON310) -m venv $(OUT)/python310
	@$(OUT)/python310/bin/pip install -qq --disable-pip-version-check --no-compile -e '.[can,vss,ros]' \
		autosar-e2e cryptography hypothesis 'onnx>=1.18,<1.20' pytest pyyaml zenoh-ros2-sdk
	@$(OUT)/python310/bin/python -c 'import sys; from importlib.metadata import version as of; \
		print("python", *sys.version_info[:3], "kuksa-client", of("kuksa-client"), "protobuf", of("protobuf"))'
	@$(OUT)/python310/bin/python -m pytest -p no:cacheprovider tests/sdk/buses tests/sdk/mapping

clean:                      ## remove what the steps made; the virtual environment stays
	rm -rf $(OUT) build dist
