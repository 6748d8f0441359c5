// What a probe can be told of. The names are those of the statistics.
#pragma once

#include <array>
#include <cstdint>

namespace hakmem::probe {

enum class Event : std::uint8_t {
  kMallocFrontHit,  // served by the front's cache
  kFreeFrontHit,    // taken by the front's cache
  kRefill,          // a malloc that had to fetch blocks from the back
  kFlush,           // a free that found its cache full
  kFreeRemote,      // a free of a block whose slab another heap owns
  kMediumMalloc,
  kMediumFree,
  kLargeMalloc,
  kLargeFree,
  kFreeForeign,
  kReallocInPlace,
};
inline constexpr std::size_t kEvents = 11;
inline constexpr std::array<const char*, kEvents> kEventNames{
    "malloc_front_hit", "free_front_hit", "refill",      "flush",        "free_remote",     "medium_malloc",
    "medium_free",      "large_malloc",   "large_free",  "free_foreign", "realloc_in_place"};

// Where a block of a class goes: what lies in caches and in the program's hands is the balance of these.
enum class Flow : std::uint8_t {
  kMalloc,   // to the program
  kFree,     // from the program to this heap's cache or slabs
  kFetched,  // from slabs to this heap
  kReturned, // from this heap to slabs
  kSent,     // from the program towards the heap that owns its slab
  kHome,     // from another heap to slabs of this one
  kLeft,     // from this heap to the depot
  kTaken,    // from the depot to this heap, or by its thread to slabs: that counts as returned, too
};
inline constexpr std::size_t kFlows = 8;

}  // namespace hakmem::probe
