/* Preloaded behind a malloc library: each process notes, in the file that HAKMEM_SERVED names and before its main
 * starts, its pid, the file that its calls of malloc reach, and what hakmem_id says there. Fields end with a tab. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern const char *hakmem_id(void) __attribute__((weak));

__attribute__((constructor)) static void note(void) {
  const char *path = secure_getenv("HAKMEM_SERVED");
  int file = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (file < 0) return;
  Dl_info home;
  void *address = dlsym(RTLD_DEFAULT, "malloc");
  const char *name = address != NULL && dladdr(address, &home) != 0 ? home.dli_fname : "";
  char line[8192];
  int length = snprintf(line, sizeof line, "%d\t%s\t%s\t\n", (int)getpid(), name, hakmem_id != NULL ? hakmem_id() : "");
  if (length > 0 && length < (int)sizeof line && write(file, line, (size_t)length) < 0) {
  }
  close(file);
}
