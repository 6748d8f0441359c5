// Log lines through three threads: one writes them, one takes them apart, one counts. Every line and every record is freed by
// the thread that comes after the one that allocated it. g++ -std=c++20 -O2 -pthread -o pipeline pipeline.cpp
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

template <class T>
class Channel {
 public:
  void send(T value) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return held_.size() < kMost; });
    held_.push(std::move(value));
    ready_.notify_one();
  }
  T receive() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return !held_.empty(); });
    T value = std::move(held_.front());
    held_.pop();
    room_.notify_one();
    return value;
  }

 private:
  static constexpr std::size_t kMost = 16;
  std::mutex mutex_;
  std::condition_variable ready_, room_;
  std::queue<T> held_;
};

struct Record {
  std::string user, path;
  std::map<std::string, std::string> arguments;
};

using Lines = std::vector<std::string>;
using Records = std::vector<std::unique_ptr<Record>>;

int main() {
  constexpr int kBatches = 1200, kLines = 500;
  Channel<Lines> lines;
  Channel<Records> records;
  std::jthread writer([&] {
    std::uint32_t state = 1;
    const auto next = [&] { return (state = state * 1664525 + 1013904223) >> 8; };
    for (int batch = 0; batch < kBatches; ++batch) {
      Lines made;
      for (int i = 0; i < kLines; ++i) {
        std::string line = "user" + std::to_string(next() % 3000) + " /page/" + std::to_string(next() % 50000);
        for (unsigned n = next() % 5; n != 0; --n) line += "&key" + std::to_string(n) + "=" + std::string(next() % 60, 'v');
        made.push_back(std::move(line));
      }
      lines.send(std::move(made));
    }
  });
  std::jthread parser([&] {
    for (int batch = 0; batch < kBatches; ++batch) {
      Records made;
      for (const std::string& line : lines.receive()) {
        auto record = std::make_unique<Record>();
        const auto space = line.find(' '), query = line.find('&');
        record->user = line.substr(0, space);
        record->path = line.substr(space + 1, query == std::string::npos ? query : query - space - 1);
        for (auto at = query; at != std::string::npos;) {
          const auto is = line.find('=', at), end = line.find('&', is);
          const auto length = end == std::string::npos ? end : end - is - 1;
          record->arguments[line.substr(at + 1, is - at - 1)] = line.substr(is + 1, length);
          at = end;
        }
        made.push_back(std::move(record));
      }
      records.send(std::move(made));
    }
  });
  std::unordered_map<std::string, std::vector<std::string>> visits;
  std::size_t bytes = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    for (const auto& record : records.receive()) {
      auto& paths = visits[record->user];
      if (paths.size() == 20) paths.clear();
      paths.push_back(record->path);
      for (const auto& [key, value] : record->arguments) bytes += key.size() + value.size();
    }
  }
  std::cout << visits.size() << " users, " << bytes << " bytes of arguments\n";
}
