// To be compiled, not run: templates that a compiler has to keep in memory.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

template <int N> struct table {
  std::map<std::string, std::vector<int>> rows;
  void add(const std::string &key, int value) { rows[key + std::to_string(N)].push_back(value); }
  int best() const {
    int found = 0;
    for (const auto &[key, values] : rows) found = std::max(found, *std::max_element(values.begin(), values.end()));
    return found + table<N - 1>{}.best();
  }
};
template <> struct table<0> { int best() const { return 0; } };

int main() {
  table<30> all;
  std::unordered_map<std::string, std::function<int(int)>> calls{{"one", [](int n) { return n + 1; }}};
  all.add("k", calls.at("one")(2));
  std::cout << all.best() << "\n";
}
