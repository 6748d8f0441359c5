// hakmem_merge FILE: turns what one process recorded (recording.hpp) into the frames of a trace (docs/trace_format.md), on
// standard output and uncompressed, each after its length: the events of all threads in their order, and in place of
// addresses how many allocations ago a freed block was made. Memory: the live blocks; the file is mapped and read once.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <queue>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <hakmem/bench/recording.hpp>

namespace {

using namespace hakmem::bench;

struct Event {
  Recorded kind{};
  std::uint64_t thread = 0;
  std::uint64_t ms = 0;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  std::uint64_t number = 0;
};

// One thread's turn in one chunk: events from a kBegin to the next, or to the chunk's end.
class Turn {
 public:
  Turn(const unsigned char* at, const unsigned char* end) : at_(at), end_(end) {}

  // The next event of the malloc family; false at the end. Then `at` is where the next turn of the chunk begins.
  bool next() {
    for (std::uint64_t a, b, c;;) {
      const unsigned char* const here = at_;
      const Recorded kind = read(a, b, c);
      if (kind == Recorded::kBegin && !begun_) {
        begun_ = true;
        event.thread = a;
        event.number = b;
        event.ms = c;
      } else if (kind == Recorded::kTick) {
        event.ms = b;
      } else if (kind >= Recorded::kMalloc && kind <= Recorded::kArrive && begun_) {
        event.kind = kind;
        event.address += (a >> 1 ^ (~(a & 1) + 1)) << 3;
        event.bytes = b;
        event.number += c + 1;
        return true;
      } else {
        at_ = here;
        return false;
      }
    }
  }

  const unsigned char* at() const noexcept { return at_; }
  bool begun() const noexcept { return begun_; }
  Event event;

 private:
  Recorded read(std::uint64_t& a, std::uint64_t& b, std::uint64_t& c) {
    if (end_ - at_ < static_cast<std::ptrdiff_t>(kLongestEvent + 8)) return {};
    Head head;
    std::memcpy(&head, at_, sizeof head);
    if (head.bits == 0) return {};
    at_ += sizeof head;
    for (unsigned i = 0; std::uint64_t* to : {&a, &b, &c}) {
      const unsigned length = head.length(i++);
      if (length > 8) return {};
      *to = 0;
      std::memcpy(to, at_, length);
      at_ += length;
    }
    return head.kind();
  }

  const unsigned char* at_;
  const unsigned char* end_;
  bool begun_ = false;
};

class Column {
 public:
  void byte(unsigned value) { bytes_.push_back(static_cast<unsigned char>(value)); }
  void number(std::uint64_t value) {  // LEB128
    for (; value >= 128; value >>= 7) byte(static_cast<unsigned>(value & 127) | 128);
    byte(static_cast<unsigned>(value));
  }
  // Runs of equal values: value and length.
  void run(std::uint64_t value) {
    if (run_ != 0 && value == last_) {
      ++run_;
      return;
    }
    end_run();
    last_ = value;
    run_ = 1;
  }
  void end_run() {
    if (run_ == 0) return;
    number(last_);
    number(run_);
    run_ = 0;
  }
  void clear() { bytes_.clear(); }
  const std::vector<unsigned char>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
  std::uint64_t last_ = 0;
  std::uint64_t run_ = 0;
};

enum class Traced : unsigned { kMalloc, kCalloc, kAligned, kRealloc, kFree };

void put(const void* bytes, std::size_t count) {
  if (count != 0 && std::fwrite(bytes, 1, count, stdout) != count) throw std::runtime_error("the trace could not be written");
}

// The events of a trace, a frame at a time.
class Frames {
 public:
  void add(Traced kind, const Event& event) {
    kinds_.byte(static_cast<unsigned>(kind));
    threads_.run(event.thread - 1);
    // from the clocks of several threads: never back
    const std::uint64_t ms = event.ms > ms_ ? event.ms : ms_;
    times_.run(ms);
    ms_ = ms;
    if (++events_ == kFrame) flush();
  }
  void size(std::uint64_t bytes) { sizes_.number(bytes); }
  void age(std::uint64_t age) { ages_.number(age); }
  void alignment(unsigned bits) { alignments_.byte(bits); }

  void flush() {
    if (events_ == 0) return;
    threads_.end_run();
    times_.end_run();
    const std::array<Column*, 6> columns{&kinds_, &threads_, &times_, &sizes_, &ages_, &alignments_};
    std::array<std::uint32_t, 7> counts{events_};
    std::uint32_t total = sizeof counts;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      counts[i + 1] = static_cast<std::uint32_t>(columns[i]->bytes().size());
      total += counts[i + 1];
    }
    put(&total, sizeof total);
    put(counts.data(), sizeof counts);
    for (Column* column : columns) {
      put(column->bytes().data(), column->bytes().size());
      column->clear();
    }
    events_ = 0;
  }

 private:
  static constexpr std::uint32_t kFrame = 1 << 19;
  Column kinds_, threads_, times_, sizes_, ages_, alignments_;
  std::uint32_t events_ = 0;
  std::uint64_t ms_ = 0;
};

// From events with addresses to events with ages.
class Blocks {
 public:
  explicit Blocks(Frames& frames) : frames_(frames) {}

