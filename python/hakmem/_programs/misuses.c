// One misuse of malloc by name, on a block of a size: misuses CASE BYTES. Ends with 0 where nobody noticed it.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kMany = 2000 };
static char outside[64];
static void* held[kMany];

// What a program does after its mistake: enough calls for a free list to be used up and filled again.
static void go_on(size_t n) {
  for (int i = 0; i < kMany; ++i) held[i] = malloc(n);
  for (int i = 0; i < kMany; ++i) free(held[i]);
}

int main(int count, char** words) {
  if (count != 3) return 2;
  const char* what = words[1];
  const size_t n = strtoull(words[2], NULL, 10);
  void* neighbours[8];
  for (int i = 0; i < 4; ++i) neighbours[i] = malloc(n);
  char* volatile p = malloc(n);
  for (int i = 4; i < 8; ++i) neighbours[i] = malloc(n);
  if (p == NULL) return 2;
  memset(p, 'x', n);

  if (strcmp(what, "double free, at once") == 0) {
    free(p);
    free(p);
  } else if (strcmp(what, "double free, after another") == 0) {
    free(p);
    free(neighbours[5]);
    neighbours[5] = NULL;
    free(p);
  } else if (strcmp(what, "double free, after twenty others") == 0) {
    for (int i = 0; i < 20; ++i) held[i] = malloc(n);
    free(p);
    for (int i = 0; i < 20; ++i) free(held[i]);
    free(p);
  } else if (strcmp(what, "free inside a block") == 0) {
    free(p + (n >= 32 ? 16 : 8));
  } else if (strcmp(what, "free of a misaligned pointer") == 0) {
    free(p + 1);
  } else if (strcmp(what, "free of what malloc never gave") == 0) {
    free(outside + 16);
  } else if (strcmp(what, "realloc of a freed block") == 0) {
    free(p);
    p = realloc(p, n + 1);
  } else if (strcmp(what, "write of 1 byte past the end") == 0) {
    p[n] = 'y';
    free(p);
  } else if (strcmp(what, "write of 16 bytes past the end") == 0) {
    memset(p + n, 'y', 16);
    free(p);
  } else if (strcmp(what, "write of 16 bytes before the block") == 0) {
    memset(p - 16, 'y', 16);
    free(p);
  } else if (strcmp(what, "write after free") == 0) {
    free(p);
    memset(p, 'y', 16);
    go_on(n);
  } else if (strcmp(what, "a freed block's bytes can be read") == 0) {
    char* secret = p;
    free(p);
    int left = 0;
    for (size_t i = 0; i < n; ++i) left += secret[i] == 'x';
    if (left != 0) return 0;
    puts("the bytes are gone");
    return 3;
  } else if (strcmp(what, "a freed block comes back at once") == 0) {
    free(p);
    for (int i = 0; i < 20; ++i) held[i] = malloc(n);
    for (int i = 0; i < 20; ++i) {
      if (held[i] == p) return 0;
    }
    puts("it waits");
    return 3;
  } else if (strcmp(what, "the next block's address can be told") == 0) {
    for (int i = 0; i < 200; ++i) held[i] = malloc(n);
    int same = 0;
    for (int i = 2; i < 200; ++i) {
      same += (uintptr_t)held[i] - (uintptr_t)held[i - 1] == (uintptr_t)held[i - 1] - (uintptr_t)held[i - 2];
    }
    if (same > 150) return 0;
    puts("the order is another one");
    return 3;
  } else {
    return 2;
  }
  for (int i = 0; i < 8; ++i) free(neighbours[i]);
  go_on(n);
  return 0;
}
