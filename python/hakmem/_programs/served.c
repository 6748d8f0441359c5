/* Preloaded behind a malloc library: each process notes, in the file that HAKMEM_SERVED names and before its main
 * starts, its pid, the file that its calls of malloc reach, and what hakmem_id says there. Fields end with a tab. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern const char *hakmem_id(void) __attribute__((weak));

/* The first object behind the program that has a malloc of its own: calls look in this order. */
static const char *first_behind_the_program(void) {
  struct link_map *map = NULL;
  void *program = dlopen(NULL, RTLD_LAZY);
  if (program == NULL || dlinfo(program, RTLD_DI_LINKMAP, &map) != 0) return "";
  for (map = map->l_next; map != NULL; map = map->l_next) {
    void *object = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
    void *address = object != NULL ? dlsym(object, "malloc") : NULL;
    Dl_info home;
    struct link_map *found = NULL;
    if (address != NULL && dladdr1(address, &home, (void **)&found, RTLD_DL_LINKMAP) != 0 && found == map) {
      return map->l_name;
    }
  }
  return "";
}

static const char *home_of_malloc(void) {
  Dl_info home;
  const ElfW(Sym) *symbol = NULL;
  void *address = dlsym(RTLD_DEFAULT, "malloc");
  if (address == NULL || dladdr1(address, &home, (void **)&symbol, RTLD_DL_SYMENT) == 0) return "";
  /* In a program at a fixed address the address of malloc may be a stub of the program that leads elsewhere. */
  return symbol != NULL && symbol->st_shndx == SHN_UNDEF ? first_behind_the_program() : home.dli_fname;
}

__attribute__((constructor)) static void note(void) {
  const char *path = secure_getenv("HAKMEM_SERVED");
  int file = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (file < 0) return;
  char line[8192];
  int length = snprintf(line, sizeof line, "%d\t%s\t%s\t\n", (int)getpid(), home_of_malloc(),
                        hakmem_id != NULL ? hakmem_id() : "");
  if (length > 0 && length < (int)sizeof line && write(file, line, (size_t)length) < 0) {
  }
  close(file);
}
