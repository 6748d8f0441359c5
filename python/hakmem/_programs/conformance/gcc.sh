# One large C++ file: most of the standard library's headers and some dozen templates, to assembly.
set -eu
{
  echo '#include <bits/stdc++.h>'
  n=0
  while [ $n -lt 25 ]; do
    echo "template <int N> struct Part$n { std::map<std::string, std::vector<std::array<int, N + $n + 1>>> m;"
    echo "  int sum(std::string s) { m[s].push_back({}); int t = 0; for (auto& [k, v] : m) for (auto& a : v)"
    echo "      t += std::accumulate(a.begin(), a.end(), N) + static_cast<int>(k.size()); return t; } };"
    echo "int part$n(int i) { Part$n<1> a; Part$n<2> b; return a.sum(std::to_string(i)) + b.sum(\"b\"); }"
    n=$((n + 1))
  done
  echo 'bool matches(const std::string& s) { return std::regex_match(s, std::regex("(a|b)*c+[0-9]{2,5}")); }'
} > large.cpp
g++ -std=c++20 -O1 -S large.cpp -o large.s
grep -c . large.s
sha256sum large.s
