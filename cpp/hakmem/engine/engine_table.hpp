// EngineTable: one variant's malloc family as function pointers, so that code compiled once can drive every variant.
// Every entry may be called from any thread. Cost: one indirect call above the engine's own.
#pragma once

#include <cstddef>

namespace hakmem {

struct EngineTable {
  const char* name;
  const char* digest;
  const char* policy_set;

  // The malloc family. NULL with errno = ENOMEM (or EINVAL for a bad alignment) when the request cannot be met.
  void* (*malloc)(std::size_t) noexcept;
  void* (*calloc)(std::size_t, std::size_t) noexcept;
  void* (*realloc)(void*, std::size_t) noexcept;
  void* (*aligned_alloc)(std::size_t align, std::size_t n) noexcept;
  void (*free)(void*) noexcept;
  std::size_t (*usable_size)(const void*) noexcept;
  bool (*owns)(const void*) noexcept;

  // Writes JSON text and returns its length; when that exceeds `capacity` the text was cut: call again.
  std::size_t (*statistics)(char* json, std::size_t capacity) noexcept;
  // The calling thread's caches go back to slabs, empty slabs and SuperSlabs to the operating system.
  void (*collect)() noexcept;

  std::size_t class_count;
  std::size_t (*class_bytes)(std::size_t i) noexcept;  // i in 1..class_count
};

// Defined by variant_table.cpp, once per variant.
extern const EngineTable engine_table;

}  // namespace hakmem
