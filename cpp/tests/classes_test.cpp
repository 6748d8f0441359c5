// Size-class maps, asked for every size there is.
#include <hakmem/classes/fitted.hpp>
#include <hakmem/classes/geometric4.hpp>
#include <hakmem/classes/linear16.hpp>
#include <hakmem/classes/pow2.hpp>

#include "check.hpp"

namespace {

using namespace hakmem;
using test::check;

template <class Map>
void ask_for_every_size() {
  check(Map::class_of(0) <= 1, "no bytes are no class, or the smallest");
  base::ClassIndex before = Map::class_of(0);
  for (std::size_t n = 1; n <= Map::kLargest; ++n) {
    const base::ClassIndex c = Map::class_of(n);
    if (!check(c >= 1 && c <= Map::kCount, "class in range") || !check(c >= before, "monotone") ||
        !check(Map::block_size(c) >= n, "the block holds the request") ||
        !check(c == 1 || Map::block_size(c - 1) < n, "no smaller class would do")) {
      return;
    }
    before = c;
  }
  test::check_equal(Map::class_of(Map::kLargest), Map::kCount);
}

template <std::size_t kLargest>
void geometric4() {
  using Map = classes::Geometric4<classes::Geometric4Options{.largest = kLargest}>;
  ask_for_every_size<Map>();
  for (base::ClassIndex c = 1; c < Map::kCount; ++c) {
    const std::size_t step = Map::block_size(c + 1) - Map::block_size(c);
    check(step == 16 || step * 4 <= Map::block_size(c), "at most a quarter is lost to rounding");
  }
}

const test::Test geometric{"geometric4 serves every size with the smallest class that holds it", [] {
                             geometric4<1024>();
                             geometric4<4096>();
                             geometric4<32768>();
                             geometric4<262144>();
                           }};

const test::Test fitted{"fitted serves every size with the smallest class that holds it", [] {
                          using classes::Fitted, classes::FittedOptions;
                          ask_for_every_size<Fitted<>>();
                          ask_for_every_size<Fitted<FittedOptions{.sizes = {48, 64, 1008, 40000}}>>();
                          ask_for_every_size<Fitted<FittedOptions{.sizes = {16}}>>();
                        }};

const test::Test linear{"linear16 serves every size with the smallest class that holds it", [] {
                          ask_for_every_size<classes::Linear16<classes::Linear16Options{.largest = 256}>>();
                          ask_for_every_size<classes::Linear16<>>();
                          ask_for_every_size<classes::Linear16<classes::Linear16Options{.largest = 3840}>>();
                        }};

const test::Test powers{"pow2 serves every size with the smallest class that holds it", [] {
                          using classes::Pow2, classes::Pow2Options;
                          ask_for_every_size<Pow2<Pow2Options{.largest = 512}>>();
                          ask_for_every_size<Pow2<>>();
                          ask_for_every_size<Pow2<Pow2Options{.largest = 1024, .smallest = 8}>>();
                          ask_for_every_size<Pow2<Pow2Options{.largest = 262144}>>();
                          test::check_equal(Pow2<Pow2Options{.smallest = 8}>::kCount, 8u);
                        }};

}  // namespace
