// hakmem_plan FILE [EVENTS]: makes the plan of a replay (plan.hpp), of the first EVENTS events when that is given. Standard
// input: the number of recorded threads and the seat of each, then the frames of one process as hakmem_merge writes them
// (docs/trace_format.md), each after its length. Prints how many calls the plan has. Memory: the live blocks and one window.
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <hakmem/bench/json.hpp>
#include <hakmem/bench/plan.hpp>

namespace {

using namespace hakmem::bench;

class Output {
 public:
  explicit Output(const char* path) : file_(std::fopen(path, "wb")) {
    if (file_ == nullptr) fail();
  }
  Output(const Output&) = delete;
  ~Output() { std::fclose(file_); }
  void put(const void* bytes, std::size_t count) {
    if (count != 0 && std::fwrite(bytes, 1, count, file_) != count) fail();
    at_ += count;
  }
  void finish(const PlanHeader& header) {
    if (std::fseek(file_, 0, SEEK_SET) != 0) fail();
    put(&header, sizeof header);
    if (std::fflush(file_) != 0) fail();
  }
  std::uint64_t at() const noexcept { return at_; }

 private:
  [[noreturn]] static void fail() { throw std::runtime_error("the plan could not be written"); }
  std::FILE* file_;
  std::uint64_t at_ = 0;
};

bool get(void* to, std::size_t bytes) { return bytes == 0 || std::fread(to, 1, bytes, stdin) == bytes; }

std::uint32_t get_word() {
  std::uint32_t word;
  if (!get(&word, sizeof word)) throw std::runtime_error("standard input is cut off");
  return word;
}

// One column of a frame.
class Column {
 public:
  Column() = default;
  Column(const unsigned char* at, std::size_t bytes) : at_(at), end_(at + bytes) {}
  unsigned byte() {
    if (at_ == end_) throw std::runtime_error("a frame's columns do not fit its events");
    return *at_++;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const unsigned part = byte();
      value |= std::uint64_t{part & 127} << (shift & 63);
      if (part < 128) return value;
    }
  }
  std::uint64_t in_runs() {
    if (left_ == 0) {
      value_ = number();
      left_ = number();
      if (left_ == 0) throw std::runtime_error("a frame has an empty run");
    }
    --left_;
    return value_;
  }

 private:
  const unsigned char* at_ = nullptr;
  const unsigned char* end_ = nullptr;
  std::uint64_t value_ = 0;
  std::uint64_t left_ = 0;
};

class Planner {
 public:
  Planner(Output& out, std::vector<std::uint32_t> seat_of) : out_(out), seat_of_(std::move(seat_of)) {
    header_.magic = PlanHeader::kMagic;
    header_.seats = 1;
    for (const std::uint32_t seat : seat_of_) header_.seats = std::max(header_.seats, std::uint64_t{seat} + 1);
    words_.resize(header_.seats);
    out_.put(&header_, sizeof header_);
  }

  // Whether it wants more: not after the last of `most` events.
  bool take(const std::vector<unsigned char>& frame, std::uint64_t most) {
    std::array<std::uint32_t, 7> counts;
    if (frame.size() < sizeof counts) throw std::runtime_error("a frame is cut off");
    std::memcpy(counts.data(), frame.data(), sizeof counts);
    std::array<Column, 6> columns;
    std::size_t at = sizeof counts;
    for (std::size_t i = 0; i < columns.size(); at += counts[++i]) {
      if (counts[i + 1] > frame.size() - at) throw std::runtime_error("a frame is cut off");
      columns[i] = Column(frame.data() + at, counts[i + 1]);
    }
    auto& [kinds, threads, times, sizes, ages, alignments] = columns;
    for (std::uint32_t i = 0; i < counts[0]; ++i) {
      if (events_++ == most) return false;
      const auto kind = static_cast<Call>(kinds.byte());
      const std::uint64_t thread = threads.in_runs();
      if (thread >= seat_of_.size()) throw std::runtime_error("a frame has a thread without a seat");
      std::vector<std::uint32_t>& words = words_[seat_of_[thread]];
      const std::uint64_t n = kind <= Call::kRealloc ? sizes.number() : 0;
      if (kind <= Call::kAligned) {
        const std::uint32_t slot = new_slot();
        live_.emplace(++made_, slot);
        words.push_back(word(kind, slot));
        if (kind == Call::kAligned) words.push_back(alignments.byte());
        put_size(words, n);
      } else {
        const std::uint64_t age = ages.number();
        if (age == 0) continue;  // a block from before the recording
        const auto found = live_.find(made_ + 1 - age);
        if (found == live_.end()) throw std::runtime_error("a frame frees a block that is not live");
        words.push_back(word(kind, found->second));
        const std::uint32_t emptied = found->second;
        if (kind == Call::kRealloc) {
          found->second = new_slot();
          words.push_back(found->second);
          put_size(words, n);
        } else {
          live_.erase(found);
        }
        (header_.seats == 1 ? empty_ : emptied_).push_back(emptied);
      }
      ++header_.calls[static_cast<unsigned>(kind)];
      if (++in_window_ == kWindow) end_window();
    }
    return events_ < most;
  }

