/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting, threads, processes, identity, the loader and names. */
#include "tests/double/fake_real.h"

#include <linux/sched.h>
#include <linux/seccomp.h>

static void waits_are_framed(void **state)
{
	struct epoll_event events[4];

	(void)state;
	FAKE(epoll_wait), FAKE(epoll_pwait), FAKE(epoll_pwait2), FAKE(epoll_ctl);
	CALL(2, 0, epoll_wait(FD, events, 4, 1000));
	assert_int_equal(fake.arg[2], 4);
	assert_int_equal(fake.arg[3], 1000);
	answers.wait_max_events = 1;
	CALL(1, 0, epoll_pwait(FD, events, 4, 1000, NULL));
	assert_int_equal(fake.arg[2], 1);
	CALL(-1, EINTR, epoll_pwait2(OTHER, events, 4, NULL, NULL));
	CALL(0, 0, epoll_ctl(FD, EPOLL_CTL_ADD, OTHER, events));
	CALL(-1, EEXIST, epoll_ctl(FD, EPOLL_CTL_ADD, OTHER, events));
	TOLD("wait begin 700 max 4\nwait end 700 = 2\nwait begin 700 max 4\nwait end 700 = 1\n"
	     "wait begin 701 max 4\nwait end 701 = -1\nepoll changed 700 1 701\n");
}

static void polls_are_framed(void **state)
{
	struct pollfd fds[2] = { { .fd = FD }, { .fd = OTHER } };
	struct timespec zero = { 0 };
	struct timeval none = { 0 };
	fd_set set;

	(void)state;
	FD_ZERO(&set);
	FAKE(poll), FAKE(__poll_chk), FAKE(ppoll), FAKE(__ppoll_chk), FAKE(select), FAKE(pselect);
	CALL(1, 0, poll(fds, 2, 7));
	CALL(2, 0, __poll_chk(fds, 2, 7, sizeof(fds)));
	assert_int_equal(fake.arg[3], sizeof(fds));
	CALL(0, 0, ppoll(fds, 2, &zero, NULL));
	CALL(-1, EINTR, __ppoll_chk(fds, 2, &zero, NULL, sizeof(fds)));
	CALL(1, 0, select(3, &set, NULL, NULL, &none));
	CALL(1, 0, pselect(3, NULL, &set, NULL, &zero, NULL));
	TOLD("poll begin 2\npoll end = 1\npoll begin 2\npoll end = 2\npoll begin 2\npoll end = 0\n"
	     "poll begin 2\npoll end = -1\nselect begin 3 readable\npoll end = 1\nselect begin 3 -\npoll end = 1\n");
}

static void conditions_are_told_before(void **state)
{
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec zero = { 0 };

	(void)state;
	FAKE(pthread_cond_wait), FAKE(pthread_cond_timedwait), FAKE(pthread_cond_clockwait);
	CALL(0, 0, pthread_cond_wait(&condition, &mutex));
	CALL(ETIMEDOUT, 0, pthread_cond_timedwait(&condition, &mutex, &zero));
	CALL(ETIMEDOUT, 0, pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &zero));
	assert_ptr_equal(fake.arg[3], &zero);
	TOLD("condition waiting\ncondition waited\ncondition waiting\ncondition waited in vain\n"
	     "condition waiting\ncondition waited in vain\n");
}

static void *twice(void *arg)
{
	return (void *)((intptr_t)arg * 2);
}

static int thrice(void *arg)
{
	return (int)(intptr_t)arg * 3;
}

