/* SPDX-License-Identifier: Apache-2.0 */
/* interspan-agent: the exporter as a process of its own. */
#include "export/agent.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/log.h"
#include "shim/rundir.h"

#define EXIT_USAGE 2

static _Atomic uint32_t stop;

static const char usage[] =
    "usage: interspan-agent COMMAND [OPTION...]\n"
    "\n"
    "  stat [--json]   show this user's traced processes: counters, what waits, the end of the log\n"
    "  drain           export what dead processes left, and remove it; 1 where something had to stay\n"
    "  agent [PID]     export for all of this user's traced processes until told to stop, or, in the\n"
    "                  background, until PID and its forked children are gone\n"
    "  watch PID       in the background, wait until PID and its forked children are gone; then drain\n"
    "\n"
    "Where spans go is said by the environment: interspan help settings.\n";

static const char *const command_help[][2] = {
    {"stat", "usage: interspan-agent stat [--json]\n\n"
	     "Show each segment of this user: its processes, who exports it, every counter, whether the counters\n"
	     "add up, and the last lines of the log.\n"},
    {"drain", "usage: interspan-agent drain\n\n"
	      "Export the spans that dead processes of this user left, and remove their segments. The exit status\n"
	      "is 1 when the collector did not take everything: it stays for another time.\n"},
    {"agent", "usage: interspan-agent agent [PID]\n\n"
	      "Export for every traced process of this user that does not export by itself\n"
	      "(INTERSPAN_EXPORTER_MODE=agent), until SIGTERM. With PID: in the background, until that process and\n"
	      "its forked children are gone.\n"},
    {"watch", "usage: interspan-agent watch PID\n\n"
	      "In the background, wait until process PID and its forked children are gone, then export what they\n"
	      "left. Started by interspan run.\n"},
};

/* In the background there is nobody to read; in the foreground there is. */
static void log_to_file(int level, const char *text)
{
	log_line((enum log_level)level, "%s", text);
}

static void log_to_stderr(int level, const char *text)
{
	(void)level;
	fprintf(stderr, "interspan: %s\n", text);
}

static void warn_setting(const char *name, const char *value, const char *problem)
{
	log_line(LOG_WARN, "%s=%s: %s", name, value, problem);
}

static void on_signal(int signal)
{
	(void)signal;
	atomic_store(&stop, 1);
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

/* owner: whose spans they are, for the default file name. */
static int begin(struct agent *agent, pid_t owner, log_fn *log)
{
	agent->config = &config;
	agent->stop = &stop;
	catch_signals();
	agent->dir = rundir_open();
	if (agent->dir < 0) {
		log(LOG_ERROR, strerror(-agent->dir));
		return EXIT_FAILURE;
	}
	agent->room = malloc(DRAIN_ROOM);
	agent->exporter = calloc(1, sizeof(*agent->exporter));
	if (!agent->room || !agent->exporter || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    exporter_prepare(agent->exporter, &config, owner, log) != 0) {
		log(LOG_ERROR, "out of memory");
		return EXIT_FAILURE;
	}
	metrics_begin(&agent->metrics, agent->exporter);
	return EXIT_SUCCESS;
}

static void end(struct agent *agent)
{
	metrics_end(&agent->metrics);
	if (agent->exporter)
		exporter_close(agent->exporter);
	free(agent->exporter);
	free(agent->room);
	if (agent->dir >= 0)
		close(agent->dir);
}

struct drain agent_drain(struct agent *agent)
{
	return (struct drain){.exporter = agent->exporter,
			      .config = agent->config,
			      .stop = agent->stop,
			      .metrics = &agent->metrics,
			      .no_retry = true};
}

static int command_drain(void)
{
	struct agent agent = {.dir = -1};
	struct orphan_counts counts = {0};
	int status = begin(&agent, getpid(), log_to_stderr);

	if (status == EXIT_SUCCESS) {
		struct drain proto = agent_drain(&agent);

		counts = segments_drain_orphans(agent.dir, &proto, agent.room);
		printf("%u segments of dead processes: %u exported, %u left\n", counts.found, counts.drained,
		       counts.left);
		status = counts.left ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	end(&agent);
	return status;
}

static int command_background(pid_t pid, int (*run)(struct agent *, pid_t))
{
	struct agent agent = {.dir = -1};
	int status;

	/* The default file name and a relative one need the working directory: prepared before it is left. */
	status = agent_detach();
	if (status == 0)
		status = begin(&agent, pid, log_to_file);
	if (status == EXIT_SUCCESS && chdir("/") == 0)
		status = run(&agent, pid);
	end(&agent);
	return status;
}

static int command_agent(void)
{
	struct agent agent = {.dir = -1};
	int status = begin(&agent, getpid(), log_to_stderr);

	if (status == EXIT_SUCCESS)
		status = agent_serve(&agent);
	end(&agent);
	return status;
}

static int command_stat(int argc, char **argv)
{
	int dir, status;

	if (argc > 1 || (argc == 1 && strcmp(argv[0], "--json") != 0)) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	dir = rundir_open();
	if (dir < 0) {
		fprintf(stderr,
			"interspan: the directory of this user's segments cannot be opened: %s. It is /dev/shm/interspan-UID, "
			"and must be a directory of the user's own with mode 0700\n",
			strerror(-dir));
		return EXIT_FAILURE;
	}
	status = agent_stat(dir, config.log_file, argc == 1);
	close(dir);
	return status;
}

static bool parse_pid(const char *text, pid_t *ret)
{
	char *end_of_number;
	long value;

	errno = 0;
	value = strtol(text, &end_of_number, 10);
	if (errno || *end_of_number || end_of_number == text || value <= 0 || value > INT32_MAX)
		return false;
	*ret = (pid_t)value;
	return true;
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static int help(const char *command)
{
	for (size_t i = 0; i < sizeof(command_help) / sizeof(command_help[0]); i++) {
		if (strcmp(command, command_help[i][0]) == 0) {
			fputs(command_help[i][1], stdout);
			return EXIT_SUCCESS;
		}
	}
	fputs(usage, stdout);
	return EXIT_SUCCESS;
}

static int dispatch(const char *command, int argc, char **argv)
{
	pid_t pid;

	if (strcmp(command, "stat") == 0)
		return command_stat(argc, argv);
	if (strcmp(command, "drain") == 0 && argc == 0)
		return command_drain();
	if (strcmp(command, "agent") == 0 && argc == 0)
		return command_agent();
	if (strcmp(command, "agent") == 0 && argc == 1 && parse_pid(argv[0], &pid))
		return command_background(pid, agent_serve_for);
	if (strcmp(command, "watch") == 0 && argc == 1 && parse_pid(argv[0], &pid))
		return command_background(pid, agent_watch);
	fputs(usage, stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc > 1 && wants_help(argc - 1, argv + 1))
		return help(argv[1]);
	if (argc < 2) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	signal(SIGIO, SIG_IGN); /* of a lease; see consumer_open() */
	config_read(&config, environ, warn_setting);
	log_start(config.log_level, config.log_file);
	return dispatch(argv[1], argc - 2, argv + 2);
}
