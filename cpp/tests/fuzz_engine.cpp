// Bytes as a stream of operations on the engine of the variant that the generated header names, with a shadow model
// beside it. The stream is passed between three threads, which may die; a stream may order page-source calls to be
// refused. At its end everything is freed and nothing may be out. libFuzzer calls LLVMFuzzerTestOneInput; fuzz_main.cpp
// calls it, and run_stream, where there is no libFuzzer.
#include <hakmem_variant.hpp>

#include <hakmem/engine/engine.hpp>
#include <hakmem/pages/failing.hpp>

#include <functional>
#include <semaphore>
#include <thread>

#include "fuzz_engine.hpp"
#include "shadow_model.hpp"

namespace {

using namespace hakmem;

struct Refusing : Variant {
  using Pages = pages::Failing<Variant::Pages>;
};
using Engine = engine::Engine<Refusing>;
using Source = Refusing::Pages;
using Model = test::ShadowModel<Engine>;

constexpr std::size_t kMostLive = std::size_t{8} << 20;
constexpr unsigned kTeam = 3;

// A thread that runs what it is given, one thing at a time, until it is told to die; it is started when it is needed.
class Actor {
 public:
  void run(const std::function<void()>& body) {
    if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
    body_ = &body;
    go_.release();
    done_.acquire();
  }
  void die() {
    if (!thread_.joinable()) return;
    body_ = nullptr;
    go_.release();
    thread_.join();
  }
  ~Actor() { die(); }

 private:
  void loop() {
    for (;;) {
      go_.acquire();
      if (body_ == nullptr) return;
      (*body_)();
      done_.release();
    }
  }

  std::thread thread_;
  std::binary_semaphore go_{0}, done_{0};
  const std::function<void()>* body_ = nullptr;
};

// The bytes that are left of a stream; zeros behind its end.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : next_(data), end_(data + size) {}
  bool empty() const { return next_ == end_; }
  std::size_t byte() { return empty() ? 0 : *next_++; }
  std::size_t word() {
    const std::size_t low = byte();
    return low | byte() << 8;
  }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
};

class Player {
 public:
  // may_refuse: the stream's own orders to refuse page-source calls are followed.
  void play(Bytes stream, bool may_refuse) {
    for (unsigned turn = 0; !stream.empty();) {
      dying_ = false;
      on(turn, [&] { turn = until_handed_over(stream, turn, may_refuse); });
      if (dying_) team_[dead_].die();
    }
    Source::recover();
    for (unsigned i = 0; i < kTeam; ++i) {
      on(i, [&] {
        for (std::size_t slot = i; slot < Model::kSlots; slot += kTeam) model_.free(slot);
        Engine::free(Engine::malloc(16));
      });
    }
    // every heap there is has a thread now; twice, since what one collects may belong to another
    for (unsigned i = 0; i < 2 * kTeam; ++i) on(i % kTeam, [] { Engine::collect(); });
    model_.nothing_is_out();
  }
  const Model& model() const { return model_; }

 private:
  // Actor 0 is the calling thread, which cannot die.
  void on(std::size_t actor, const std::function<void()>& body) { actor == 0 ? body() : team_[actor].run(body); }

  static std::size_t size_from(Bytes& stream) {
    const std::size_t kind = stream.byte();
    switch (kind % 16) {
      case 0: case 1: case 2: return stream.byte();
      case 3: case 4: case 5: case 6: return stream.word() % 1100;
      case 7: case 8: return stream.word() % 8192;
      case 9: case 10: return stream.word();
      case 11: case 12: case 13: {  // a class's largest, and its neighbours
        const base::ClassIndex c = 1 + stream.byte() % Engine::Classes::kCount;
        return Engine::Classes::block_size(c) - Engine::P::kPrefix + kind / 16 % 3 - 1;
      }
      case 14: return Engine::P::kRegion / 4 - 1024 + stream.word() % 2048;  // where page runs end
      default:
        if (kind >= 0xF0) return ~std::size_t{0} - stream.word();
        return stream.word() * 64;
    }
  }

  std::size_t slot_from(Bytes& stream) { return stream.word() % Model::kSlots; }

  // Plays operations on the calling thread, `self`; whose turn it is next.
  unsigned until_handed_over(Bytes& stream, unsigned self, bool may_refuse) {
    while (!stream.empty()) {
      const std::size_t code = stream.byte(), more = code / 16;
      const std::size_t slot = slot_from(stream);
      switch (code % 16) {
        case 0: case 1: case 2:
          if (room()) model_.malloc(slot, size_from(stream));
          break;
        case 3:
          if (room()) calloc(slot, 1 + more, size_from(stream));
          break;
        case 4:
          if (room()) model_.aligned_alloc(slot, std::size_t{1} << kPowers[more], size_from(stream));
          break;
        case 5: case 6:
          if (room()) model_.realloc(slot, size_from(stream));
          break;
        case 7: case 8: model_.free(slot); break;
        case 9: case 10: {  // many of one size: caches fill and spill
          const std::size_t n = size_from(stream) % 5000;
          for (std::size_t i = 0; i < 8 * (more + 1) && room(); ++i) model_.malloc((slot + i) % Model::kSlots, n);
          break;
        }
        case 11:
          for (std::size_t i = 0; i < 8 * (more + 1); ++i) {
            model_.free((more % 2 == 0 ? slot + i : slot + Model::kSlots - i) % Model::kSlots);
          }
          break;
        case 12: model_.look_at(slot); break;
        case 13: return static_cast<unsigned>(more % kTeam);
        case 14:
          if (more < 4) Engine::collect();
          if (more >= 8) {  // another thread ends with what its caches hold; its heap waits for the next one
            dead_ = 1 + slot % (kTeam - 1);
            dying_ = true;
            return dead_ == self ? 0 : self;
          }
          break;
        default:
          if (may_refuse) Source::fail_from(static_cast<long>(slot % 8), static_cast<long>(1 + more % 4));
      }
    }
    return self;
  }

  bool room() const { return model_.live_bytes() < kMostLive; }

  void calloc(std::size_t slot, std::size_t count, std::size_t size) {
    if (size > base::kLargestRequest / 16) count = 1;  // the shadow wants to know the product
    model_.calloc(slot, count, size);
  }

  // Up to 16 MiB: more than a region has.
  static constexpr unsigned char kPowers[16] = {0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16, 20, 22, 24};

  Model model_;
  Actor team_[kTeam];
  std::size_t dead_ = 0;
  bool dying_ = false;
};

Player& player() {
  static Player only;
  return only;
}

}  // namespace

namespace hakmem::test {

FuzzCounts run_stream(const std::uint8_t* data, std::size_t size, long fail_from, long times) {
  const long before = Source::refusals();
  if (fail_from >= 0) Source::fail_from(fail_from, times);
  player().play(Bytes(data, size), fail_from < 0);
  return fuzz_counts(before);
}

FuzzCounts fuzz_counts(long refusals_before) {
  const Model& model = player().model();
  return {model.operations(), model.refused(), static_cast<std::uint64_t>(Source::refusals() - refusals_before)};
}

}  // namespace hakmem::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hakmem::test::run_stream(data, size, -1, 0);
  return 0;
}

// How much was done is told at exit, since libFuzzer counts inputs only.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::atexit([] {
    const auto counts = hakmem::test::fuzz_counts(0);
    std::fprintf(stderr, "%s: %llu operations, %llu requests refused, %llu page-source calls refused\n", Variant::kName,
                 static_cast<unsigned long long>(counts.operations), static_cast<unsigned long long>(counts.requests_refused),
                 static_cast<unsigned long long>(counts.calls_refused));
  });
  return 0;
}