/* An unlock is told where threads were seen waiting with the mutex, or after a semaphore was taken; once. */
static void semaphores_and_the_unlocks_that_matter_are_told(void **state)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct timespec zero = { 0 };
	sem_t semaphore;

	(void)state;
	FAKE(pthread_mutex_unlock), FAKE(sem_wait), FAKE(sem_trywait), FAKE(sem_timedwait), FAKE(sem_clockwait);
	CALL(0, 0, pthread_mutex_unlock(&mutex));
	CALL(-1, EAGAIN, sem_trywait(&semaphore));
	CALL(0, 0, pthread_mutex_unlock(&mutex));
	TOLD("semaphore waiting\n");
	CALL(0, 0, sem_wait(&semaphore));
	CALL(EPERM, 0, pthread_mutex_unlock(&mutex));
	CALL(0, 0, pthread_mutex_unlock(&mutex));
	TOLD("semaphore waiting\nsemaphore waiting\nsemaphore taken\nunlocking\n");
	CALL(-1, ETIMEDOUT, sem_timedwait(&semaphore, &zero));
	CALL(0, 0, sem_clockwait(&semaphore, CLOCK_MONOTONIC, &zero));
	engine_queue_filter[engine_queue_hash(&mutex)]++;
	CALL(0, 0, pthread_mutex_unlock(&mutex));
	CALL(0, 0, pthread_mutex_unlock(&mutex));
	engine_queue_filter[engine_queue_hash(&mutex)]--;
	TOLD("semaphore waiting\nsemaphore waiting\nsemaphore taken\nunlocking\n"
	     "semaphore waiting\nsleeping\nsemaphore waiting\nsemaphore taken\nunlocking\nunlocking\n");
}

static void sleeping_is_told(void **state)
{
	const struct timespec no_time = { 0 };

	(void)state;
	FAKE(nanosleep), FAKE(clock_nanosleep), FAKE(usleep), FAKE(sleep), FAKE(thrd_sleep), FAKE(sched_yield);
	CALL(-1, EINTR, nanosleep(&no_time, NULL));
	CALL(EINTR, 0, clock_nanosleep(CLOCK_MONOTONIC, 0, &no_time, NULL));
	CALL(0, 0, usleep(1));
	CALL(3, 0, (int)sleep(5));
	CALL(-1, EINTR, thrd_sleep(&no_time, NULL));
	CALL(0, 0, sched_yield());
	TOLD("sleeping\nsleeping\nsleeping\nsleeping\nsleeping\nsleeping\n");
}

static void does_nothing(void)
{
}

static void a_coroutine_is_told_with_its_stack(void **state)
{
	static char stack[16384];
	ucontext_t context;

	(void)state;
	getcontext(&context);
	context.uc_stack = (stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) };
	makecontext(&context, does_nothing, 0);
	TOLD("coroutine made stack 16384 entry\n");
	context.uc_stack.ss_sp = NULL;
	FAKE(makecontext);
	CALL(0, 0, (makecontext(&context, does_nothing, 0), 0));
	TOLD("coroutine made stack 16384 entry\n");
}

static void a_thread_runs_its_start_routine_through_the_package(void **state)
{
	pthread_t thread;
	thrd_t c_thread;
	void *result;
	int c_result;

	(void)state;
	answers.package = (struct thread_package *)buf;
	assert_int_equal(pthread_create(&thread, NULL, twice, (void *)21), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, 42);
	assert_int_equal(thrd_create(&c_thread, thrice, (void *)14), thrd_success);
	assert_int_equal(thrd_join(c_thread, &c_result), thrd_success);
	assert_int_equal(c_result, 42);
	TOLD("thread starting\nthread started ours\nthread starting\nthread started ours\n");
}

static void a_thread_without_package_is_untouched(void **state)
{
	pthread_t thread;

	(void)state;
	FAKE(pthread_create), FAKE(thrd_create);
	CALL(0, 0, pthread_create(&thread, NULL, twice, buf));
	assert_ptr_equal(fake.arg[2], twice);
	assert_ptr_equal(fake.arg[3], buf);
	CALL(thrd_success, 0, thrd_create(&thread, thrice, buf));
	assert_ptr_equal(fake.arg[1], thrice);
}

static void a_package_comes_back_when_there_is_no_thread(void **state)
{
	pthread_t thread;

	(void)state;
	answers.package = (struct thread_package *)buf;
	FAKE(pthread_create), FAKE(thrd_create);
	CALL(EAGAIN, 0, pthread_create(&thread, NULL, twice, NULL));
	CALL(thrd_nomem, 0, thrd_create(&thread, thrice, NULL));
	TOLD("thread starting\nthread unstarted ours\nthread starting\nthread unstarted ours\n");
}

static char *arguments[] = { "name", "one", "two", NULL };
static char *given[] = { "A=1", NULL };
static char *changed[] = { "A=2", NULL };

/* What the faked exec functions saw; they return, as a failed exec does. */
static struct {
	const char *function;
	char *argv[8];
	char *const *envp;
} seen;

