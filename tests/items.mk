# SPDX-License-Identifier: Apache-2.0
# Programs that hand work to coroutines, threads and callbacks; integration.mk runs their tests.
INTEGRATION_TESTS += tests/integration/test_work_items.py
engine-test: $(addprefix $(ENGINE_B)/tests/engine_,job_queue)

# Servers of coroutines: what they share, and a way of switching each.
COROUTINE_APPS := $(addprefix $(APPS_DIR)/coroutines_,ucontext switch boost)
COROUTINE_COMMON := $(patsubst tests/apps/%.c,$(APPS_DIR)/%.o,tests/apps/coroutines.c tests/apps/serve.c $(APPS_COMMON))

$(COROUTINE_COMMON): $(APPS_DIR)/%.o: tests/apps/%.c $(wildcard tests/apps/*.h)
	$(call msg,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -c -o $@ $<

$(APPS_DIR)/coroutines_%: tests/apps/coroutines_%.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) -o $@ $^

$(APPS_DIR)/coroutines_%: tests/apps/coroutines_%.cpp $(COROUTINE_COMMON)
	$(call msg,CXX,$@)
	$(Q)$(CXX) -std=c++17 -Wall -Wextra -Werror -iquote . -g $(O) -o $@ $^ -lboost_context

$(APPS_DIR)/queues: tests/apps/queues.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< $(filter-out %/coroutines.o,$(COROUTINE_COMMON))

$(APPS_DIR)/pipes $(APPS_DIR)/timers: $(APPS_DIR)/%: tests/apps/%.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< $(filter-out %/coroutines.o,$(COROUTINE_COMMON))

$(APPS_DIR)/uv_server: tests/apps/uv_server.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< $(filter-out %/coroutines.o,$(COROUTINE_COMMON)) -luv

$(APPS_DIR)/glib_server: tests/apps/glib_server.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) $$(pkg-config --cflags gio-unix-2.0 | sed 's/-I/-isystem /g') -pthread -o $@ $< \
		$(filter-out %/coroutines.o,$(COROUTINE_COMMON)) $$(pkg-config --libs gio-unix-2.0)

$(APPS_DIR)/event_server: tests/apps/event_server.c $(COROUTINE_COMMON)
	$(call msg,CC,$@)
	$(Q)$(CC) $(BASE) -pthread -o $@ $< $(filter-out %/coroutines.o,$(COROUTINE_COMMON)) -levent_core -levent_pthreads

$(APPS_DIR)/std_threads: tests/apps/std_threads.cpp $(COROUTINE_COMMON)
	$(call msg,CXX,$@)
	$(Q)$(CXX) -std=c++17 -Wall -Wextra -Werror -iquote . -g $(O) -pthread -o $@ $< $(filter-out %/coroutines.o,$(COROUTINE_COMMON))

integration-apps: $(COROUTINE_APPS) $(addprefix $(APPS_DIR)/,queues pipes timers uv_server glib_server event_server std_threads)