  const PlanHeader& finish() {
    if (in_window_ != 0) end_window();
    header_.index = out_.at();
    offsets_.push_back(out_.at());
    out_.put(offsets_.data(), offsets_.size() * sizeof offsets_[0]);
    out_.finish(header_);
    return header_;
  }

 private:
  static std::uint32_t word(Call kind, std::uint32_t slot) noexcept {
    return slot << kCallBits | static_cast<std::uint32_t>(kind);
  }
  std::uint32_t new_slot() {
    if (!empty_.empty()) {
      const std::uint32_t slot = empty_.back();
      empty_.pop_back();
      return slot;
    }
    if (header_.slots == kMostSlots) throw std::runtime_error("the trace has too many live blocks for a replay");
    return static_cast<std::uint32_t>(header_.slots++);
  }
  void put_size(std::vector<std::uint32_t>& words, std::uint64_t n) {
    ++header_.sizes[n <= 1 ? 0 : std::min<unsigned>(static_cast<unsigned>(std::bit_width(n - 1)), Histogram::kBuckets - 1)];
    if (n < kWide) return words.push_back(static_cast<std::uint32_t>(n));
    words.insert(words.end(), {kWide, static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(n >> 32)});
  }
  void end_window() {
    for (std::vector<std::uint32_t>& words : words_) {
      offsets_.push_back(out_.at());
      out_.put(words.data(), words.size() * sizeof words[0]);
      words.clear();
    }
    empty_.insert(empty_.end(), emptied_.begin(), emptied_.end());
    emptied_.clear();
    ++header_.windows;
    in_window_ = 0;
  }

  Output& out_;
  std::vector<std::uint32_t> seat_of_;
  PlanHeader header_{};
  std::vector<std::vector<std::uint32_t>> words_;  // of the window, by seat
  std::vector<std::uint64_t> offsets_;
  std::unordered_map<std::uint64_t, std::uint32_t> live_;  // block, counted from 1, to slot
  std::vector<std::uint32_t> empty_, emptied_;
  std::uint64_t events_ = 0;
  std::uint64_t made_ = 0;
  std::uint64_t in_window_ = 0;
};

void make_plan(const char* path, std::uint64_t most) {
  std::vector<std::uint32_t> seats(get_word());
  for (std::uint32_t& seat : seats) seat = get_word();
  Output out(path);
  Planner planner(out, std::move(seats));
  std::vector<unsigned char> frame;
  for (std::uint32_t length; get(&length, sizeof length);) {
    frame.resize(length);
    if (!get(frame.data(), length)) throw std::runtime_error("standard input is cut off");
    if (!planner.take(frame, most)) break;
  }
  const PlanHeader& header = planner.finish();
  Json calls;
  for (unsigned i = 0; i < kCalls; ++i) calls.number(std::to_string(i), header.calls[i]);
  std::printf("%s\n", Json()
                          .number("seats", header.seats)
                          .number("windows", header.windows)
                          .number("slots", header.slots)
                          .raw("calls", calls.str())
                          .str()
                          .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2 && argc != 3) throw std::runtime_error("usage: hakmem_plan FILE [EVENTS]");
    make_plan(argv[1], argc == 3 ? std::stoull(argv[2]) : ~std::uint64_t{0});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hakmem_plan: %s\n", error.what());
    return 2;
  }
}