static int see(const char *function, char *const argv[], char *const envp[])
{
	seen.function = function;
	seen.envp = envp;
	memset(seen.argv, 0, sizeof(seen.argv));
	for (int i = 0; argv[i] && i < 7; i++)
		seen.argv[i] = argv[i];
	errno = ENOENT;
	return -1;
}

static int see_execv(const char *path, char *const argv[])
{
	(void)path;
	return see("execv", argv, environ);
}

static int see_execvp(const char *path, char *const argv[])
{
	(void)path;
	return see("execvp", argv, environ);
}

static int see_execve(const char *path, char *const argv[], char *const envp[])
{
	(void)path;
	return see("execve", argv, envp);
}

static int see_execvpe(const char *path, char *const argv[], char *const envp[])
{
	(void)path;
	return see("execvpe", argv, envp);
}

static int see_fexecve(int fd, char *const argv[], char *const envp[])
{
	(void)fd;
	return see("fexecve", argv, envp);
}

static int see_execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	(void)fd, (void)path, (void)flags;
	return see("execveat", argv, envp);
}

static int see_spawn(pid_t *restrict pid, const char *restrict path,
		     const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attr,
		     char *const argv[restrict], char *const envp[restrict])
{
	(void)pid, (void)path, (void)actions, (void)attr;
	see("spawn", argv, envp);
	return ENOENT;
}

static void fake_exec(void)
{
	real.execv = see_execv;
	real.execvp = see_execvp;
	real.execve = see_execve;
	real.execvpe = see_execvpe;
	real.fexecve = see_fexecve;
	real.execveat = see_execveat;
	real.posix_spawn = see_spawn;
	real.posix_spawnp = see_spawn;
}

#define EXEC(function_expected, envp_expected, call)                                                                   \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		assert_int_equal(call, -1);                                                                            \
		assert_int_equal(errno, ENOENT);                                                                       \
		assert_string_equal(seen.function, function_expected);                                                 \
		assert_ptr_equal(seen.envp, envp_expected);                                                            \
		assert_string_equal(seen.argv[0], "name");                                                             \
		assert_string_equal(seen.argv[2], "two");                                                              \
		assert_null(seen.argv[3]);                                                                             \
	} while (0)

static void exec_is_what_the_program_called_when_nothing_changes(void **state)
{
	(void)state;
	fake_exec();
	EXEC("execve", given, execve("/p", arguments, given));
	EXEC("execv", environ, execv("/p", arguments));
	EXEC("execvp", environ, execvp("p", arguments));
	EXEC("execvpe", given, execvpe("p", arguments, given));
	EXEC("fexecve", given, fexecve(FD, arguments, given));
	EXEC("execveat", given, execveat(FD, "p", arguments, given, 0));
	EXEC("execv", environ, execl("/p", "name", "one", "two", NULL));
	EXEC("execvp", environ, execlp("p", "name", "one", "two", NULL));
	EXEC("execve", given, execle("/p", "name", "one", "two", NULL, given));
	assert_int_equal(offered_envp_max, 0);
	TOLD("environment for /p\nenvironment for /p\nenvironment for p\nenvironment for p\nenvironment for -\n"
	     "environment for p\nenvironment for /p\nenvironment for p\nenvironment for /p\n");
}

static void exec_takes_the_changed_environment(void **state)
{
	pid_t pid;

	(void)state;
	fake_exec();
	answers.environment = changed;
	EXEC("execve", changed, execve("/p", arguments, given));
	EXEC("execve", changed, execv("/p", arguments));
	EXEC("execvpe", changed, execvp("p", arguments));
	EXEC("execvpe", changed, execvpe("p", arguments, given));
	EXEC("fexecve", changed, fexecve(FD, arguments, given));
	EXEC("execveat", changed, execveat(FD, "p", arguments, given, 0));
	EXEC("execve", changed, execl("/p", "name", "one", "two", NULL));
	EXEC("execvpe", changed, execlp("p", "name", "one", "two", NULL));
	EXEC("execve", changed, execle("/p", "name", "one", "two", NULL, given));
	assert_int_equal(posix_spawn(&pid, "/p", NULL, NULL, arguments, given), ENOENT);
	assert_ptr_equal(seen.envp, changed);
	assert_int_equal(posix_spawnp(&pid, "p", NULL, NULL, arguments, given), ENOENT);
	assert_ptr_equal(seen.envp, changed);
}

