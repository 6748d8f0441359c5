// The least that concepts::SizeClassMap accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/size_class_map.hpp>

#include <hakmem/classes/fitted.hpp>
#include <hakmem/classes/geometric4.hpp>
#include <hakmem/classes/linear16.hpp>
#include <hakmem/classes/pow2.hpp>

namespace {

using hakmem::base::ClassIndex;
using hakmem::concepts::SizeClassMap;

struct Archetype {
  static constexpr ClassIndex kCount = 2;
  static constexpr std::size_t kLargest = 64;
  static constexpr std::size_t kAlign = 16;
  static ClassIndex class_of(std::size_t) noexcept;
  static constexpr std::size_t block_size(ClassIndex c) noexcept { return c * 32; }
};
static_assert(SizeClassMap<Archetype>);

struct NoClasses : Archetype {
  static constexpr ClassIndex kCount = 0;
  static constexpr std::size_t kLargest = 0;
};
static_assert(!SizeClassMap<NoClasses>);
struct MoreClassesThanATagHolds : Archetype {
  static constexpr ClassIndex kCount = 256;
  static constexpr std::size_t kLargest = 256 * 32;
};
static_assert(!SizeClassMap<MoreClassesThanATagHolds>);
struct NoPowerOfTwo : Archetype {
  static constexpr std::size_t kAlign = 24;
  static constexpr std::size_t kLargest = 48;
  static constexpr std::size_t block_size(ClassIndex c) noexcept { return c * 24; }
};
static_assert(!SizeClassMap<NoPowerOfTwo>);
struct ALinkDoesNotFit : Archetype {
  static constexpr std::size_t kAlign = 4;
};
static_assert(!SizeClassMap<ALinkDoesNotFit>);
struct ClassOfThrows : Archetype {
  static ClassIndex class_of(std::size_t);
};
static_assert(!SizeClassMap<ClassOfThrows>);
struct ClassOfIsAByte : Archetype {
  static unsigned char class_of(std::size_t) noexcept;
};
static_assert(!SizeClassMap<ClassOfIsAByte>);
struct BlockSizeIs32Bits : Archetype {
  static constexpr unsigned block_size(ClassIndex c) noexcept { return static_cast<unsigned>(c * 32); }
};
static_assert(!SizeClassMap<BlockSizeIs32Bits>);
struct Descending : Archetype {
  static constexpr std::size_t block_size(ClassIndex c) noexcept { return c == 1 ? 96 : 64; }
};
static_assert(!SizeClassMap<Descending>);
struct SameSizeTwice : Archetype {
  static constexpr std::size_t block_size(ClassIndex) noexcept { return 64; }
};
static_assert(!SizeClassMap<SameSizeTwice>);
struct Misaligned : Archetype {
  static constexpr std::size_t block_size(ClassIndex c) noexcept { return c == 1 ? 24 : 64; }
};
static_assert(!SizeClassMap<Misaligned>);
struct LastIsNotLargest : Archetype {
  static constexpr std::size_t kLargest = 128;
};
static_assert(!SizeClassMap<LastIsNotLargest>);

static_assert(SizeClassMap<hakmem::classes::Fitted<>>);
static_assert(SizeClassMap<hakmem::classes::Fitted<hakmem::classes::FittedOptions{.sizes = {48}}>>);
static_assert(SizeClassMap<hakmem::classes::Geometric4<>>);
static_assert(SizeClassMap<hakmem::classes::Linear16<>>);
static_assert(SizeClassMap<hakmem::classes::Pow2<>>);
static_assert(SizeClassMap<hakmem::classes::Pow2<hakmem::classes::Pow2Options{.smallest = 8}>>);

}  // namespace