  void take(const Event& event) {
    switch (event.kind) {
      case Recorded::kMalloc: return born(Traced::kMalloc, event, event.bytes);
      case Recorded::kCalloc: return born(Traced::kCalloc, event, event.bytes);
      case Recorded::kAligned: return born(Traced::kAligned, event, event.bytes >> kAlignBits);
      case Recorded::kFree: return freed(event);
      case Recorded::kResize: return resized(event, take_out(event.address));
      case Recorded::kLeave: {
        moving_[event.thread] = take_out(event.address);
        return;
      }
      case Recorded::kArrive: {
        const auto from = moving_.find(event.thread);
        const std::uint64_t block = from == moving_.end() ? 0 : from->second;
        if (from != moving_.end()) moving_.erase(from);
        return resized(event, block);
      }
      default: return;
    }
  }

 private:
  // The block at an address, counted from 1; 0: it was made before the recording began.
  std::uint64_t take_out(std::uint64_t address) {
    const auto found = live_.find(address);
    if (found == live_.end()) return 0;
    const std::uint64_t block = found->second;
    live_.erase(found);
    return block;
  }
  void place(const Event& event, std::uint64_t block) {
    const auto [at, is_new] = live_.try_emplace(event.address, block);
    if (is_new) return;
    // The address is given out again, so a free of it was not seen.
    frames_.age(made_ + 1 - at->second);
    frames_.add(Traced::kFree, event);
    at->second = block;
  }
  void born(Traced kind, const Event& event, std::uint64_t bytes) {
    place(event, made_ + 1);
    ++made_;
    frames_.size(bytes);
    if (kind == Traced::kAligned) frames_.alignment(static_cast<unsigned>(event.bytes & ((1u << kAlignBits) - 1)));
    frames_.add(kind, event);
  }
  void freed(const Event& event) {
    const std::uint64_t block = take_out(event.address);
    frames_.age(block == 0 ? 0 : made_ + 1 - block);
    frames_.add(Traced::kFree, event);
  }
  void resized(const Event& event, std::uint64_t block) {
    if (block == 0) return born(Traced::kMalloc, event, event.bytes);
    place(event, block);
    frames_.age(made_ + 1 - block);
    frames_.size(event.bytes);
    frames_.add(Traced::kRealloc, event);
  }

  Frames& frames_;
  std::unordered_map<std::uint64_t, std::uint64_t> live_;
  std::unordered_map<std::uint64_t, std::uint64_t> moving_;  // by thread, between kLeave and kArrive
  std::uint64_t made_ = 0;
};

// The turns of all chunks. One that stands there twice, as its process was killed while it copied a chunk, is taken once.
std::vector<std::unique_ptr<Turn>> turns_of(const unsigned char* file, std::size_t bytes) {
  const auto* header = reinterpret_cast<const FileHeader*>(file);
  const std::uint64_t chunks = header->chunks.load(std::memory_order_relaxed);
  struct Found {
    std::unique_ptr<Turn> turn;
    std::uint64_t events;
  };
  std::map<std::uint64_t, Found> turns;  // by the number of the first event
  for (std::uint64_t i = 0; i < chunks; ++i) {
    const std::size_t offset = kFirstChunk + i * kChunk;
    if (offset >= bytes) break;  // the process ended before it had the room
    const unsigned char* at = file + offset;
    for (const unsigned char* const end = file + std::min(bytes, offset + kChunk);;) {
      auto turn = std::make_unique<Turn>(at, end);
      Turn scout(at, end);
      std::uint64_t events = 0;
      while (scout.next()) ++events;
      if (!scout.begun()) break;
      at = scout.at();
      if (!turn->next()) continue;
      Found& known = turns[turn->event.number];
      if (events > known.events) known = {std::move(turn), events};
    }
  }
  std::vector<std::unique_ptr<Turn>> all;
  for (auto& [number, found] : turns) all.push_back(std::move(found.turn));
  return all;
}

void merge(const char* path) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  struct stat about{};
  if (file < 0 || ::fstat(file, &about) != 0) throw std::runtime_error(std::string(path) + ": cannot be read");
  const auto bytes = static_cast<std::size_t>(about.st_size);
  void* mapped = bytes < kFirstChunk ? MAP_FAILED : ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
  ::close(file);
  if (mapped == MAP_FAILED || static_cast<const FileHeader*>(mapped)->magic != FileHeader::kMagic) {
    throw std::runtime_error(std::string(path) + ": expected a process's recording, got another file");
  }
  const auto turns = turns_of(static_cast<const unsigned char*>(mapped), bytes);
  const auto later = [](const Turn* a, const Turn* b) { return a->event.number > b->event.number; };
  std::priority_queue<Turn*, std::vector<Turn*>, decltype(later)> next(later);
  for (const auto& turn : turns) next.push(turn.get());
  Frames frames;
  Blocks blocks(frames);
  while (!next.empty()) {
    Turn* turn = next.top();
    next.pop();
    // while no other turn is due, without the queue
    bool more;
    do blocks.take(turn->event);
    while ((more = turn->next()) && (next.empty() || turn->event.number < next.top()->event.number));
    if (more) next.push(turn);
  }
  frames.flush();
  if (std::fflush(stdout) != 0) throw std::runtime_error("the trace could not be written");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: hakmem_merge FILE");
    merge(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hakmem_merge: %s\n", error.what());
    return 2;
  }
}