static void exec_by_number_takes_the_environment(void **state)
{
	(void)state;
	FAKE(syscall);
	CALL(-1, ENOENT, syscall(SYS_execve, "/p", arguments, given));
	assert_ptr_equal(fake.arg[3], given);
	answers.environment = changed;
	CALL(-1, ENOENT, syscall(SYS_execve, "/p", arguments, given));
	assert_int_equal(fake.arg[0], SYS_execve);
	assert_ptr_equal(fake.arg[2], arguments);
	assert_ptr_equal(fake.arg[3], changed);
	CALL(-1, ENOENT, syscall(SYS_execveat, (long)FD, "p", arguments, given, (long)AT_EMPTY_PATH));
	assert_int_equal(fake.arg[0], SYS_execveat);
	assert_int_equal(fake.arg[1], FD);
	assert_ptr_equal(fake.arg[4], changed);
	assert_int_equal(fake.arg[5], AT_EMPTY_PATH);
}

static void the_scratch_fits_the_environment(void **state)
{
	static char *many[600];

	(void)state;
	for (size_t i = 0; i < 599; i++)
		many[i] = "A=1";
	fake_exec();
	answers.environment = changed;
	EXEC("execve", changed, execve("/p", arguments, given));
	assert_in_range(offered_envp_max, 10, 200);
	EXEC("execve", changed, execve("/p", arguments, many));
	assert_in_range(offered_envp_max, 610, 2000);
}

static void an_absent_environment_stays_absent(void **state)
{
	(void)state;
	fake_exec();
	answers.environment = changed;
	EXEC("execve", NULL, execve("/p", arguments, (char **)(uintptr_t)fake.result));
	TOLD("");
}

static jmp_buf left;

static __attribute__((noreturn)) void leave(int status)
{
	longjmp(left, status);
}

static void exits_are_told_before(void **state)
{
	(void)state;
	real._exit = leave;
	real._Exit = leave;
	real.quick_exit = leave;
	if (!setjmp(left))
		_exit(1);
	if (!setjmp(left))
		_Exit(2);
	if (!setjmp(left))
		quick_exit(3);
	FAKE(syscall);
	syscall(SYS_exit_group, 0L);
	syscall(SYS_exit, 0L);
	TOLD("exiting\nexiting\nexiting\nexiting\nthread exiting\n");
}

static int never_run(void *arg)
{
	(void)arg;
	return 0;
}

static void forks_that_libc_hides_are_told(void **state)
{
	struct clone_args with_stack = { .stack = 4096 }, thread = { .flags = CLONE_VM };

	(void)state;
	FAKE(_Fork), FAKE(clone), FAKE(syscall);
	CALL(0, 0, _Fork());
	CALL(77, 0, _Fork());
	CALL(-1, EAGAIN, clone(never_run, buf, SIGCHLD, buf, 1L, 2L, 3L));
	assert_int_equal(fake.arg[6], 3);
	CALL(77, 0, clone(never_run, buf, CLONE_VM, buf));
	TOLD("forking\nforked in child\nforking\nforked in parent\nforking\nforked in parent\n");
	recording_start();
	CALL(0, 0, syscall(SYS_fork));
	CALL(77, 0, syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L));
	CALL(77, 0, syscall(SYS_clone, (long)SIGCHLD, 4096L, 0L, 0L, 0L));
	CALL(77, 0, syscall(SYS_clone, (long)CLONE_VM, 4096L, 0L, 0L, 0L));
	CALL(77, 0, syscall(SYS_clone3, &with_stack, sizeof(with_stack)));
	CALL(77, 0, syscall(SYS_clone3, &thread, sizeof(thread)));
	CALL(77, 0, syscall(SYS_vfork));
	TOLD("forking\nforked in child\nforking\nforked in parent\nforking\nforking\n");
}

static void identity_is_told_before_and_after(void **state)
{
	(void)state;
	FAKE(chroot), FAKE(setuid), FAKE(setresgid), FAKE(setgroups), FAKE(unshare), FAKE(setns), FAKE(setfsuid);
	CALL(0, 0, chroot("/"));
	CALL(-1, EPERM, chroot("/"));
	CALL(0, 0, setuid(0));
	CALL(0, 0, setresgid(1, 2, 3));
	assert_int_equal(fake.arg[2], 3);
	CALL(-1, EPERM, setgroups(0, NULL));
	CALL(0, 0, unshare(0));
	CALL(0, 0, setns(FD, 0));
	CALL(1000, 0, setfsuid(5));
	TOLD("changing 0\nchanged 0\nchanging 0\nchanging 1\nchanged 1\nchanging 1\nchanged 1\nchanging 1\n"
	     "changing 3\nchanged 3\nchanging 3\nchanged 3\nchanging 1\nchanged 1\n");
}

