# The day's commands; meson does the building. `make help` lists them.
BUILD ?= build
PREFIX ?= /usr/local
export PATH := /usr/bin:/bin:/usr/sbin:/sbin:$(PATH)

.PHONY: all help build demo dist-demo run test unit e2e lint format bench fuzz install clean weights

all: build

help:
	@echo "build    $(BUILD)/oscar and $(BUILD)/oscar-supervisor"
	@echo "demo     the case study: a video becomes detected shapes (PICTURES=10|100|1000, CRASH=1)"
	@echo "dist-demo  its three images (IMAGES=1) as one archive for machines without network: demo-images.tar"
	@echo "run      oscar serve on its default ports"
	@echo "test     everything that CI runs"
	@echo "unit     unit tests and replayed fuzz corpora    e2e   the daemon as users meet it"
	@echo "lint     format, clang-tidy, cppcheck, module directions"
	@echo "bench    figures against a floor in the same run  fuzz  search for minutes"
	@echo "install  below PREFIX (default /usr/local)        clean"

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >$(BUILD).setup.log 2>&1 || { cat $(BUILD).setup.log; exit 1; }
	@rm -f $(BUILD).setup.log

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet
	@ln -sf src/app/oscar $(BUILD)/oscar
	@ln -sf src/supervisor/oscar-supervisor $(BUILD)/oscar-supervisor

demo: build
	@tools/demo $(BUILD)/oscar

dist-demo:
	@tools/demo-images demo-images.tar

run: build
	$(BUILD)/oscar serve

test: build
	@python3 tests/run.py

unit: build
	@meson test -C $(BUILD) --suite unit --suite fuzz --print-errorlogs

e2e: build
	@python3 -m pytest -q -n 3 --dist loadfile tests/e2e

lint: build
	@python3 tests/run.py lint

format:
	@find src tests bench -name '*.[ch]' | xargs clang-format-14 -i

bench: build
	@ninja -C $(BUILD) --quiet bench/floor && $(BUILD)/bench/floor

fuzz:
	@CC=clang-14 meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined \
		-Db_lundef=false >/dev/null 2>&1 || true
	@ninja -C build-fuzz --quiet
	@for t in build-fuzz/tests/fuzz/fuzz_*; do [ -x $$t ] && [ -f $$t ] || continue; \
		n=$${t##*/fuzz_}; mkdir -p build-fuzz/corpus/$$n; \
		$$t -max_total_time=$${SECONDS_EACH:-60} build-fuzz/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done

weights:
	@examples/video-process/lab/train.sh build/weights

install: build
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet

clean:
	@rm -rf build build-*
