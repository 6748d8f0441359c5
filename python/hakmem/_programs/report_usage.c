/* report_usage REPORT COMMAND...: runs a command and reports wall time, processor time and peak RSS of it and of the
 * processes that it waited for. It is small, because a process's peak RSS begins with that of its launcher, and
 * it does not run on the malloc under test: the command's LD_PRELOAD comes in LAUNCH_PRELOAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long long us(struct timeval t) { return (long long)t.tv_sec * 1000000 + t.tv_usec; }

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  FILE *report = fopen(argv[1], "we");
  if (report == NULL) return 2;
  const char *preload = getenv("LAUNCH_PRELOAD");
  long long start = now_ns();
  pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    if (preload != NULL) setenv("LD_PRELOAD", preload, 1);
    unsetenv("LAUNCH_PRELOAD");
    execvp(argv[2], argv + 2);
    fprintf(stderr, "%s: cannot be started: %s\n", argv[2], strerror(errno));
    _exit(127);
  }
  int status;
  struct rusage usage;
  while (wait4(child, &status, 0, &usage) < 0) {
    if (errno != EINTR) return 2;
  }
  long long wall = now_ns() - start;
  fprintf(report, "{\"pid\": %d, \"status\": %d, \"wall_ns\": %lld, \"user_us\": %lld, \"system_us\": %lld, ", (int)child,
          status, wall, us(usage.ru_utime), us(usage.ru_stime));
  fprintf(report, "\"peak_kib\": %ld, \"minor_faults\": %ld, \"major_faults\": %ld}\n", usage.ru_maxrss, usage.ru_minflt,
          usage.ru_majflt);
  return fclose(report) != 0;
}