static void sandboxes_are_told(void **state)
{
	(void)state;
	FAKE(prctl), FAKE(syscall);
	CALL(0, 0, prctl(PR_SET_NAME, buf));
	assert_ptr_equal(fake.arg[1], buf);
	TOLD("");
	CALL(0, 0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, buf));
	assert_ptr_equal(fake.arg[2], buf);
	CALL(0, 0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	CALL(0, 0, syscall(SYS_seccomp, (long)SECCOMP_SET_MODE_FILTER, 0L, buf));
	CALL(0, 0, syscall(SYS_seccomp, (long)SECCOMP_SET_MODE_STRICT, 0L, NULL));
	CALL(0, 0, syscall(SYS_landlock_restrict_self, 3L, 0L));
	CALL(0, 0, syscall(SYS_prctl, (long)PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, buf));
	CALL(0, 0, syscall(SYS_prctl, (long)PR_SET_NAME, buf));
	CALL(-1, EPERM, syscall(SYS_setuid, 5L));
	TOLD("changing 2\nchanged 2\nchanging 6\nchanged 6\nchanging 2\nchanged 2\nchanging 6\nchanged 6\n"
	     "changing 5\nchanged 5\n"
	     "changing 2\nchanged 2\nchanging 1\n");
}

static void *open_nothing(const char *file, int flags)
{
	(void)file;
	fake.arg[1] = flags;
	return NULL;
}

static void a_load_is_told_when_the_thread_comes_by(void **state)
{
	(void)state;
	real.dlopen = open_nothing;
	FAKE(socket), FAKE(epoll_wait), FAKE(poll), FAKE(pthread_create);
	assert_null(dlopen("library", RTLD_LAZY | RTLD_DEEPBIND));
	assert_int_equal(fake.arg[1], RTLD_LAZY | RTLD_DEEPBIND);
	TOLD("binding deeply\n");
	CALL(-1, EMFILE, socket(AF_INET, SOCK_STREAM, 0));
	CALL(-1, EMFILE, socket(AF_INET, SOCK_STREAM, 0));
	TOLD("binding deeply\nmodule loaded\n");
	dlopen("library", RTLD_LAZY);
	dlopen("library", RTLD_LAZY);
	TOLD("binding deeply\nmodule loaded\nmodule loaded\n");
	CALL(0, 0, epoll_wait(FD, &(struct epoll_event){ 0 }, 1, 0));
	TOLD("binding deeply\nmodule loaded\nmodule loaded\nmodule loaded\nwait begin 700 max 1\nwait end 700 = 0\n");
}

static void names_are_told_when_wanted(void **state)
{
	struct addrinfo *list;

	(void)state;
	FAKE(getaddrinfo);
	CALL(EAI_NONAME, 0, getaddrinfo("host", NULL, NULL, &list));
	TOLD("");
	answers.wants_resolutions = true;
	CALL(EAI_NONAME, 0, getaddrinfo("host", NULL, NULL, &list));
	TOLD("resolved host timed error -2\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(waits_are_framed),
		T(polls_are_framed),
		T(conditions_are_told_before),
		T(semaphores_and_the_unlocks_that_matter_are_told),
		T(sleeping_is_told),
		T(a_coroutine_is_told_with_its_stack),
		T(a_thread_runs_its_start_routine_through_the_package),
		T(a_thread_without_package_is_untouched),
		T(a_package_comes_back_when_there_is_no_thread),
		T(exec_is_what_the_program_called_when_nothing_changes),
		T(exec_takes_the_changed_environment),
		T(exec_by_number_takes_the_environment),
		T(the_scratch_fits_the_environment),
		T(an_absent_environment_stays_absent),
		T(exits_are_told_before),
		T(forks_that_libc_hides_are_told),
		T(identity_is_told_before_and_after),
		T(sandboxes_are_told),
		T(a_load_is_told_when_the_thread_comes_by),
		T(names_are_told_when_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
