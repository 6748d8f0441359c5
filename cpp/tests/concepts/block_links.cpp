// The least that concepts::BlockLinks accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/block_links.hpp>

#include <hakmem/guard/checks.hpp>
#include <hakmem/guard/encoded_links.hpp>
#include <hakmem/guard/none.hpp>

namespace {

using hakmem::base::Block;
using hakmem::concepts::BlockLinks;

struct Archetype {
  static constexpr std::size_t kBytes = 8;
  static constexpr bool kKeyed = false;
  static Block* next(const Block*) noexcept;
  static void link(Block*, Block*) noexcept;
};
static_assert(BlockLinks<Archetype>);

struct NoWord : Archetype {
  static constexpr std::size_t kBytes = 4;
};
static_assert(!BlockLinks<NoWord>);
struct MoreThanTheSmallestBlock : Archetype {
  static constexpr std::size_t kBytes = 24;
};
static_assert(!BlockLinks<MoreThanTheSmallestBlock>);
struct KeyedOrNotIsFoundOutAtRunTime : Archetype {
  static bool kKeyed;
};
static_assert(!BlockLinks<KeyedOrNotIsFoundOutAtRunTime>);
struct NextTakesTheBlockApart : Archetype {
  static Block* next(Block*) noexcept;
};
static_assert(!BlockLinks<NextTakesTheBlockApart>);
struct NextThrows : Archetype {
  static Block* next(const Block*);
};
static_assert(!BlockLinks<NextThrows>);
struct LinkMayRefuse : Archetype {
  static bool link(Block*, Block*) noexcept;
};
static_assert(!BlockLinks<LinkMayRefuse>);
struct KeyedWithoutASeed : Archetype {
  static constexpr bool kKeyed = true;
};
static_assert(!BlockLinks<KeyedWithoutASeed>);
struct KeyedWithASeed : KeyedWithoutASeed {
  static void seed(std::uint64_t) noexcept;
};
static_assert(BlockLinks<KeyedWithASeed>);

static_assert(BlockLinks<hakmem::base::PlainLinks>);
static_assert(BlockLinks<hakmem::guard::EncodedLinks>);
static_assert(BlockLinks<hakmem::guard::None::Links>);
static_assert(BlockLinks<hakmem::guard::Checks::Links>);

}  // namespace
